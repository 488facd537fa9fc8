"""Long outages of the whole ensemble, and long runs: what was lost comes back, tokens rise, nothing leaks."""

import asyncio
import contextlib
import random
import uuid

import psutil
import pytest
from candidates import Candidate, History, now
from operator_client import operator

from aioha.testing import Ensemble

TICK = 0.2


@pytest.mark.timeout(150)
async def test_a_frozen_ensemble_leader_ends_the_term_and_somebody_leads_again() -> None:
    """The sample configuration, T = 10: all sessions survive, all leases end."""
    path = f"/outage/{uuid.uuid4().hex}"
    async with Ensemble(3, tick=2.0, sync_limit=5) as ensemble:
        history = History()
        options = {"session_timeout": 10.0}
        async with contextlib.AsyncExitStack() as stack:
            for who in ("c0", "c1"):
                await stack.enter_async_context(Candidate(history, ensemble.where(path), who, **options))
            first = await history.next("START")
            frozen_at, frozen = now(), ensemble.leader()
            frozen.freeze()
            end = await history.next("END", after=frozen_at, bound=12)
            assert end.at - frozen_at < 10
            await asyncio.sleep(max(0.0, 12 - (now() - frozen_at)))
            frozen.thaw()
            second = await history.next("START", after=end.at, bound=40)
            assert second.token > first.token
            print(f"stopped after {end.at - frozen_at:.1f} s, somebody leads again after {second.at - frozen_at:.1f} s")
        history.assert_one_at_a_time()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
async def test_an_ensemble_that_is_down_costs_no_cpu_and_is_found_within_a_second(uvloop: bool) -> None:
    """A minute in the issue's trial; the CPU share shows in a fraction of it."""
    seconds = 6.0
    history = History()
    async with Ensemble(1) as ensemble:
        where = ensemble.where(f"/outage/{uuid.uuid4().hex}")
        async with Candidate(history, where, "c0", session_timeout=4.0, uvloop=uvloop) as candidate:
            await history.next("START")
            ensemble.servers[0].kill()
            down = now()
            await history.next("END", after=down)
            process = psutil.Process(candidate.pid)
            before = process.cpu_times()
            await asyncio.sleep(seconds)
            after = process.cpu_times()
            share = (after.user + after.system - before.user - before.system) / seconds
            assert share < 0.02, f"{share:.1%} of a core"
            ensemble.servers[0].start()
            await asyncio.to_thread(ensemble.servers[0].wait_ready)
            ready = now()
            back = await history.next("START", after=ready - 1)
            print(f"{share:.2%} of a core; leads again {back.at - ready:.2f} s after the return")
            assert back.at - ready < 1.0 + 4.0  # the old session may have to expire first
            await candidate.quit()


async def turns(count: int, candidates: int, ensemble: Ensemble, *, seed: int) -> History:
    """Random kills, resignations and server restarts; after each of them somebody must lead again."""
    chance, history, timeout = random.Random(seed), History(), 2.0
    where = ensemble.where(f"/turns/{uuid.uuid4().hex}")
    names = iter(range(10**6))
    async with contextlib.AsyncExitStack() as stack:

        async def new() -> Candidate:
            return await stack.enter_async_context(Candidate(history, where, f"c{next(names)}", session_timeout=timeout))

        alive = {each.who: each for each in [await new() for _ in range(candidates)]}
        start = await history.next("START")
        for turn in range(count):
            leader = alive[start.who]
            fault = chance.choices(["resign", "kill", "restart"], [8, 1, 1])[0]
            before = now()
            if fault == "kill":
                await leader.kill()
                del alive[leader.who]
                fresh = await new()
                alive[fresh.who] = fresh
            elif fault == "restart":
                server = chance.choice(ensemble.servers)
                server.kill()
                server.start()
                await asyncio.to_thread(server.wait_ready)
                leader.tell("resign")
            else:
                leader.tell("resign")
            start = await history.next("START", after=max(before, start.at), bound=20)
            assert start.at - before < 15, f"turn {turn}: {fault} took {start.at - before:.1f} s"
        for each in alive.values():
            await each.quit()
    history.assert_one_at_a_time()
    return history


@pytest.mark.timeout(400)
async def test_a_hundred_turns(ensemble: Ensemble) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    history = await turns(100, 5, ensemble, seed=seed)
    assert len(history.terms()) > 100
    with operator(ensemble.connect_string) as client:
        [election] = await asyncio.to_thread(client.get_children, "/turns")
        assert election.endswith(".aioha"), "a leader's node was left behind"
        left = await asyncio.to_thread(client.get_children, f"/turns/{election}")
        assert sorted(left) == ["ended", "line"]
        assert await asyncio.to_thread(client.get_children, f"/turns/{election}/line") == []
        await asyncio.to_thread(client.delete, "/turns", recursive=True)
