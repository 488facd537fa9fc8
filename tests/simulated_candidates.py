"""Candidates for simulated elections: production code, unchanged, on a host of its own each, and a common history."""

import asyncio
from dataclasses import dataclass
from typing import Any

from aioha import Elector
from aioha.testing.simulated import SimulatedEnsemble, Simulation

PATH = "/election"


@dataclass
class Interval:
    """Work of one term. `token` rises from term to term."""

    who: str
    token: int
    begun: float
    ended: float | None = None


class History:
    """Of all candidates, in virtual time. What a crashed host does is no history any more."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.intervals: list[Interval] = []
        self.changed = asyncio.Event()

    def begin(self, who: str, token: int) -> Interval:
        interval = Interval(who, token, self.simulation.clock())
        self.intervals.append(interval)
        self.changed.set()
        return interval

    def end(self, interval: Interval) -> None:
        if interval.ended is None:
            interval.ended = self.simulation.clock()
            self.changed.set()

    @property
    def working(self) -> list[Interval]:
        return [interval for interval in self.intervals if interval.ended is None]

    async def until(self, number: int, timeout: float = 300.0) -> Interval:
        """The so-many-th term has begun."""
        async with asyncio.timeout(timeout):
            while len(self.intervals) < number:
                self.changed.clear()
                await self.changed.wait()
        return self.intervals[number - 1]

    def assert_safe(self) -> None:
        """No two worked at once, and tokens have risen."""
        for former, latter in zip(self.intervals, self.intervals[1:], strict=False):
            assert former.ended is not None, f"{latter} began, and {former} has never ended"
            assert former.ended <= latter.begun, f"overlap of {former.ended - latter.begun:g} s: {former}, {latter}"
            assert former.token < latter.token

    def lines(self) -> list[str]:
        return [f"{each.who} {each.token} {each.begun!r} {each.ended!r}" for each in self.intervals]


class Candidate:
    """`host`: its name in the network. `at`: the number of the only server it knows; None: all."""

    def __init__(self, history: History, ensemble: SimulatedEnsemble, host: str, *, at: int | None = None, **options: Any):
        self.host = host
        self.elector: Elector | None = None
        self._history = history
        self._interval: Interval | None = None
        where = ensemble.where(PATH) if at is None else f"zk://{ensemble.servers[at - 1].address}{PATH}"
        options = {"session_timeout": 10.0, "tick": None, "connect_timeout": 60.0, **options}
        with history.simulation.on(host):
            self.task = asyncio.create_task(self._run(where, options), name=host)

    async def _run(self, where: str, options: dict[str, Any]) -> None:
        clock = self._history.simulation.clock_of(self.host)
        async with Elector(where, identity=self.host, clock=clock, **options) as elector:
            self.elector = elector
            while True:
                await elector.lead(self._work)

    async def _work(self, term: Any) -> None:
        interval = self._interval = self._history.begin(self.host, term.token)
        try:
            await asyncio.Event().wait()
        finally:
            self._history.end(interval)

    def crash(self) -> None:
        """Its process is gone, and its work with it."""
        if self._interval is not None:
            self._history.end(self._interval)
        self._history.simulation.network.crash(self.host)

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})

    @property
    def server(self) -> str:
        """Name of the server that it is attached to."""
        assert self.elector is not None
        assert self.elector.session is not None
        return (self.elector.session.server or "").partition(":")[0]
