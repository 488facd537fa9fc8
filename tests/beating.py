"""One heartbeat on a connection that the test answers for, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from answering import Answering

from aioha.heartbeat import Heartbeat, Stake
from aioha.lease import Lease
from aioha.testing.simulated import Simulation, run
from aioha.wire import requests

__all__ = ["TIMEOUT", "Beating", "beats", "stake"]

TIMEOUT = 8.0  # seconds: a beat each second, silence after 1.33, a gap of 2.4


class Noting(Lease):
    """A lease that says what it was told."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.told: list[tuple[str, float]] = []

    def relayed(self, sent: float) -> None:
        self.told.append(("relayed", sent))
        super().relayed(sent)


class Beating:
    """A heartbeat on one connection, from the moment of its attach: time 0. `late`: how far its clock is ahead of the loop,
    as after a standstill.
    """

    def __init__(self, simulation: Simulation, delay: float | None, **options: Any) -> None:
        self.begun = simulation.clock()
        self.late = 0.0
        self.lease = Noting(**options)
        self.lease.attached(self.begun, TIMEOUT, created=True)
        self.heartbeat = Heartbeat(self.lease, lambda: simulation.clock() + self.late)
        self.connection = Answering(simulation.clock, delay=delay)
        self.connection.listen(SimpleNamespace(on_reply=self._on_reply, on_lost=lambda *_: None))
        self.task: asyncio.Task[bool] = asyncio.create_task(self.heartbeat.run(self.connection))  # type: ignore[arg-type]
        self._clock = simulation.clock

    def _on_reply(self, sent: float, replied: float, _zxid: int) -> None:
        self.lease.acknowledged(sent, replied)

    @property
    def now(self) -> float:
        return round(self._clock() - self.begun, 6)

    @property
    def anchored(self) -> float:
        return round(self.lease.anchored - self.begun, 6)

    async def until(self, time: float) -> None:
        await asyncio.sleep(self.begun + time - self._clock())

    async def lost(self) -> float:
        """When it had ended."""
        await self.task
        return self.now


def beats(play: Callable[[Beating], Awaitable[None]], delay: float | None = 0.25, **options: Any) -> None:
    async def main(simulation: Simulation) -> None:
        beating = Beating(simulation, delay, **options)
        await play(beating)
        if not beating.task.done():
            beating.connection.abort("the test is over")
            async with asyncio.timeout(0.001):  # it ends at once, not with the next beat
                await beating.task

    run(main)


def stake(path: str, checks: int = 1, refuted: Callable[[Any], None] = lambda error: None) -> Stake:
    return Stake(path, [requests.check(path, version) for version in range(checks)], refuted)
