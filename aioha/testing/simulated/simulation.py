"""One simulated run: a loop, a network and a seed; `run` begins it and ends it, and lets nothing out.

The same seed gives the same run, whatever ran before it in this process: all chance comes from here, that of the `random`
module and of `uuid4` too. The former is seeded for the run and given back as it was.
"""

import asyncio
import contextvars
import math
import random
import uuid
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

from .ensemble import SimulatedEnsemble
from .handles import Handle
from .links import Weather
from .loop import VirtualLoop
from .network import Host, Network

__all__ = ["Simulation", "run"]

T = TypeVar("T")
LONGEST_END = 300.0  # virtual seconds that what is left over at the end of a run may take to be cancelled


class Simulation:
    """What a simulated test is given. `rng`: for its own choices."""

    def __init__(self, loop: VirtualLoop, seed: int, weather: Weather | None) -> None:
        self.loop = loop
        self.seed = seed
        self.rng = random.Random(f"test {seed}")
        self.network = Network(loop, seed, weather)

    def clock(self) -> float:
        """True virtual time, for `Elector(clock=...)` where hosts have no clocks of their own."""
        return self.loop.now

    def clock_of(self, host: str) -> Callable[[], float]:
        """The host's clock that counts suspend, for `Elector(clock=...)`: see `Network.suspend` and `set_rate`."""
        return _HostsClock(self.loop, self.network.host(host).actor)

    async def ensemble(self, servers: int = 1, **options: Any) -> SimulatedEnsemble:
        """A new one that serves; see `SimulatedEnsemble`."""
        made = SimulatedEnsemble(self.network, servers, seed=self.seed, **options)
        await made.ready()
        return made

    @contextmanager
    def on(self, host: str) -> Generator[Host]:
        """What is started in this block, tasks above all, runs on that host; links and faults go by its name."""
        with self.network.on(host) as found:
            yield found

    @property
    def fingerprint(self) -> str:
        return self.network.fingerprint


class _HostsClock:
    """What `aioha.alarm` asks of a clock: its reading, and alarms by it."""

    def __init__(self, loop: VirtualLoop, actor: str) -> None:
        self._loop = loop
        self._actor = actor

    def __call__(self) -> float:
        loop, clock = self._loop, self._loop.clocks.get(self._actor)
        return loop.now if clock is None else clock.boottime(loop.now)

    def alarm(self, ring: Callable[[], None]) -> "_Alarm":
        return _Alarm(self._loop, ring)


class _Alarm:
    """As the kernel's timers are."""

    def __init__(self, loop: VirtualLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._context = contextvars.copy_context()
        self._timer: Handle | None = None

    def set(self, at: float) -> None:
        self.close()
        if at < math.inf:
            self._timer = self._loop.call_at_boottime(at, self._ring, self._context)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def _uuid4() -> uuid.UUID:
    return uuid.UUID(int=random.getrandbits(128), version=4)


def run(main: Callable[[Simulation], Awaitable[T]], seed: int = 0, *, weather: Weather | None = None) -> T:
    """Run `main(simulation)` in virtual time; returns what it returns.

    Raises what it raises, and what nobody else has caught; `Stalled` where nothing can happen any more.
    """
    chance = random.getstate()
    random.seed(f"everybody {seed}")
    loop = VirtualLoop()
    by_chance = mock.patch("uuid.uuid4", _uuid4)
    try:
        by_chance.start()
        simulation = Simulation(loop, seed, weather)
        try:
            result: T = loop.run_until_complete(_awaiting(main, simulation))
        finally:
            loop.run_until_complete(_cleared(loop))
            loop.close()
            if loop.failures:
                raise loop.failures[0]
        return result
    finally:
        by_chance.stop()
        random.setstate(chance)


async def _awaiting(main: Callable[[Simulation], Awaitable[T]], simulation: Simulation) -> T:
    return await main(simulation)


async def _cleared(loop: VirtualLoop) -> None:
    """Thaw everybody, cancel what still runs, and wait until it has ended."""
    for actor in list(loop.frozen):
        loop.thaw(actor)
    left = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=LONGEST_END)
    await loop.shutdown_asyncgens()
