"""A candidate on this host: what it is made with, how it stands by, and what an observer sees. In virtual time."""

import asyncio
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from aioha.elections.local import LocalElection
from aioha.elections.local import election as elections
from aioha.elections.local.presence import socket_name, this_process
from aioha.elections.local.record import Process, RecordedTerm, Slot
from aioha.elections.local.view import View
from aioha.guardian.guarded import Guardian
from aioha.leaders import Leader
from aioha.settings import Settings
from aioha.testing.simulated import Simulation, run

A, B = Leader("a", b"", 5, 1.0), Leader("b", b"", 6, 2.0)
HOLDER = Process(8, 5, 3)
TERMS = (RecordedTerm("a", b"", 4, 1, 0.5, 1.0, "died"), RecordedTerm("a", b"", 5, 2, 1.0, process=HOLDER))
UNBORN = RecordedTerm("b", b"", 6, 3, 2.0, process=Process(9, 9, 9))


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"{tmp_path.resolve()}/x.lock"


def election(path: str, **options: Any) -> LocalElection:
    return LocalElection(path, Settings(**options))


# ---------------------------------------------------------------------- what it is made with


@pytest.mark.parametrize(("guardian", "facts"), [(False, None), (True, {}), ("tree", {"tree": True})])
async def test_a_candidate_has_the_guardian_that_was_asked_for(path: str, guardian: Any, facts: Any) -> None:
    settings = Settings(guardian=guardian)
    mine, done = LocalElection(path, settings), list[str]()
    if facts is None:
        assert mine.guardian is None
    else:
        assert isinstance(mine.guardian, Guardian)
        assert mine.guardian._clock is settings.clock
        assert {key: value for key, (value, _) in mine.guardian._facts.items()} == facts

    def start(_: Guardian) -> None:
        done.append("start")

    async def stop(_: Guardian) -> None:
        done.append("stop")

    with mock.patch.multiple(Guardian, start=start, stop=stop):
        await mine.open()
        assert done == ([] if facts is None else ["start"])
        await mine.close()
        await mine.close()
    assert done == ([] if facts is None else ["start", "stop", "stop"])


async def test_a_candidate_is_at_the_place_that_was_named(path: str) -> None:
    mine = election(path)
    place = mine._place
    assert (place.where, place.path, place.named) == (f"local:{path}", path, False)
    assert mine._view._place is place
    assert mine._name == socket_name(path, os.geteuid())
    assert (mine.session, mine._grant, mine._lock, mine._seen) == (None, None, None, 0)
    with mock.patch.object(elections, "prepare") as prepare:
        await mine.open()
    prepare.assert_called_once_with(place, create=False)


def test_a_floor_leaves_room_for_one_token(path: str) -> None:
    most = 2**63 - 2
    settings = Settings()
    for floor in (most, most + 1, most + 2):
        object.__setattr__(settings, "token_floor", floor)
        if floor == most:
            LocalElection(path, settings)
        else:
            with pytest.raises(ValueError, match="token_floor") as refused:
                LocalElection(path, settings)
            assert str(refused.value) == f"token_floor: at most {most}, got {floor}"


# ---------------------------------------------------------------------- standing by


class Watching:
    """Stands for `Watch`, and says what was asked of it."""

    def __init__(self, done: list[Any], seconds: float = 0.0) -> None:
        self._done = done
        self._seconds = seconds

    def __call__(self, where: str, name: bytes) -> "Watching":
        self._done.append((where, name))
        return self

    async def wait(self, *asked: Any) -> None:
        self._done.append(("wait", *asked))
        await asyncio.sleep(self._seconds)

    def close(self) -> None:
        self._done.append("close")


@pytest.mark.parametrize("yielding", [False, True])
def test_who_stands_by_tries_each_time_the_leader_may_have_gone(path: str, yielding: bool) -> None:
    mine, done = election(path), list[Any]()
    grants: list[Any] = [None, None, "the grant"]

    async def let_another_lead() -> None:
        done.append("yield")

    def attempt() -> Any:
        assert mine._process == this_process()
        done.append("attempt")
        return grants.pop(0)

    async def main(_: Simulation) -> None:
        mine._let_another_lead, mine._attempt = let_another_lead, attempt  # type: ignore[method-assign]
        with mock.patch.multiple(
            elections, Watch=Watching(done), prepare=lambda *place, create: done.append((*place, create))
        ):
            assert await mine.win(**({"yielding": True} if yielding else {})) == "the grant"

    run(main)
    wait = ("wait", mine._holder)
    begun = [(mine._place, True), *(["yield"] if yielding else []), (f"local:{path}", mine._name)]
    assert done == [*begun, "attempt", wait, "attempt", wait, "attempt", "close"]


def test_who_fails_or_is_cancelled_watches_no_longer(path: str) -> None:
    mine, done = election(path), list[Any]()

    async def main(_: Simulation) -> None:
        mine._attempt = mock.Mock(side_effect=RuntimeError("a bug"))  # type: ignore[method-assign]
        with mock.patch.object(elections, "Watch", Watching(done)), pytest.raises(RuntimeError):
            await mine.win()

    run(main)
    assert done[-1] == "close"


@pytest.mark.parametrize(
    ("timeout", "own", "tokens", "took", "looks"),
    [
        (10.0, None, [5], 1.0, None),  # nobody else is there
        (0.8, None, [5], 0.2, None),
        (10.0, None, [5, 5, 5, 6], 0.02, 4),  # the first look says what was
        (10.0, 5, [5, 5, 6], 0.02, 3),  # ours was 5
        (10.0, 5, [6], 0.0, 1),
        (10.0, None, [None, None, 1], 0.01, 3),
        (10.0, 5, [None], 1.0, None),
        (0.1, 5, [5], 0.025, 4),  # and not a look longer than that
    ],
)
def test_who_has_resigned_lets_another_lead_for_a_second_or_a_quarter_of_the_timeout(
    path: str, timeout: float, own: int | None, tokens: list[Any], took: float, looks: int | None
) -> None:
    mine, seen = election(path, session_timeout=timeout), list[Any]()
    if own is not None:
        mine._grant = mock.Mock(token=own)

    def peek(_: View) -> Any:
        seen.append(tokens[min(len(seen), len(tokens) - 1)])
        return None if seen[-1] is None else (Slot(1, seen[-1], 1, ended=False), (), 0)

    async def main(simulation: Simulation) -> None:
        begun = simulation.clock()
        with mock.patch.object(View, "peek", peek):
            await mine._let_another_lead()
        assert simulation.clock() - begun == pytest.approx(took, abs=1e-6)

    run(main)
    assert looks is None or len(seen) == looks
    assert len(seen) <= 102 + (own is None)
    assert mine._seen == max(token or 0 for token in seen)


@pytest.mark.parametrize(
    ("state", "holder", "seen"),
    [
        (None, None, 0),
        ((Slot(3, 5, 2, ended=False), TERMS, 0), HOLDER, 5),
        ((Slot(3, 5, 2, ended=True), TERMS, 0), None, 5),  # it is about to let go
        ((Slot(3, 6, 3, ended=False), TERMS, 0), None, 6),  # lost from the account
    ],
)
def test_whose_end_is_waited_for_is_what_the_file_says(path: str, state: Any, holder: Process | None, seen: int) -> None:
    mine = election(path)
    with mock.patch.object(View, "peek", return_value=state):
        assert mine._holder() == holder
        assert mine._newest_token() == seen
    assert mine._seen == seen
    mine._seen = 30
    with mock.patch.object(View, "peek", return_value=state):
        mine._holder()
        assert (mine._newest_token(), mine._seen) == (seen, 30)


async def test_who_closes_lets_the_lock_go_once(path: str) -> None:
    mine = election(path)
    mine._lock = lock = mock.Mock()
    await mine.close()
    await mine.close()
    lock.close.assert_called_once_with()
    assert mine._lock is None


# ---------------------------------------------------------------------- observing


@pytest.mark.parametrize("leader", [None, A])
def test_on_one_host_only_the_leader_can_be_seen(path: str, leader: Leader | None) -> None:
    async def main(_: Simulation) -> None:
        with mock.patch.object(View, "leader", mock.AsyncMock(return_value=leader)):
            assert await election(path).leader() == leader
            assert await election(path).candidates() == (leader, ())

    run(main)


@pytest.mark.parametrize(
    ("last", "first", "leaders", "waits", "took"),
    [
        (A, True, [A], 0, 0.0),
        (None, True, [None], 0, 0.0),
        (A, False, [B], 0, 0.0),
        (A, False, [None], 0, 0.0),
        (A, False, [A, A, B], 2, 14.0),
        (None, False, [*[None] * 10, A], 0, 0.655),  # 1, 2, ... 128 ms, and then 0.2 s each
    ],
)
def test_who_observes_sees_the_next_leader_soon(
    path: str, last: Leader | None, first: bool, leaders: list[Any], waits: int, took: float
) -> None:
    mine, done = election(path), list[Any]()

    async def main(simulation: Simulation) -> None:
        begun = simulation.clock()
        mine.leader = mock.AsyncMock(side_effect=leaders)  # type: ignore[method-assign]
        with mock.patch.object(elections, "Watch", Watching(done, 7.0)):
            assert await mine.leader_after(last, first=first) == leaders[-1]
        assert round(simulation.clock() - begun, 6) == took
        assert mine.leader.await_count == len(leaders)

    run(main)
    assert done == [(f"local:{path}", mine._name), *[("wait", mine._holder, 0.5)] * waits, "close"]


async def test_the_history_is_that_of_terms_that_have_begun(path: str) -> None:
    mine = election(path)
    for state, terms in ((None, ()), ((Slot(3, 5, 2, ended=False), (*TERMS, UNBORN), 0), TERMS)):
        with mock.patch.object(View, "peek", return_value=state):
            assert await mine.history() == terms
