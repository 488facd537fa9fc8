"""The job runner under test: on this host, in virtual time, and on real ZooKeeper servers."""

import asyncio
import os
import random
import sys
from collections.abc import Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import jobs
from jobs import Account, JobRunner

from aioha.testing import RealTrial, Trial, recorded
from aioha.testing.fixtures import on_servers, simulated


def copies(account: Account) -> Callable[[str], Coroutine[Any, Any, None]]:
    """One copy of the service after another, for `trial.start`; they share the account, and what they do is recorded."""

    def copy(where: str) -> Coroutine[Any, Any, None]:
        runner = JobRunner(where, account)
        runner.work = recorded(runner.work)
        return runner.run()

    return copy


def assert_no_token_falls(account: Account) -> None:
    assert all(former <= latter for former, latter in pairwise(account.tokens()))


# ---------------------------------------------------------------------- on this host, without any server


def test_every_copy_is_healthy_and_knows_the_leader(tmp_path: Path) -> None:
    async def main() -> None:
        account = Account(":memory:")
        runners = [JobRunner(f"local:{tmp_path}/lock", account) for _ in range(2)]
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            tasks = [group.create_task(runner.run()) for runner in runners]
            while sum([(await runner.health())["status"] == "ok" for runner in runners]) < 2 or not account.tokens():
                await asyncio.sleep(0.01)
            said = [await runner.health() for runner in runners]
            assert sorted(each["leading"] for each in said) == [False, True]
            assert len({each["leader"] for each in said}) == 1
            for task in tasks:
                task.cancel()

    asyncio.run(main())


# ---------------------------------------------------------------------- in virtual time


@simulated(seeds=5, takeover=16.0)
async def test_a_leader_that_is_cut_off_stops_before_the_next_one_begins(trial: Trial) -> None:
    account = Account(":memory:")
    for name in "abc":
        trial.start(name, copies(account))
    first = await trial.leader()
    await trial.partition(first)
    second = await trial.leader(besides=first)
    assert not first.is_working
    await trial.heal()
    await asyncio.sleep(60)
    assert second.is_working  # whoever comes back stands by
    assert len(set(account.tokens())) == 2


@simulated(seeds=int(os.environ.get("SEEDS", "1")), takeover=16.0)  # more of them at night
async def test_half_an_hour_in_which_something_breaks_every_minute_or_two(trial: Trial) -> None:
    account = Account(":memory:")
    for name in "abc":
        trial.start(name, copies(account))
    end = trial.clock() + 1800
    while trial.clock() < end:
        leader = await trial.leader()
        match random.choice(["partition", "freeze", "expire", "kill a server"]):
            case "partition":
                await trial.partition(leader)
            case "freeze":
                await trial.freeze(leader)
            case "expire":
                await trial.expire_session(leader)
            case _:
                await trial.kill(random.choice(trial.servers))
        await asyncio.sleep(random.uniform(0, 60))
        await trial.heal()
        await asyncio.sleep(60)
    assert_no_token_falls(account)


# ---------------------------------------------------------------------- on real servers


@on_servers(session_timeout=1.0)
async def test_failover_on_real_servers(trial: Trial) -> None:
    account = Account(":memory:")
    trial.start("a", copies(account))
    first = await trial.leader()
    trial.start("b", copies(account))
    await trial.partition(first)
    second = await trial.leader(besides=first)
    await trial.heal()
    await trial.kill(await trial.leading_server())
    await trial.heal()
    await trial.stop(second)
    assert await trial.leader() is first
    assert_no_token_falls(account)


@on_servers(session_timeout=1.0)
async def test_programs_that_are_frozen_and_killed(trial: RealTrial) -> None:
    first = await trial.start_program("a", sys.executable, __file__)
    await trial.leader()
    second = await trial.start_program("b", sys.executable, __file__)
    await trial.freeze(first)
    assert await trial.leader(besides=first) is second
    await trial.thaw(first)  # it believed that it led
    await trial.kill(second)
    assert await trial.leader() is first


if __name__ == "__main__":  # one of these programs
    jobs.EVERY = 0.05
    asyncio.run(jobs.until_sigterm(copies(Account(":memory:"))(os.environ["AIOHA_WHERE"])))
