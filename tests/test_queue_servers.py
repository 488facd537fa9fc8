"""Queues on real servers: handovers, kills, faults and guardians, with candidates as processes whose work ticks."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from candidates import Candidate, History, now
from commands import aioha
from operator_client import operator
from standstill import stop, stopped_between_steps
from waiting import until

from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.testing import Ensemble

pytestmark = pytest.mark.slow


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    return f"/queues/{request.node.name.replace('[', '_').replace(']', '')}"


@pytest.mark.parametrize("layout", DIALECTS)
async def test_turns_resigned_and_killed(ensemble: Ensemble, path: str, layout: str) -> None:
    """The killed one is guarded: its guardian ends its term as cleanly as it would have done itself."""
    history = History()
    async with AsyncExitStack() as stack:
        options = {"layout": layout, "session_timeout": 4.0, "guardian": True}
        crew = {who: Candidate(history, ensemble.where(path), who, **options) for who in "abc"}
        for candidate in crew.values():
            await stack.enter_async_context(candidate)
            await asyncio.sleep(0.2)  # each behind the one before; nothing tells that it stands in line
        at, leader = 0.0, "a"
        for turn in range(7):
            begun = await history.next("START", leader, after=at)
            await asyncio.sleep(0.6)  # so that all have looked around; nothing tells of that
            at, after = now(), "abc"[(turn + 1) % 3]
            if turn == 5:
                await crew[leader].kill()
            else:
                crew[leader].tell("resign")
            assert (await history.next("START", after, after=at)).at - at < 2.0, "it waited for a session to expire"
            assert begun.token < (await history.next("START", after, after=at)).token
            leader = after
            if turn == 5:
                await crew["c"].start()
                await history.next("UP", "c", after=at)
        history.assert_one_at_a_time()
        with operator(ensemble.connect_string) as client:
            await asyncio.to_thread(until, lambda: len(client.get_children(path)) == 3)  # who resigned last is on its way


@pytest.mark.parametrize("layout", ["latch", "kazoo"])
@pytest.mark.parametrize("fault", ["kill", "freeze"])
async def test_a_term_survives_the_fault_of_its_server(ensemble: Ensemble, path: str, layout: str, fault: str) -> None:
    history = History()
    async with AsyncExitStack() as stack:
        options = {"layout": layout, "session_timeout": 6.0}
        followers = ensemble.followers()  # the fault of the ensemble's leader is another one
        where = f"zk://{','.join(each.address for each in followers)}{path}"
        first, second = (Candidate(history, where, who, **options) for who in "ab")
        await stack.enter_async_context(first)
        begun = await history.next("START", "a")
        await stack.enter_async_context(second)
        attached = await first.server()
        server = next(each for each in followers if each.address == attached)
        server.kill() if fault == "kill" else server.freeze()
        await asyncio.sleep(6.0)
        assert [term[1] for term in history.terms()] == [float("inf")]
        assert history.terms()[0][3] == begun.token


@pytest.mark.parametrize("layout", ["latch", "zk-recipes"])
async def test_a_stopped_leader_does_no_tick_of_work_after_the_thaw(ensemble: Ensemble, path: str, layout: str) -> None:
    history = History()
    async with AsyncExitStack() as stack:
        options = {"layout": layout, "session_timeout": 2.0, "ticks": True}
        first, second = (Candidate(history, ensemble.where(path), who, **options) for who in "ab")
        await stack.enter_async_context(first)
        await history.next("START", "a")
        await stack.enter_async_context(second)
        await asyncio.sleep(0.5)
        await stopped_between_steps(history, "a", lambda: stop(first), lambda: first.signal(signal.SIGCONT))
        taken = await history.next("START", "b")
        first.signal(signal.SIGCONT)
        await history.next("END", "a")
        assert not [each for each in history.events if (each.kind, each.who) == ("TICK", "a") and each.at > taken.at]


async def test_status_shows_the_line_and_says_whose_it_is(ensemble: Ensemble, path: str, tmp_path: Path) -> None:
    history = History()
    async with AsyncExitStack() as stack:
        for who in "abc":
            candidate = Candidate(history, ensemble.where(path), who, layout="kazoo", session_timeout=10.0)
            await stack.enter_async_context(candidate)
            await asyncio.sleep(0.3)  # each behind the one before
        where = ensemble.where(path, layout="kazoo")
        shown = json.loads((await asyncio.to_thread(aioha, tmp_path, "status", where, "--json")).stdout)
        plain = await asyncio.to_thread(aioha, tmp_path, "status", where)
        wrong = await asyncio.to_thread(aioha, tmp_path, "status", ensemble.where(path, layout="latch"))
    assert [each["identity"] for each in shown["candidates"]] == ["a", "b", "c"]
    assert shown["leader"]["identity"] == "a"
    assert plain.returncode == 0
    assert [line.split()[-1] for line in plain.stdout.splitlines() if "then" in line] == ["b", "c"]
    assert wrong.returncode == 78
    assert "kazoo's Election" in wrong.stderr
    assert wrong.stderr.count("\n") == 1
