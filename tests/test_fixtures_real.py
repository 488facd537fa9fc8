"""Trials on real servers: the same faults under the same names, for coroutines and for programs."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from aioha import Elector
from aioha.testing import Ensemble, RealTrial, Trial, no_leaks, recorded
from aioha.testing.fixtures import on_servers, require
from aioha.testing.java import missing
from aioha.testing.program import Program

TIMEOUT = 1.0
PROGRAM = f"""
import asyncio, os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_fixtures_real import copy

async def main():
    task = asyncio.ensure_future(copy(os.environ["AIOHA_WHERE"]))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait({{task}})

asyncio.run(main())
"""


@recorded
async def work(term: Any) -> None:
    while True:
        await asyncio.sleep(0.02)


async def copy(where: str) -> None:
    async with Elector(where, work):
        await asyncio.Event().wait()


async def program(trial: RealTrial, name: str) -> Program:
    return await trial.start_program(name, sys.executable, "-c", PROGRAM)


def kinds(trial: Trial, name: str) -> list[str]:
    return [fact.kind.value for fact in trial.history if fact.who == name and fact.kind != "stepped"]


async def test_partition_and_stop_inside_a_test_of_any_plugin(ensemble: Ensemble) -> None:
    async with no_leaks(), RealTrial(ensemble, session_timeout=TIMEOUT) as trial:
        first = trial.start("a", copy)
        await trial.leader()
        second = trial.start("b", copy)
        await trial.partition(first)
        assert await trial.leader(besides=first) is second
        assert kinds(trial, "a") == ["began", "disturbed", "ended"]
        await trial.heal()
        await trial.stop(second)
        assert await trial.leader() is first


@on_servers(session_timeout=10.0, stop_grace=2.5)  # the longest grace: whoever loses a session so hears of it late
async def test_expire_session(trial: RealTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    second = trial.start("b", copy)
    await trial.expire_session(first)
    assert await trial.leader(besides=first, timeout=8.0) is second
    assert sorted(kinds(trial, "a")) == ["began", "disturbed", "ended"]  # it may hear of it before the trial notes it


@on_servers(1, session_timeout=TIMEOUT)
async def test_a_coroutine_is_killed(trial: RealTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    second = trial.start("b", copy)
    begun = trial.clock()
    await trial.kill(first)
    assert await trial.leader() is second
    assert trial.clock() - begun > TIMEOUT / 2, "the servers do not know that it is dead"
    with pytest.raises(RuntimeError, match="a coroutine of this process, and cannot be stopped"):
        await trial.freeze(second)
    with pytest.raises(RuntimeError, match="a has no session now"):
        await trial.expire_session(first)


@on_servers(session_timeout=TIMEOUT)
async def test_servers_die_and_come_back(trial: RealTrial) -> None:
    trial.start("a", copy)
    await trial.leader()
    leader = await trial.leading_server()
    await trial.kill(leader)
    assert await trial.leading_server() is not leader
    other = next(server for server in trial.servers if server.alive)
    await trial.freeze(other)
    assert other.mode(0.1) is None
    await trial.heal()
    assert all(server.mode() for server in trial.servers)
    await trial.leader()
    with pytest.raises(RuntimeError, match="cuttable=True"):
        await trial.partition(leader)


async def test_servers_that_can_be_cut() -> None:
    require((hint := missing()) is None, hint or "")
    async with Ensemble(3, cuttable=True) as cuttable, RealTrial(cuttable, session_timeout=TIMEOUT) as trial:
        trial.start("a", copy)
        await trial.leader()
        old = await trial.leading_server()
        await trial.partition(old)
        await trial.until(lambda: any(server.mode() == "leader" for server in trial.servers if server is not old))
        await trial.heal()
        await trial.leader()


@on_servers(1, session_timeout=TIMEOUT)
async def test_programs_are_frozen_thawed_killed_and_stopped(trial: RealTrial) -> None:
    first = await program(trial, "a")
    await trial.leader()
    second = await program(trial, "b")
    await trial.freeze(first)
    assert await trial.leader(besides=first) is second
    await trial.thaw(first)
    await trial.until(lambda: "ended" in kinds(trial, "a"))
    assert kinds(trial, "a") == ["began", "froze", "disturbed", "thawed", "ended"]
    await trial.stop(second)
    assert kinds(trial, "b")[-1] == "ended"
    assert await trial.leader() is first
    await trial.kill(first)
    assert kinds(trial, "a")[-3:] == ["began", "died", "disturbed"]


@on_servers(1)
async def test_a_program_that_fails_says_so(trial: RealTrial) -> None:
    await trial.start_program("a", sys.executable, "-c", "import sys; sys.exit(3)")
    with pytest.raises(RuntimeError, match="program a ended with 3"):
        await trial.leader()


@on_servers(1)
async def test_a_program_that_somebody_else_kills_says_so(trial: RealTrial) -> None:
    candidate = await program(trial, "a")
    await trial.leader()
    os.kill(candidate.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="program a ended with -9"):
        await trial.until(lambda: False)


async def test_two_leaders_are_found(zookeeper: Ensemble) -> None:
    """Of two elections, in one trial."""

    async def elsewhere(where: str) -> None:
        await copy(zookeeper.where("/elsewhere"))

    with pytest.raises(AssertionError, match=r"I[12] at"):
        async with RealTrial(zookeeper) as trial:
            trial.start("a", copy)
            await trial.leader()
            trial.start("b", elsewhere)
            await trial.until(lambda: {fact.who for fact in trial.history if fact.kind == "stepped"} == {"a", "b"})
