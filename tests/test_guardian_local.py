"""Guarded candidates on one host: the kernel gives the lock back at once, the guardian not before all work has ended."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from candidates import Candidate, History, now
from commands import alive

from aioha import Elector, Term

AT_ONCE = 1.0  # seconds, on a busy machine


class Crew:
    """Candidates of one election, in the order in which they came."""

    def __init__(self, stack: AsyncExitStack, where: str) -> None:
        self.history = History()
        self._stack = stack
        self._where = where

    async def add(self, who: str, guardian: Any = True) -> Candidate:
        candidate = Candidate(self.history, self._where, who, guardian=guardian)
        return await self._stack.enter_async_context(candidate)

    async def child(self, candidate: Candidate, way: str) -> int:
        child = int(await candidate.ask(way, "CHILD"))
        await asyncio.sleep(1.5)  # a guardian looks for new processes each 0.2 s, and says nothing
        return child


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    tmp_path.chmod(0o700)
    async with AsyncExitStack() as stack:
        yield Crew(stack, f"local:{tmp_path}/lock")


async def test_a_killed_leader_is_replaced_at_once(crew: Crew) -> None:
    leader = await crew.add("a")
    await crew.history.next("START", "a")
    await crew.add("b")
    killed = now()
    await leader.kill()
    assert (await crew.history.next("START", "b", after=killed)).at - killed < AT_ONCE
    crew.history.assert_one_at_a_time()


@pytest.mark.parametrize("way", ["fork", "spawn"])
async def test_children_at_work_keep_the_lock(crew: Crew, way: str) -> None:
    leader = await crew.add("a")
    await crew.history.next("START", "a")
    await crew.add("b")
    child = await crew.child(leader, way)
    await leader.kill_only()
    await asyncio.sleep(1.0)
    assert not [each for each in crew.history.events if each.kind == "START" and each.who == "b"]
    ended = now()
    os.kill(child, signal.SIGKILL)
    assert (await crew.history.next("START", "b")).at - ended < AT_ONCE


@pytest.mark.parametrize("way", ["fork", "spawn"])
async def test_the_whole_tree_is_killed_if_wanted(crew: Crew, way: str) -> None:
    leader = await crew.add("a", guardian="tree")
    await crew.history.next("START", "a")
    await crew.add("b")
    child = await crew.child(leader, way)
    killed = now()
    await leader.kill()
    assert (await crew.history.next("START", "b")).at - killed < AT_ONCE
    assert not alive(child)


async def test_a_guarded_leader_hands_over_as_quickly(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    where = f"local:{tmp_path}/lock"
    terms: list[str] = []

    async def candidate(name: str) -> None:
        async def work(term: Term) -> None:
            terms.append(name)
            await term.resign()
            await asyncio.Event().wait()

        async with Elector(where, work, guardian=True, identity=name):
            async with asyncio.timeout(20):
                while len(terms) < 20:
                    await asyncio.sleep(0.01)

    await asyncio.gather(candidate("a"), candidate("b"))
    assert {"a", "b"} == set(terms)
    assert all(one != other for one, other in itertools.pairwise(terms)), terms


async def test_a_frozen_guardian_does_not_keep_the_lock(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    where = f"local:{tmp_path}/lock"
    async with Elector(where, guardian=True) as elector:
        async with elector.campaign():
            assert elector.election.guardian is not None
            assert elector.election.guardian.pid is not None
            os.kill(elector.election.guardian.pid, signal.SIGSTOP)
        async with asyncio.timeout(5), Elector(where) as other, other.campaign() as term:
            assert term.predecessor is not None
            assert term.predecessor.ended_cleanly
