"""Clocks of simulated hosts: suspended ones, fast and slow ones; hosts that come up again."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest
from simulated_client import Raw
from simulated_numbers import EPHEMERAL
from simulated_transcript import Transcript
from test_simulated_elections import TIMEOUT, Scene, played

from aioha.testing.simulated import Simulation, run
from aioha.testing.simulated.clocks import HostClock

HOST = "h"


def on_host(simulation: Simulation, work: Awaitable[None]) -> "asyncio.Task[None]":
    async def working() -> None:
        await work

    with simulation.on(HOST):
        return asyncio.create_task(working())


def test_a_suspended_host_is_late_by_as_long_and_one_clock_counts_it() -> None:
    async def main(simulation: Simulation) -> list[tuple[float, float, float]]:
        clock, loop, begun = simulation.clock_of(HOST), simulation.loop, simulation.clock()
        seen = list[tuple[float, float, float]]()

        async def ticking() -> None:
            while True:
                seen.append((simulation.clock() - begun, clock() - begun, loop.time() - begun))
                await asyncio.sleep(1)

        task = on_host(simulation, ticking())
        await asyncio.sleep(1.5)
        simulation.network.suspend(HOST)
        await asyncio.sleep(10)
        assert clock() - begun == 11.5
        simulation.network.thaw(HOST)
        await asyncio.sleep(1.7)
        task.cancel()
        assert loop.time() == simulation.clock(), "who has not slept has lost nothing"
        return seen

    assert run(main) == [(0, 0, 0), (1, 1, 1), (12, 12, 2), (13, 13, 3)]


def test_timeouts_of_a_suspended_host_are_late_too() -> None:
    async def main(simulation: Simulation) -> list[float]:
        begun, ends = simulation.clock(), list[float]()

        async def waiting() -> None:
            with anyio.move_on_after(3):
                await asyncio.Event().wait()
            ends.append(simulation.clock() - begun)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await asyncio.Event().wait()
            ends.append(simulation.clock() - begun)

        task = on_host(simulation, waiting())
        for _ in range(2):
            await asyncio.sleep(1)
            simulation.network.suspend(HOST)
            await asyncio.sleep(2)
            simulation.network.thaw(HOST)
        await task
        return ends

    assert run(main) == [7, 10]


def test_nobody_can_connect_to_a_suspended_host() -> None:
    async def main(simulation: Simulation) -> None:
        await simulation.ensemble()
        simulation.network.suspend("zk1")
        begun = simulation.clock()
        dial = asyncio.create_task(asyncio.open_connection("zk1", 2181))
        await asyncio.sleep(2)
        simulation.network.thaw("zk1")
        _, writer = await dial
        assert 2.9 < simulation.clock() - begun < 3.1, "at the repeated SYN"
        writer.close()

    run(main)


@pytest.mark.parametrize("rate", [1.001, 0.999, 1.5])
def test_timers_follow_the_clock(rate: float) -> None:
    async def main(simulation: Simulation) -> None:
        network, clock, begun = simulation.network, simulation.clock_of(HOST), simulation.clock()
        network.set_rate(HOST, rate)

        async def sleeping() -> None:
            for _ in range(1000):
                until = clock() + 0.1
                with anyio.move_on_after(0.1):
                    await asyncio.Event().wait()
                assert clock() == pytest.approx(until)

        await on_host(simulation, sleeping())
        assert simulation.clock() - begun == pytest.approx(100 / rate)
        assert clock() - begun == pytest.approx(100)
        assert network.true_time(HOST, clock() + 10) == pytest.approx(simulation.clock() + 10 / rate)
        network.set_rate(HOST, 1.0)
        before = clock()
        await asyncio.sleep(1)
        assert clock() - before == pytest.approx(1)

    run(main)


def test_a_timer_that_runs_follows_a_new_rate() -> None:
    async def main(simulation: Simulation) -> float:
        begun = simulation.clock()

        async def sleeping() -> None:
            await asyncio.sleep(10)

        task = on_host(simulation, sleeping())
        await asyncio.sleep(5)
        simulation.network.set_rate(HOST, 2.0)
        await task
        return simulation.clock() - begun

    assert run(main) == 7.5


def test_a_timer_is_never_early_by_a_rounding() -> None:
    """Else whoever looks at the clock when it fires sets it anew, for the same moment, for ever."""
    clock = HostClock(1000.0)
    for number in range(2000):
        now = 1000.0 + number * 0.37
        clock.change(now, rate=1 + (number % 7 - 3) * 3e-4)
        due = clock.when_monotonic(reading := clock.monotonic(now) + 0.1 * number, now)
        assert clock.monotonic(due) >= reading
        assert clock.monotonic(due) == pytest.approx(reading)


@pytest.mark.parametrize("rate", [0.5, 2.0])
def test_a_servers_clock_decides_when_a_session_expires(rate: float) -> None:
    async def main(simulation: Simulation) -> float:
        ensemble = await simulation.ensemble(1, tick=0.2)
        raw = await Raw(Transcript("/"), "c", ("zk1", 2181)).connect(4.0)
        await raw.create("/e", b"", EPHEMERAL)
        simulation.network.set_rate("zk1", rate)
        await raw.shut()
        begun = simulation.clock()
        while ensemble.servers[0].tree.get("/e") is not None:
            await asyncio.sleep(0.05)
        return simulation.clock() - begun

    assert 4.0 / rate - 0.2 < run(main) < 4.3 / rate + 0.1


def test_a_host_that_comes_up_again_runs_nothing_of_before() -> None:
    async def main(simulation: Simulation) -> list[str]:
        seen, network = list[str](), simulation.network

        async def ticking(name: str) -> None:
            while True:
                seen.append(name)
                await asyncio.sleep(1)

        on_host(simulation, ticking("before"))
        await asyncio.sleep(1.5)
        network.crash(HOST)
        assert network.is_frozen(HOST)
        await asyncio.sleep(1)
        network.revive(HOST)
        after = on_host(simulation, ticking("after"))
        await asyncio.sleep(1.5)
        assert simulation.loop.tasks_of(network.host(HOST).actor) == [after]
        result, seen = seen, []
        return result

    assert run(main) == ["before", "before", "after", "after"]


def suspended(seconds: float) -> Callable[[Scene], Awaitable[None]]:
    async def play(scene: Scene) -> None:
        first = await scene.leading()
        interval = scene.history.intervals[0]
        scene.network.suspend(first.host)
        await asyncio.sleep(seconds)
        scene.network.thaw(first.host)
        await asyncio.sleep(0.001)
        if seconds < TIMEOUT / 4:
            assert interval.ended is None, "a short sleep costs nothing"
            await asyncio.sleep(3 * TIMEOUT)
            assert len(scene.history.intervals) == 1
        else:
            assert interval.ended is not None, "it has looked at the clock that counts, before it did anything else"
            interval.ended = (await scene.history.until(2)).begun  # who sleeps only believes

    return play


@pytest.mark.parametrize("seconds", [1.0, 60.0])
def test_a_leader_is_suspended(seconds: float) -> None:
    assert played(suspended(seconds), 1) == played(suspended(seconds), 1)


def test_a_lease_outlives_no_session_whatever_the_clocks_rates() -> None:
    """A slow candidate and fast servers, as far apart as leases allow for; its network goes, and its work ends in time."""

    async def play(scene: Scene) -> None:
        for server in scene.ensemble.servers:
            scene.network.set_rate(server.name, 1.0005)
        scene.network.set_rate("c1", 0.9995)
        first = await scene.leading()
        for server in scene.ensemble.servers:
            scene.network.cut(first.host, server.name)
        await scene.history.until(2)
        scene.network.heal()
        await asyncio.sleep(2 * TIMEOUT)

    assert played(play, 4) == played(play, 4)
