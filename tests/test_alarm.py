"""Alarms by the clock that goes on while the host is suspended: they ring when it shows what was set, or not at all."""

import asyncio
import errno
import os
from typing import Any

import pytest

from aioha import Elector, timerfd
from aioha import alarm as module
from aioha.alarm import Alarm, alarm
from aioha.clock import Clock, boottime
from aioha.testing.simulated import Simulation, run

pytestmark = pytest.mark.anyio

NEVER = float("inf")
BOUND = 20.0  # seconds


class Bell:
    """`rung`: what the clock showed each time."""

    def __init__(self, clock: Clock = boottime) -> None:
        self.rung: list[float] = []
        self._clock = clock
        self._heard = asyncio.Event()
        self.alarm: Alarm = alarm(clock, self._ring)

    def _ring(self) -> None:
        self.rung.append(self._clock())
        self._heard.set()

    async def rings(self) -> float:
        async with asyncio.timeout(BOUND):
            await self._heard.wait()
        self._heard.clear()
        return self.rung[-1]


@pytest.fixture(params=["kernel", "loop"])
def bell(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, anyio_backend: str) -> type[Bell]:
    """As it is here, and as it is where there is no such timer."""
    if request.param == "loop":
        monkeypatch.setattr(module, "timerfd", None)
    return Bell


async def test_it_rings_when_the_clock_shows_it(bell: type[Bell]) -> None:
    one = bell()
    at = boottime() + 0.05
    one.alarm.set(at)
    assert at <= await one.rings() < at + BOUND
    assert len(one.rung) == 1
    one.alarm.set(at)  # it has passed
    await one.rings()
    one.alarm.close()


async def test_only_what_was_set_last_counts(bell: type[Bell]) -> None:
    one, later = bell(), bell()
    now = boottime()
    one.alarm.set(now + 0.03)
    one.alarm.set(now + 0.06)
    assert await one.rings() >= now + 0.06
    one.alarm.set(now + 0.09)
    one.alarm.set(NEVER)
    later.alarm.set(now + 0.12)
    await later.rings()
    assert len(one.rung) == 1
    one.alarm.close()
    later.alarm.close()


async def test_once_closed_it_does_not_ring(bell: type[Bell]) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    closed, later = bell(), bell()
    now = boottime()
    closed.alarm.set(now + 0.02)
    closed.alarm.close()
    closed.alarm.close()
    later.alarm.set(now + 0.05)
    await later.rings()
    later.alarm.close()
    assert closed.rung == []
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)


async def test_no_descriptor_left_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[int]()

    def none_left(*_: object) -> int:
        tried.append(errno.EMFILE)
        return -1

    monkeypatch.setattr(timerfd, "create", none_left)
    bell = Bell()
    bell.alarm.set(boottime() + 0.01)
    await bell.rings()
    bell.alarm.close()
    assert tried


def test_a_loop_without_descriptors_is_no_failure() -> None:
    async def main(simulation: Simulation) -> None:
        bell = Bell(boottime)
        bell.alarm.set(boottime() + 0.01)
        await bell.rings()
        bell.alarm.close()

    run(main)


async def test_a_descriptor_that_somebody_has_closed_is_no_silence() -> None:
    bell = Bell()
    os.close(bell.alarm._descriptor)  # type: ignore[attr-defined]
    bell.alarm.set(boottime() + 0.01)
    await bell.rings()
    bell.alarm._descriptor = -1  # type: ignore[attr-defined] - another may have its number by now


def test_a_host_that_was_suspended_is_told_at_once() -> None:
    async def main(simulation: Simulation) -> None:
        with simulation.on("laptop"):
            simulation.network.set_rate("laptop", 1.0)
            bell = Bell(simulation.clock_of("laptop"))
            bell.alarm.set(bell._clock() + 10.0)
        simulation.network.suspend("laptop")
        await asyncio.sleep(60.0)
        assert bell.rung == []
        simulation.network.thaw("laptop")
        woken = simulation.clock()
        await bell.rings()
        assert simulation.clock() == woken

    run(main)


def test_a_deadline_that_comes_nearer_is_noticed() -> None:
    """A server may grant less than the one before, and be lost before anybody is told."""

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)
        ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def lead() -> None:
            where, clock = ensemble.where("/election"), simulation.clock_of("leader")
            elector = Elector(where, session_timeout=20.0, stop_grace=1.0, clock=clock)
            async with elector, elector.campaign() as term:
                grant: Any = term._grant
                lease = grant.session.lease
                for server in ensemble.servers:
                    simulation.network.cut("leader", server.name)
                await asyncio.sleep(6.0)  # all that is to be told of the loss has been told
                lease._timeout = 10.0
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set_result(simulation.clock() - (lease.deadline - 1.0))

        with simulation.on("leader"):
            task = asyncio.create_task(lead())
        async with asyncio.timeout(60.0):
            assert 0.0 <= await ended < 20.0 / 16
        task.cancel()
        await asyncio.wait({task}, timeout=60.0)

    run(main)
