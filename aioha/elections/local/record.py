"""What the lock file says, byte by byte. Pure: bytes in, facts out, and back.

    offset 0      slot 0  the part that safety rests on: last token, number of the term, whether it ended cleanly.
    offset 4096   slot 1  Written in turn and a disk block apart, so that a torn write spoils one of them at most.
    offset 8192   the account: a line with length and checksum, then JSON: the last terms, the newest one last, and
                  those that did not end cleanly and are still to be fenced, the newest one first

The account is written before its slot: a term that has no slot never began, and is left out on reading.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...ended import brief, newest
from ...leaders import Predecessor

__all__ = [
    "ACCOUNT_AT",
    "KEPT_TERMS",
    "Account",
    "Process",
    "RecordedTerm",
    "Slot",
    "Unreadable",
    "before",
    "begin",
    "end",
    "newest_slot",
    "pack_account",
    "pack_slot",
    "raised",
    "renewed",
    "slot_offset",
    "term_of",
    "unpack_account",
]

SLOT_SPACING = 4096
SLOT_SIZE = 256
ACCOUNT_AT = 2 * SLOT_SPACING
KEPT_TERMS = 64
RECENT = 2  # the leader's data and process, and its predecessor's; more would only make the file big
_SLOT_MAGIC = b"aioha-slot-1"
_ACCOUNT_MAGIC = b"aioha-account-1"


class Unreadable(ValueError):
    """The bytes are not what was written. The message says which part and is the middle of a sentence."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The state that must never go back. `suspect`: the other slot is damaged, so one term more may have begun."""

    sequence: int
    token: int
    number: int
    ended: bool
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """A process, told from every other that had or will have its number. `started` is in clock ticks since boot."""

    pid: int
    started: int
    namespace: int


@dataclass(frozen=True, slots=True)
class RecordedTerm:
    """One line of the account. `since` and `until` are Unix time in seconds, for people.

    until, how: None while the term lasts; how: "released", or "died" (`until` is then when the next one took over).
    data, process: kept for the last two terms only.
    """

    identity: str
    data: bytes
    token: int
    number: int
    since: float
    until: float | None = None
    how: str | None = None
    process: Process | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """`terms`: the last 64, oldest first. `unfenced`: terms that did not end cleanly, newest first, the newest 16: each
    stays until a fence hook has returned for it, whoever leads meanwhile.
    """

    terms: tuple[RecordedTerm, ...] = ()
    unfenced: tuple[Predecessor, ...] = ()


BLANK = Slot(sequence=0, token=0, number=0, ended=True)


def slot_offset(slot: Slot) -> int:
    return (slot.sequence % 2) * SLOT_SPACING


def pack_slot(slot: Slot) -> bytes:
    """Text, so that `head -1` of the file tells a human something too."""
    text = b"%s %d %d %d %d " % (_SLOT_MAGIC, slot.sequence, slot.token, slot.number, slot.ended)
    return (text + b"%08x" % zlib.crc32(text)).ljust(SLOT_SIZE - 1) + b"\n"


def unpack_slot(raw: bytes) -> Slot:
    """Raises `Unreadable`."""
    text, space, checksum = raw[:SLOT_SIZE].rstrip(b" \n").rpartition(b" ")
    text += space
    if checksum != b"%08x" % zlib.crc32(text):
        raise Unreadable("slot: wrong checksum")
    fields = text.split()
    if len(fields) != 5 or fields[0] != _SLOT_MAGIC:
        raise Unreadable(f"slot: unknown format {fields[:1]!r}")
    sequence, token, number, ended = map(int, fields[1:])
    return Slot(sequence, token, number, bool(ended))


def newest_slot(raw: bytes) -> Slot:
    """The state that a file of these bytes is in; `BLANK` for an empty one. Raises `Unreadable` if no slot is."""
    if not raw:
        return BLANK
    slots = [_slot_or_none(raw[at : at + SLOT_SIZE]) for at in (0, SLOT_SPACING)]
    readable = [slot for slot in slots if slot is not None]
    if not readable:
        raise Unreadable("both slots are damaged")
    best = max(readable, key=lambda slot: slot.sequence)
    other = slots[(best.sequence + 1) % 2]
    if other is not None and other.sequence == best.sequence - 1:
        return best
    if best.sequence == 0 and not raw[SLOT_SPACING:][:SLOT_SIZE].strip(b"\0"):
        return best  # slot 1 has not been written yet
    # The damaged slot may have been the newer one, its token handed out and the block spoilt later: go past it.
    return replace(best, token=best.token + 1, number=best.number + 1, ended=False, suspect=True)


def _slot_or_none(raw: bytes) -> Slot | None:
    try:
        return unpack_slot(raw)
    except ValueError:
        return None


def raised(slot: Slot, token_floor: int) -> Slot:
    """The state to write before a term begins, if it is not `slot`: tokens above the floor, no damaged slot left.

    From one slot to the next the token must rise by one at most, or `newest_slot` could not make up for a lost one.
    """
    if slot.token >= token_floor and not slot.suspect:
        return slot
    return Slot(slot.sequence + 1, max(slot.token, token_floor), slot.number, slot.ended)


def begin(slot: Slot) -> Slot:
    """The state once the next term has begun."""
    return Slot(slot.sequence + 1, slot.token + 1, slot.number + 1, ended=False)


def end(slot: Slot) -> Slot:
    """The state once the term of `slot` has ended cleanly."""
    return Slot(slot.sequence + 1, slot.token, slot.number, ended=True)


def renewed(slot: Slot) -> Slot:
    """The same state, written once more because the account has changed: never over the slot that counts."""
    return replace(slot, sequence=slot.sequence + 1)


def before(slot: Slot) -> Slot:
    """What to write into the other slot of a file that is made anew."""
    return BLANK if slot.sequence <= 1 else replace(slot, sequence=slot.sequence - 1)


def term_of(slot: Slot, terms: Sequence[RecordedTerm]) -> RecordedTerm | None:
    """The account's line on the term of `slot`, if there is one."""
    tokens = (slot.token, slot.token - 1) if slot.suspect else (slot.token,)
    return next((term for term in reversed(terms) if term.token in tokens), None)


def pack_account(account: Account) -> bytes:
    kept = account.terms[-KEPT_TERMS:]
    lines = [_to_json(term, index >= len(kept) - RECENT) for index, term in enumerate(kept)]
    body = b'{"terms": [\n' + b",\n".join(lines) + b"\n]"
    if account.unfenced:
        body += b', "unfenced": [\n' + b",\n".join(map(_unfenced_to_json, account.unfenced)) + b"\n]"
    body += b"}\n"
    packed = b"%s %d %08x\n" % (_ACCOUNT_MAGIC, len(body), zlib.crc32(body)) + body
    # Whole blocks: the file's length seldom changes then, and fdatasync has no metadata to write.
    return packed.ljust(-(-(len(packed) + 1) // SLOT_SPACING) * SLOT_SPACING - 1) + b"\n"


def unpack_account(raw: bytes) -> Account:
    """The account in a whole file's bytes; an empty one where there is none yet. Raises `Unreadable`."""
    if len(raw) <= ACCOUNT_AT:
        return Account()
    header, _, rest = raw[ACCOUNT_AT:].partition(b"\n")
    fields = header.split()
    if len(fields) != 3 or fields[0] != _ACCOUNT_MAGIC or not fields[1].isdigit():
        raise Unreadable("account of terms: unknown format")
    body = rest[: int(fields[1])]
    if fields[2] != b"%08x" % zlib.crc32(body):
        raise Unreadable("account of terms: wrong checksum")
    try:
        fields = json.loads(body)
        unfenced = newest(map(_unfenced_from_json, fields.get("unfenced", ())))
        return Account(tuple(map(_from_json, fields["terms"])), unfenced)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"account of terms: {error}") from None


def _to_json(term: RecordedTerm, recent: bool) -> bytes:
    fields: dict[str, Any] = {  # by hand: `asdict` of 64 terms takes longer than the disk
        "identity": term.identity,
        # Bytes as text where they are text; surrogateescape brings any others back as they were.
        "data": term.data.decode("utf-8", "surrogateescape") if recent else "",
        "token": term.token,
        "number": term.number,
        "since": term.since,
    }
    if term.until is not None:
        fields |= {"until": term.until, "how": term.how}
    if recent and term.process is not None:
        process = term.process
        fields["process"] = {"pid": process.pid, "started": process.started, "namespace": process.namespace}
    return json.dumps(fields).encode("ascii")


def _unfenced_to_json(term: Predecessor) -> bytes:
    data = brief(term).data.decode("utf-8", "surrogateescape")
    return json.dumps({"token": term.token, "identity": term.identity, "data": data}).encode("ascii")


def _unfenced_from_json(fields: dict[str, Any]) -> Predecessor:
    data = fields["data"].encode("utf-8", "surrogateescape")
    return Predecessor(fields["identity"], data, fields["token"], ended_cleanly=False)


def _from_json(fields: dict[str, Any]) -> RecordedTerm:
    process = fields.get("process")
    return RecordedTerm(
        identity=fields["identity"],
        data=fields["data"].encode("utf-8", "surrogateescape"),
        token=fields["token"],
        number=fields["number"],
        since=fields["since"],
        until=fields.get("until"),
        how=fields.get("how"),
        process=None if process is None else Process(process["pid"], process["started"], process["namespace"]),
    )
