"""How a term on this host begins: what is read, said and written, in every state in which the file may be."""

import errno
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from aioha.elections.local import LocalElection, record
from aioha.elections.local import election as elections
from aioha.elections.local.record import ACCOUNT_AT, Account, Process, RecordedTerm, Slot
from aioha.errors import SessionFailed
from aioha.leaders import Leader, Predecessor
from aioha.settings import Settings

NOW = 99.5
ME = Process(10, 20, 30)
BEFORE = RecordedTerm("z", b"0", 5, 1, 9.5, 10.0, "died")
DIED = RecordedTerm("a", b"1", 6, 2, 10.5)
ENDED = RecordedTerm("b", b"2", 7, 3, 11.5, 12.5, "released", Process(1, 2, 3))


class Lock:
    """A file that says so, and what was written over it."""

    def __init__(self, raw: bytes = b"") -> None:
        self.done: list[Any] = []
        self.raw = raw
        self.error: Exception | None = None

    def read(self) -> bytes:
        return self.raw

    def save(self, slot: Slot, account: Account, *, lasting: bool = True) -> None:
        assert lasting
        if self.error is not None:
            raise self.error
        self.done.append((slot, account))

    def announce(self) -> None:
        self.done.append("announce")

    def close(self) -> None:
        self.done.append("close")


def file_of(slot: Slot, *terms: RecordedTerm, owed: tuple[Predecessor, ...] = (), account: bytes | None = None) -> bytes:
    raw = bytearray(ACCOUNT_AT)
    for each in (record.before(slot), slot):
        raw[record.slot_offset(each) : record.slot_offset(each) + 256] = record.pack_slot(each)
    return bytes(raw) + (record.pack_account(Account(terms, owed)) if account is None else account)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(elections, "wall_time", lambda: NOW)
    return f"{tmp_path.resolve()}/x.lock"


def election(path: str, **options: Any) -> LocalElection:
    mine = LocalElection(path, Settings(**{"identity": "me", "data": b"mine", **options}))
    mine._process = ME
    return mine


def mine(token: int, number: int) -> RecordedTerm:
    return RecordedTerm("me", b"mine", token, number, NOW, process=ME)


def owed(identity: str, data: bytes, token: int) -> Predecessor:
    return Predecessor(identity, data, token, ended_cleanly=False)


@pytest.mark.parametrize(
    ("raw", "options", "writes", "predecessor"),
    [
        (b"", {}, [(Slot(1, 1, 1, False), Account((mine(1, 1),)))], None),
        (
            b"",
            {"token_floor": 900},
            [(Slot(1, 900, 0, True), Account()), (Slot(2, 901, 1, False), Account((mine(901, 1),)))],
            None,
        ),
        (
            file_of(Slot(6, 7, 3, True), DIED, ENDED),
            {"token_floor": 7},
            [(Slot(7, 8, 4, False), Account((RecordedTerm("a", b"1", 6, 2, 10.5), ENDED, mine(8, 4))))],
            Predecessor("b", b"2", 7, ended_cleanly=True),
        ),
        (  # it died: its line is ended, and it is owed a fence
            file_of(Slot(5, 6, 2, False), DIED, owed=(owed("z", b"", 3),)),
            {},
            [
                (
                    Slot(6, 7, 3, False),
                    Account(
                        (RecordedTerm("a", b"1", 6, 2, 10.5, NOW, "died"), mine(7, 3)),
                        (owed("a", b"1", 6), owed("z", b"", 3)),
                    ),
                )
            ],
            owed("a", b"1", 6),
        ),
        (  # it ended cleanly, and could write nothing but that
            file_of(Slot(6, 6, 2, True), BEFORE, DIED),
            {},
            [(Slot(7, 7, 3, False), Account((BEFORE, RecordedTerm("a", b"1", 6, 2, 10.5, NOW, "released"), mine(7, 3))))],
            Predecessor("a", b"1", 6, ended_cleanly=True),
        ),
        (  # a term in the account that has no slot never began
            file_of(Slot(5, 5, 2, True), RecordedTerm("a", b"", 5, 2, 1.0, 2.0, "released"), DIED),
            {},
            [(Slot(6, 6, 3, False), Account((RecordedTerm("a", b"", 5, 2, 1.0, 2.0, "released"), mine(6, 3))))],
            Predecessor("a", b"", 5, ended_cleanly=True),
        ),
        (  # the account's line on the last term is lost
            file_of(Slot(6, 8, 4, True), DIED),
            {},
            [(Slot(7, 9, 5, False), Account((RecordedTerm("a", b"1", 6, 2, 10.5, NOW, "released"), mine(9, 5))))],
            Predecessor("", b"", 8, ended_cleanly=True),
        ),
    ],
)
def test_a_term_begins_on_the_disk_before_anybody_can_see_it(
    path: str, raw: bytes, options: Any, writes: list[Any], predecessor: Predecessor | None
) -> None:
    lock, candidate = Lock(raw), election(path, **options)
    grant = candidate._begin(lock)  # type: ignore[arg-type]
    assert lock.done == [*writes, "announce"]
    slot, account = writes[-1]
    assert (grant.token, grant.number, grant._slot, grant._account) == (slot.token, slot.number, slot, account)
    assert (grant.predecessor, grant.leader) == (predecessor, Leader("me", b"mine", slot.token, NOW))
    assert (grant.stop_grace, grant._lock, grant._guardian) == (1.0, lock, None)
    assert candidate._seen == slot.token


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(each.levelno, each.getMessage()) for each in caplog.records]


def test_a_damaged_half_is_repaired_before_the_term_and_said(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its term may have begun: it is owed a fence, and its token is not given out again."""
    raw = bytearray(file_of(Slot(5, 6, 2, ended=True), DIED))
    raw[20] ^= 1
    lock = Lock(bytes(raw))
    grant = election(path)._begin(lock)  # type: ignore[arg-type]
    account = Account((RecordedTerm("a", b"1", 6, 2, 10.5, NOW, "died"), mine(8, 4)), (owed("a", b"1", 6),))
    repaired = (Slot(6, 7, 3, ended=False), Account((DIED,), account.unfenced))
    assert lock.done == [repaired, (Slot(7, 8, 4, ended=False), account), "announce"]
    assert grant.predecessor == owed("a", b"1", 6)
    said = f"local:{path}: one half of the lock file was damaged; repaired, one token skipped"
    assert lines(caplog) == [(logging.WARNING, said)]


@pytest.mark.parametrize("ended", [True, False])
def test_when_the_account_is_lost_so_is_who_was_to_be_fenced(
    path: str, caplog: pytest.LogCaptureFixture, ended: bool
) -> None:
    lock = Lock(file_of(Slot(5, 6, 2, ended), account=b"rubbish"))
    grant = election(path)._begin(lock)  # type: ignore[arg-type]
    account = Account((mine(7, 3),), (owed("", b"", 6),))
    assert lock.done == [(Slot(6, 7, 3, ended=False), account), "announce"]
    assert grant.predecessor == Predecessor("", b"", 6, ended)
    said = f"local:{path}: the account of terms: unknown format; the history of terms starts anew"
    assert lines(caplog) == [(logging.WARNING, said)]


def test_an_account_that_lists_no_terms_may_still_owe_some(path: str, caplog: pytest.LogCaptureFixture) -> None:
    lock = Lock(file_of(Slot(5, 6, 2, ended=True), owed=(owed("z", b"", 3),)))
    grant = election(path)._begin(lock)  # type: ignore[arg-type]
    assert grant.unfenced == (owed("", b"", 6), owed("z", b"", 3))
    assert caplog.records == []


def test_a_file_whose_tokens_are_lost_is_not_used(path: str) -> None:
    lock = Lock(b"rubbish")
    with pytest.raises(SessionFailed) as refused:
        election(path)._begin(lock)  # type: ignore[arg-type]
    assert str(refused.value) == (
        f"local:{path}: {path} is damaged (both slots are damaged), so the last token is lost; stop every candidate, "
        "remove the file, and set token_floor to a number no token has reached"
    )
    assert refused.value.__suppress_context__
    assert lock.done == []


def test_a_disk_that_is_full_is_said_and_no_term_begins(path: str) -> None:
    lock, candidate = Lock(), election(path)
    lock.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(SessionFailed) as refused:
        candidate._begin(lock)  # type: ignore[arg-type]
    assert str(refused.value) == f"local:{path}: cannot write {path}: No space left on device; make room or repair the disk"
    assert refused.value.__suppress_context__
    assert (lock.done, candidate._seen) == ([], 0)


def test_tokens_rise_above_all_that_was_seen_although_the_file_is_new(path: str) -> None:
    candidate = election(path, token_floor=30)
    candidate._seen = 40
    lock = Lock()
    assert candidate._begin(lock).token == 41  # type: ignore[arg-type]
    assert lock.done[0] == (Slot(1, 40, 0, ended=True), Account())


@pytest.mark.parametrize("guardian", [False, True])
def test_a_term_has_the_time_to_end_and_the_guardian_that_were_asked_for(path: str, guardian: bool) -> None:
    candidate = election(path, guardian=guardian, session_timeout=8.0, stop_grace=1.5)
    grant = candidate._begin(Lock())  # type: ignore[arg-type]
    assert (grant.stop_grace, grant._guardian) == (1.5, candidate.guardian)
    assert (grant._guardian is not None) is guardian


def test_64_terms_are_kept(path: str) -> None:
    terms = [RecordedTerm("a", b"", token, token, 1.0, 2.0, "released") for token in range(1, 65)]
    lock = Lock(file_of(Slot(128, 64, 64, ended=True), *terms))
    election(path)._begin(lock)  # type: ignore[arg-type]
    assert [term.token for term in lock.done[0][1].terms] == list(range(2, 66))


# ---------------------------------------------------------------------- trying for the lock


def attempts(monkeypatch: pytest.MonkeyPatch, *results: Any) -> list[Any]:
    """What comes of each try; and what is asked."""
    left, asked = list(results), list[Any]()

    def acquire(place: Any, name: bytes) -> Any:
        asked.append((place, name))
        result = left.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(elections.Lock, "acquire", acquire)
    monkeypatch.setattr(elections, "prepare", lambda place, *, create: asked.append(("prepare", place, create)))
    return asked


def test_passing_troubles_are_said_once_until_a_term_has_begun(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = OSError(errno.EMFILE, "Too many open files")
    candidate = election(path)
    asked = attempts(monkeypatch, full, full, full, None, lock := Lock(), full, full)
    assert [candidate._attempt() for _ in range(4)] == [None] * 4
    said = f"local:{path}: cannot try for the lock now, trying on: Too many open files"
    assert lines(caplog) == [(logging.WARNING, said)]
    grant = candidate._attempt()
    assert (candidate._lock, candidate._grant) == (lock, grant)
    assert grant is not None
    assert [candidate._attempt() for _ in range(2)] == [None, None]
    assert lines(caplog) == [(logging.WARNING, said)] * 2
    assert asked == [(candidate._place, candidate._name)] * 7


def test_what_does_not_pass_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = election(path)
    attempts(monkeypatch, OSError(errno.EIO, "Input/output error"))
    with pytest.raises(SessionFailed) as refused:
        candidate._attempt()
    assert str(refused.value) == f"local:{path}: cannot open {path}: Input/output error; see to that"
    assert refused.value.__suppress_context__


def test_a_directory_that_went_is_made_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = election(path)
    asked = attempts(monkeypatch, FileNotFoundError())
    assert candidate._attempt() is None
    assert asked == [(candidate._place, candidate._name), ("prepare", candidate._place, True)]


def test_a_term_that_could_not_begin_leaves_no_lock(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    candidate, lock = election(path), Lock(b"rubbish")
    attempts(monkeypatch, lock)
    with pytest.raises(SessionFailed, match="damaged"):
        candidate._attempt()
    assert lock.done == ["close"]
    assert (candidate._lock, candidate._grant) == (None, None)
    assert not os.path.exists(path)
