"""One term on this host: what it says of itself, what a fence hook's return writes, and how it is given up."""

import errno
import logging
import math
from typing import Any

import pytest

from aioha.elections.local import grant as grants
from aioha.elections.local.grant import LocalGrant
from aioha.elections.local.place import Place
from aioha.elections.local.record import Account, RecordedTerm, Slot
from aioha.errors import ElectionError, SessionFailed
from aioha.leaders import Leader, Predecessor

SLOT = Slot(3, 5, 2, ended=False)
OLD = RecordedTerm("old", b"1", 4, 1, 10.5, 11.0, "died")
MINE = RecordedTerm("mine", b"2", 5, 2, 12.5)
FIRST, SECOND = (Predecessor(f"c{token}", b"", token, ended_cleanly=False) for token in (4, 3))
ACCOUNT = Account((OLD, MINE), (FIRST, SECOND))
NOW = 99.5


class Lock:
    """What was asked of it."""

    place = Place("local:x", "/d/x.lock", named=True)
    where = "local:x"

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.in_owner = self.is_intact = True
        self.error: OSError | None = None

    def intact(self) -> bool:
        return self.is_intact

    def follow_path(self) -> None:
        self.done.append("follow path")

    def save(self, slot: Slot, account: Account, *, lasting: bool = True) -> None:
        if self.error is not None:
            raise self.error
        self.done.append((slot, account, lasting))

    def descriptors(self) -> tuple[int, ...]:
        return (50, 51)

    def close(self) -> None:
        self.done.append("close")


class Guardian:
    """What it was told, in the order in which the lock was used."""

    def __init__(self, lock: Lock, *, fails: bool = False) -> None:
        self._lock = lock
        self._fails = fails

    def know(self, *fact: Any) -> None:
        self._lock.done.append(("know", *fact))

    def forget(self, key: Any) -> None:
        self._lock.done.append(("forget", key))

    async def heard(self) -> None:
        self._lock.done.append("heard")
        if self._fails:
            raise RuntimeError("a bug")


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "wall_time", lambda: NOW)


@pytest.fixture
def lock() -> Lock:
    return Lock()


def granted(lock: Any, guardian: Any = None) -> LocalGrant:
    return LocalGrant(lock, SLOT, ACCOUNT, FIRST, 2.5, guardian)


def test_what_a_term_says_of_itself(lock: Lock) -> None:
    grant = granted(lock)
    assert (grant.token, grant.number, grant.leader) == (5, 2, Leader("mine", b"2", 5, 12.5))
    assert (grant.predecessor, grant.unfenced, grant.stop_grace) == (FIRST, (FIRST, SECOND), 2.5)
    assert (grant.settle, grant.deadline, grant.lease, grant.doubtful) == (0.0, math.inf, math.inf, False)
    assert grant.ended is None
    assert grant.seated
    lock.is_intact = False
    assert not grant.seated


async def test_what_there_is_not_on_one_host_is_said_with_what_to_do(lock: Lock) -> None:
    grant = granted(lock)
    why = (
        "an election on this host has no store to write to: send term.token with every write to a store that "
        "compares it (docs/fencing.md), or hold the election on ZooKeeper"
    )
    assert grant.no_transactions == why
    with pytest.raises(ElectionError) as refused:
        await grant.commit([], lambda: None)
    assert str(refused.value) == why
    with pytest.raises(ElectionError) as refused:
        grant.client()
    assert str(refused.value) == "an election on this host has no ZooKeeper client"


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("in_owner", "this is a child of the process that leads"),
        ("is_intact", "something in this process closed the lock file"),
    ],
)
async def test_a_term_that_is_ours_no_longer_says_so_once(lock: Lock, trouble: str, why: str) -> None:
    grant, told = granted(lock), list[str | None]()
    await grant.confirm()
    assert grant.ended is None
    setattr(lock, trouble, False)
    await grant.confirm()  # nobody listens yet
    assert grant.ended == why
    grant.listen(lambda: told.append(grant.ended))
    await grant.confirm()
    assert told == []
    grant = granted(lock)
    grant.listen(lambda: told.append(grant.ended))
    await grant.confirm()
    await grant.confirm()
    assert told == [why]
    setattr(lock, trouble, True)
    await grant.confirm()
    assert grant.ended == why


async def test_a_released_term_has_not_lost_its_lock(lock: Lock) -> None:
    grant = granted(lock)
    await grant.release()
    lock.is_intact = False
    await grant.confirm()
    assert grant.ended is None


# ---------------------------------------------------------------------- fencing


async def test_what_hooks_have_done_is_written_each_time_over_the_slot_that_does_not_count(lock: Lock) -> None:
    grant = granted(lock)
    await grant.fenced(FIRST)
    assert grant.unfenced == (SECOND,)
    await grant.fenced(SECOND)
    assert grant.unfenced == ()
    renewed = [Slot(4, 5, 2, ended=False), Slot(5, 5, 2, ended=False)]
    left = [Account(ACCOUNT.terms, (SECOND,)), Account(ACCOUNT.terms, ())]
    assert lock.done == ["follow path", (renewed[0], left[0], True), "follow path", (renewed[1], left[1], True)]


async def test_what_could_not_be_written_is_refused_and_tried_in_the_same_place(lock: Lock) -> None:
    grant = granted(lock)
    lock.error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(SessionFailed) as refused:
        await grant.fenced(FIRST)
    why = "local:x: cannot write /d/x.lock: No space left on device; make room or repair the disk"
    assert str(refused.value) == why
    assert refused.value.__suppress_context__
    lock.error = None
    await grant.fenced(SECOND)
    assert lock.done[-1] == (Slot(4, 5, 2, ended=False), Account(ACCOUNT.terms, ()), True)


@pytest.mark.parametrize("over", ["in_owner", "is_intact", "released"])
async def test_a_term_that_is_over_writes_no_more(lock: Lock, over: str) -> None:
    grant = granted(lock)
    if over == "released":
        await grant.release()
    else:
        setattr(lock, over, False)
    lock.done.clear()
    await grant.fenced(FIRST)
    assert lock.done == []


# ---------------------------------------------------------------------- its end


ENDED = (Slot(4, 5, 2, ended=True), Account((OLD, RecordedTerm("mine", b"2", 5, 2, 12.5, NOW, "released")), (FIRST, SECOND)))


async def test_a_clean_end_is_written_before_the_lock_goes(lock: Lock) -> None:
    """Not synced: the next term does that."""
    grant = granted(lock)
    await grant.release()
    await grant.release()
    assert lock.done == ["follow path", (*ENDED, False), "close"]


async def test_a_guardian_has_the_lock_from_before_the_work_until_it_has_heard_of_the_end(lock: Lock) -> None:
    grant = granted(lock, Guardian(lock))
    interrupted: Any = None
    await grant.leased(interrupted)
    assert lock.done == []
    await grant.ready(interrupted)
    assert lock.done == [("know", "held", True, lock.descriptors)]
    await grant.release()
    assert lock.done[1:] == ["follow path", (*ENDED, False), ("forget", "held"), "heard", "close"]
    await granted(lock).ready(interrupted)
    assert len(lock.done) == 6


async def test_the_lock_goes_even_if_a_guardian_fails(lock: Lock) -> None:
    with pytest.raises(RuntimeError):
        await granted(lock, Guardian(lock, fails=True)).release()
    assert lock.done[-1] == "close"


async def test_an_end_that_cannot_be_written_is_logged_and_the_lock_goes(
    lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    lock.error = OSError(errno.EIO, "Input/output error")
    with caplog.at_level(logging.DEBUG, "aioha"):
        await granted(lock).release()
    assert lock.done == ["follow path", "close"]
    said = "term 5 of local:x: cannot write that it ended: Input/output error"
    assert [(each.levelno, each.getMessage(), each.exc_info) for each in caplog.records] == [(logging.ERROR, said, None)]


async def test_what_was_lost_is_let_go_without_a_word_in_the_file(lock: Lock) -> None:
    lock.is_intact = False
    await granted(lock).release()
    assert lock.done == ["close"]


async def test_a_child_of_the_leader_releases_nothing(lock: Lock) -> None:
    lock.in_owner = False
    grant = granted(lock, Guardian(lock))
    await grant.release()
    assert lock.done == []
