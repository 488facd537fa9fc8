"""Guarded candidates on real servers: who is killed is replaced at once, and who is frozen is killed in time.

Figures are asserted loosely here, since the machine may be busy; `python -m benchmarks guardian` measures them.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from candidates import Candidate, Event, History, now, until
from commands import alive
from operator_client import operator

from aioha import Elector, Session, Term
from aioha.testing import Ensemble
from aioha.testing.strangers import close_session

pytestmark = pytest.mark.slow

T = 4.0
AT_ONCE = 1.0  # seconds: far from a session timeout, and enough on a busy machine


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    return f"/guardian/{request.node.name.replace('[', '_').replace(']', '')}"


class Pair:
    """A guarded leader and a standby, and what becomes of them."""

    def __init__(self, history: History, leader: Candidate, standby: Candidate) -> None:
        self.history = history
        self.leader = leader
        self.pid = leader.pid
        self.standby = standby

    async def child(self, way: str) -> int:
        """A child of the leader that its guardian has had the time to see; nothing tells of that."""
        child = int(await self.leader.ask(way, "CHILD"))
        await asyncio.sleep(1.5)
        return child

    async def taken_over(self, since: float, bound: float = 30.0) -> Event:
        """The standby's work has begun; the leader's process was dead by then."""
        start = await self.history.next("START", self.standby.who, after=since, bound=bound)
        assert not alive(self.pid)
        self.history.assert_one_at_a_time()
        return start


Start = Callable[..., Awaitable[Pair]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def begin(where: str, timeout: float = T, guardian: Any = True, **options: Any) -> Pair:
            history = History()

            def one(who: str) -> Candidate:
                return Candidate(history, where, who, session_timeout=timeout, guardian=guardian, **options)

            leader = await stack.enter_async_context(one("a"))
            await history.next("START", "a")
            standby = await stack.enter_async_context(one("b"))
            await asyncio.sleep(timeout / 3)  # it stands by with a lease of its own now; nothing tells of that
            return Pair(history, leader, standby)

        yield begin


async def test_a_killed_leader_is_replaced_at_once(ensemble: Ensemble, path: str, start: Start) -> None:
    pair = await start(ensemble.where(path))
    killed = now()
    await pair.leader.kill()
    assert (await pair.taken_over(killed)).at - killed < AT_ONCE
    assert "closed on" in pair.leader.errors.decode()


async def test_a_frozen_server_costs_little(ensemble: Ensemble, path: str, start: Start) -> None:
    """It may be the very one that the leader was attached to, but is neither the standby's nor the ensemble's leader."""
    pair = await start(ensemble.where(path))
    taken = (await pair.standby.server(), ensemble.leader().address)
    frozen = next(each for each in ensemble.servers if each.address not in taken)
    os.kill(pair.leader.pid, signal.SIGSTOP)  # so that it cannot tell its guardian of another server
    frozen.freeze()
    killed = now()
    await pair.leader.kill()
    assert (await pair.taken_over(killed)).at - killed < AT_ONCE


@pytest.mark.parametrize("turn", range(2))
async def test_a_stopped_leader_is_killed_before_its_lease_ends(
    ensemble: Ensemble, path: str, start: Start, turn: int
) -> None:
    pair = await start(ensemble.where(path), timeout=2.0)
    stopped = now()
    pair.leader.signal(signal.SIGSTOP)
    await pair.leader.dead()
    assert now() - stopped < 2.0, "its lease was not longer than the session timeout"
    await pair.history.add(Event("KILLED", "a", 0, stopped))
    await pair.taken_over(stopped)


@pytest.mark.parametrize("way", ["hold", "block"])
async def test_a_loop_that_hangs_is_killed_before_its_lease_ends(
    ensemble: Ensemble, path: str, start: Start, way: str
) -> None:
    """By C code that holds the GIL, so that no thread of its own could do it, or by anything else."""
    pair = await start(ensemble.where(path), timeout=2.0)
    blocked = now()
    pair.leader.tell(f"{way} 30")
    await pair.leader.dead()
    assert now() - blocked < 2.2
    await pair.history.add(Event("KILLED", "a", 0, blocked))
    await pair.taken_over(blocked)
    assert "killed before another can lead" in await errors_of(pair.leader)


async def test_a_loop_that_hangs_for_a_moment_is_left_alone(ensemble: Ensemble, path: str, start: Start) -> None:
    pair = await start(ensemble.where(path), timeout=10.0)
    pair.leader.tell("block 1.5")
    await pair.history.next("LEADING", "a")
    assert alive(pair.leader.pid)


async def test_work_that_is_slow_to_end_is_no_freeze(ensemble: Ensemble, path: str, start: Start) -> None:
    """The lease ends while the loop turns and the work will not end: the guardian has no business there."""
    pair = await start(ensemble.where(path), timeout=2.0, stubborn=3.0)
    for server in ensemble.servers:
        server.freeze()
    frozen = now()
    assert (await pair.history.next("END", "a", bound=20)).at > frozen + 3.0
    assert alive(pair.leader.pid)
    for server in ensemble.servers:
        server.thaw()


@pytest.mark.parametrize("way", ["fork", "spawn"])
async def test_children_at_work_are_waited_for(ensemble: Ensemble, path: str, start: Start, way: str) -> None:
    pair = await start(ensemble.where(path), timeout=4.0)
    child = await pair.child(way)
    killed = now()
    await pair.leader.kill_only()
    await asyncio.sleep(1.0)
    begun = [each.at - killed for each in pair.history.events if each.kind == "START" and each.who == "b"]
    assert not begun, pair.history.events
    os.kill(child, signal.SIGKILL)
    assert (await pair.history.next("START", "b", after=killed)).at - now() < AT_ONCE


async def test_while_children_work_on_the_session_is_left_to_expire(ensemble: Ensemble, path: str, start: Start) -> None:
    pair = await start(ensemble.where(path), timeout=2.0)
    child = await pair.child("spawn")
    killed = now()
    await pair.leader.kill_only()
    start_of_next = await pair.history.next("START", "b", after=killed)
    assert start_of_next.at - killed > 1.0
    assert alive(child)
    os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("way", ["fork", "spawn"])
async def test_the_whole_tree_is_killed_if_wanted(ensemble: Ensemble, path: str, start: Start, way: str) -> None:
    pair = await start(ensemble.where(path), guardian="tree")
    child = await pair.child(way)
    killed = now()
    await pair.leader.kill()
    assert (await pair.taken_over(killed)).at - killed < AT_ONCE
    assert not alive(child)


async def test_another_program_in_the_same_process_is_none_of_its_business(
    ensemble: Ensemble, path: str, start: Start
) -> None:
    pair = await start(ensemble.where(path), timeout=2.0)
    guardian = await pair.leader.ask("guardian", "GUARDIAN")
    pair.leader.tell("exec")
    await until(lambda: not alive(guardian))
    assert alive(pair.leader.pid)
    await pair.history.next("START", "b", after=0.0)
    assert alive(pair.leader.pid)


async def test_a_killed_guardian_costs_only_time(ensemble: Ensemble, path: str, start: Start) -> None:
    pair = await start(ensemble.where(path), timeout=2.0)
    first = await pair.leader.ask("guardian", "GUARDIAN")
    os.kill(first, signal.SIGKILL)
    second = first
    async with asyncio.timeout(10):
        while second in (0, first):
            second = await pair.leader.ask("guardian", "GUARDIAN")
    killed = now()
    await pair.leader.kill()
    assert (await pair.taken_over(killed)).at - killed < AT_ONCE
    await until(lambda: not alive(second))  # it has closed its output, and is about to end


async def test_both_are_killed(ensemble: Ensemble, path: str, start: Start) -> None:
    pair = await start(ensemble.where(path), timeout=2.0)
    guardian = await pair.leader.ask("guardian", "GUARDIAN")
    os.kill(guardian, signal.SIGKILL)
    killed = now()
    await pair.leader.kill()
    takeover = await pair.taken_over(killed)
    assert takeover.at - killed > 1.0, "by expiry, as without a guardian"


async def test_it_follows_its_candidate_to_the_next_session(ensemble: Ensemble, path: str, start: Start) -> None:
    pair = await start(ensemble.where(path))
    with operator(ensemble.connect_string) as client:
        first = client.exists(path).ephemeralOwner
    close_session_of_another(ensemble, first)
    takeover = await pair.history.next("START", "b")
    pair.standby.tell("resign")
    await pair.history.next("START", "a", after=takeover.at)
    await asyncio.sleep(0.5)  # until "b" has seen that, and gives way to nobody any more
    killed = now()
    await pair.leader.kill()
    assert (await pair.history.next("START", "b", after=killed)).at - killed < AT_ONCE
    pair.history.assert_one_at_a_time()


def close_session_of_another(ensemble: Ensemble, session: int) -> None:
    """As any stranger can: the password is derived from the id."""
    for _ in range(20):  # its owner may be quicker to take it back
        with contextlib.suppress(OSError):
            close_session(ensemble.servers[0], session)
            return
    pytest.fail("its owner has always been quicker")


async def errors_of(candidate: Candidate) -> str:
    await candidate.kill()
    return candidate.errors.decode()


# ---------------------------------------------------------------------- in one process


async def test_many_electors_on_one_session_share_one(zookeeper: Ensemble, path: str) -> None:
    async def work(term: Term) -> None:
        await asyncio.Event().wait()

    async with Session(f"zk://{zookeeper.connect_string}", guardian=True) as session, AsyncExitStack() as stack:
        electors = [await stack.enter_async_context(session.elector(f"{path}/{n}", work)) for n in range(20)]
        await until(lambda: all(elector.is_leading for elector in electors))
        assert len({elector.election.guardian.pid for elector in electors if elector.election.guardian}) == 1
    with pytest.raises(ValueError, match="guardian: belongs to the session"):
        session.elector(path, guardian=True)


async def test_it_costs_the_start_little(zookeeper: Ensemble, path: str) -> None:
    async def opened(guardian: bool) -> float:
        begun = now()
        async with Elector(zookeeper.where(path), guardian=guardian):
            return now() - begun

    for _ in range(3):
        await opened(False)
    pairs = sorted([await opened(True) - await opened(False) for _ in range(9)])
    assert pairs[len(pairs) // 2] < 0.06


async def test_none_is_left_behind(zookeeper: Ensemble, path: str) -> None:
    async with Elector(zookeeper.where(path), guardian=True) as elector:
        assert elector.election.guardian is not None
        pid = elector.election.guardian.pid
        assert pid is not None
        assert alive(pid)
    assert not alive(pid)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
