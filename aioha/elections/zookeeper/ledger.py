"""The nodes of the `ephemeral` layout, and what the record beside the election says about the last terms.

<path>                   EPHEMERAL   the leader's node
<path>.aioha             persistent  the record: changed by takeovers only
<path>.aioha/seat        EPHEMERAL   whose work has not ended yet; says what the record says, and its version
<path>.aioha/ended       persistent  which terms are done with (see `aioha.ended`)
<path>.aioha/line/...    EPHEMERAL   the standbys, in the order in which they have come (see `line`)
<path>.aioha/unreadable  persistent  what stood in the record when it was last found to be rubbish
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field, replace
from typing import Any

from ...ended import Ended, parse_ended
from ...leaders import Predecessor
from ...record import LARGEST_BASE, Record, parse_record
from ...session import ZooKeeperSession
from ...settings import GRACE_SHARE
from ...wire import requests
from ...wire.errors import NoAuth, NoNode
from ...wire.requests import Stat
from ...wire.watches import OnEvent
from .znodes import mismatch, stat_or_none

__all__ = [
    "LOCK",
    "Breadcrumb",
    "Ledger",
    "LedgerView",
    "Names",
    "View",
    "breadcrumb_of",
    "ended_of",
    "glance",
    "longest_grace",
    "look",
    "seat_data",
    "unrecorded",
    "view_of",
]

log = logging.getLogger("aioha")

LOCK = "ActiveStandbyElectorLock"
FEW = 4  # earlier terms that a record may list without need
LONGEST_IDENTITY = 256  # bytes of a foreign leader's data that can be its name
LONGEST_VERSION = 9  # digits: servers' versions have 31 bits, and a bid counts on from there


@dataclass(frozen=True, slots=True)
class Names:
    """See the head of this file."""

    path: str
    is_folder: bool = False  # the leader's node lies below it, and a breadcrumb (see `breadcrumb`)

    @property
    def leader(self) -> str:
        return f"{self.path}/{LOCK}" if self.is_folder else self.path

    @property
    def breadcrumb(self) -> str:
        return f"{self.path}/ActiveBreadCrumb"

    @property
    def record(self) -> str:
        return f"{self.path}.aioha"

    @property
    def seat(self) -> str:
        return f"{self.path}.aioha/seat"

    @property
    def ended(self) -> str:
        return f"{self.path}.aioha/ended"

    @property
    def line(self) -> str:
        return f"{self.path}.aioha/line"

    @property
    def unreadable(self) -> str:
        return f"{self.path}.aioha/unreadable"


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The record as read; `version` is what the next takeover must still find."""

    record: Record
    version: int
    zxid: int  # of the takeover that wrote it
    ended: Ended
    unreadable: bytes | None = None  # what stood there, if it was rubbish: `record` then says what is safe to think
    written: float = field(default=0.0, compare=False)  # wall time in seconds, for people

    @property
    def token(self) -> int:
        """Of the term that the record names; 0: nobody has led yet."""
        if not self.record.number:
            return 0
        return self.record.token or self.zxid + self.record.token_base

    def predecessor(self, ended: Ended) -> Predecessor | None:
        """Who led last, given what `ended` said after the takeover."""
        if not self.token:
            return None
        return Predecessor(self.record.identity, self.record.data, self.token, ended.token == self.token)

    def unfenced(self, ended: Ended) -> tuple[Predecessor, ...]:
        """The terms that a fence hook must be told of, newest first, given what `ended` said then."""
        last = self.predecessor(Ended())
        if last is not None and ended.token > last.token:
            ended = Ended()  # no such term has begun: whoever wrote that knew nothing of it
        return ended.remaining(self.record.unfenced if last is None else (last, *self.record.unfenced))

    def settle(self, ended: Ended) -> float:
        """Seconds to give to work that may not know yet that it is over.

        A session can be closed by a stranger, and its owner learns of it only at the next attach.
        """
        if not self.token or ended.token == self.token:
            return 0.0
        waited = ended.token == self.record.owed_token and ended.settled
        owed = 0.0 if waited else self.record.owed_grace
        return max(self.record.stop_grace, owed)


@dataclass(frozen=True, slots=True)
class Breadcrumb:
    """What whoever works leaves behind in Hadoop's layout, until it has ended cleanly. `zxid`: of its last change."""

    data: bytes
    version: int
    zxid: int


@dataclass(frozen=True, slots=True)
class View:
    """One look at an election. `ledger` is None where no record is kept, or none exists yet."""

    node: Stat | None
    ledger: LedgerView | None
    seat_taken: bool = False  # the leader's node is gone, and its work has not ended yet
    breadcrumb: Breadcrumb | None = None


class Ledger:
    """Requests for the record, sent now and read later, so that they can travel behind a bid."""

    def __init__(self, session: ZooKeeperSession, names: Names) -> None:
        self._names = names
        self._session = session
        self._record = session.send(requests.get(names.record))
        self._ended = session.send(requests.get(names.ended))

    async def read(self) -> LedgerView | None:
        """None where there is no record yet. Raises `ResponseError`, `ConnectionError`."""
        ended = await ended_of(self._ended)
        try:
            reply = await self._record
        except NoNode:
            return None
        return view_of(self._names, reply, ended, longest_grace(self._session))


def unrecorded(data: bytes, token: int) -> Predecessor:
    """A leader that has left no record, by the data of its node: how it has ended nobody knows."""
    text = data[:LONGEST_IDENTITY].rstrip(b"\0").decode(errors="replace")
    return Predecessor(text, data, token, ended_cleanly=False)


def longest_grace(session: ZooKeeperSession) -> float:
    """Seconds that any work on such a session may need to end, once its owner has heard that it must."""
    return session.timeout * GRACE_SHARE + session.hearing.within


def view_of(names: Names, reply: Any, ended: Ended, grace: float) -> LedgerView:
    """From the reply to a `get` of the record. `grace`: seconds that whoever wrote it may need, should it be rubbish."""
    stat, raw = requests.stat_of(reply), reply.data or b""
    try:
        return LedgerView(parse_record(raw), stat.version, stat.mzxid, ended, written=stat.mtime)
    except ValueError as error:
        log.warning(
            "record %s cannot be read (%s); the next takeover replaces it, and keeps what stood there in %s",
            names.record,
            error,
            names.unreadable,
        )
    # Whose work it was cannot be known: wait long enough, and take it for newer than whatever is done with. How far
    # tokens were lifted is lost too, but not further than this: no term began before there was a record.
    base = min(max(0, ended.token - stat.czxid), LARGEST_BASE)
    last = Record(number=1, stop_grace=grace, token_base=base)
    return LedgerView(last, stat.version, stat.mzxid, ended, raw)


async def ended_of(reply: "asyncio.Future[Any]") -> Ended:
    """From the reply to a `get` of what was written about terms that have ended."""
    with contextlib.suppress(NoNode, NoAuth):
        return parse_ended((await reply).data)
    return Ended()


async def breadcrumb_of(reply: "asyncio.Future[Any]") -> Breadcrumb | None:
    """From the reply to a `get`; None: whoever led last has ended cleanly. Raises `ResponseError`, `ConnectionError`."""
    try:
        got = await reply
    except NoNode:
        return None
    stat = requests.stat_of(got)
    return Breadcrumb(got.data or b"", stat.version, stat.mzxid)


async def look(session: ZooKeeperSession, names: Names, *, keeps_record: bool, on_event: OnEvent | None) -> View:
    """Who leads and what the record says: one round trip that leaves a watch on the leader's node, if `on_event`.

    Raises `LayoutMismatch`, `ResponseError`, `ConnectionError`.
    """
    path = names.leader
    exists = session.exists(path, on_event) if on_event is not None else session.send(requests.exists(path))
    reply: asyncio.Future[Any] = exists
    ledger = Ledger(session, names) if keeps_record else None
    breadcrumb = session.send(requests.get(names.breadcrumb)) if names.is_folder else None
    node = await stat_or_none(reply)
    if node is not None and not node.is_ephemeral:
        raise await mismatch(session, path)
    view = View(node, await ledger.read() if ledger is not None else None)
    return view if breadcrumb is None else replace(view, breadcrumb=await breadcrumb_of(breadcrumb))


def seat_data(record: Record, version: int) -> bytes:
    """What the seat of a term says: what its record says, and at which version."""
    return b"%d " % version + record.encode()


async def glance(session: ZooKeeperSession, names: Names, on_event: OnEvent) -> View | None:
    """As `look`, where somebody leads: one request instead of three, which leaves a watch on the seat. None: look.

    What has become of earlier terms is taken from the record alone, as long as it lists few. Raises as `look`.
    """
    try:
        got = await session.watching(requests.get(names.seat, watch=True), on_event)
    except (NoNode, NoAuth):
        return None
    seat = requests.stat_of(got)
    version, _, raw = (got.data or b"").partition(b" ")
    if not version.isdigit() or len(version) > LONGEST_VERSION:  # as for -1, which servers take for any
        return None
    try:
        record = parse_record(raw)
    except ValueError:
        return None
    if not record.number:
        return None
    ended = Ended()
    if len(record.unfenced) >= FEW:  # else they pile up, and push out those that are still to be fenced
        ended = await ended_of(session.send(requests.get(names.ended)))
    return View(seat, LedgerView(record, int(version), seat.czxid, ended))
