"""Candidates who wait in line, in virtual time, in every layout that has a line; and what their work has seen."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from proof.operator import Operator

from aioha import Elector, Term
from aioha.elections.zookeeper.dialects import DIALECTS, LINE
from aioha.testing.simulated import SimulatedEnsemble, Simulation, Weather, run
from aioha.testing.simulated.codes import Op
from aioha.wire.connection import Connection

__all__ = ["PATH", "Queue", "T", "counted", "played"]

PATH = "/service/election"
T = 10.0  # seconds, of the sessions


class Queue:
    """Candidates in one queue, and what their work has seen."""

    def __init__(self, simulation: Simulation, ensemble: SimulatedEnsemble, layout: str) -> None:
        self.simulation = simulation
        self.ensemble = ensemble
        self.layout = layout
        self.operator = Operator(ensemble)
        self.electors = dict[str, Elector]()
        self.at_work = list[str]()
        self.terms = list[tuple[str, Term]]()
        self.began = list[float]()
        self.ended = list[float]()
        self.tasks = dict[str, asyncio.Task[None]]()
        self.news = asyncio.Condition()

    def elector(self, name: str, **options: Any) -> Elector:
        given: dict[str, Any] = {"layout": self.layout, "session_timeout": T, "clock": self.simulation.clock, **options}
        return Elector(self.ensemble.where(PATH), identity=name, **given)

    async def join(self, name: str, **options: Any) -> None:
        """On a host of its own; returns when it is in line."""
        with self.simulation.on(name):
            self.tasks[name] = asyncio.create_task(self.lead(name, **options))
        await asyncio.sleep(0.5)

    async def lead(self, name: str, **options: Any) -> None:
        async with self.elector(name, **options) as self.electors[name]:
            await self.electors[name].lead(lambda term: self._work(name, term))

    async def _work(self, name: str, term: Term) -> None:
        assert not self.at_work, f"{name} begins beside {self.at_work}"
        self.at_work.append(name)
        self.terms.append((name, term))
        self.began.append(self.simulation.clock())
        async with self.news:
            self.news.notify_all()
        try:
            await asyncio.Event().wait()
        finally:
            self.at_work.remove(name)
            self.ended.append(self.simulation.clock())

    async def until(self, number: int) -> tuple[str, Term]:
        """The so-many-th term, once it has begun."""
        async with asyncio.timeout(300.0), self.news:
            await self.news.wait_for(lambda: len(self.terms) >= number)
        return self.terms[number - 1]

    def crash(self, name: str) -> None:
        self.simulation.network.crash(name)
        if name in self.at_work:  # what a dead process does is no history
            self.at_work.remove(name)

    def data(self, path: str) -> Any:
        """What a place in the line says."""
        node = self.operator.tree.get(path)
        assert node is not None
        return json.loads(node.data or b"{}")

    def members(self) -> list[str]:
        """Paths, the first in line first. In the `ephemeral` layout the leader is not among them."""
        root, dialect = (f"{PATH}.aioha/line", LINE) if self.layout not in DIALECTS else (PATH, DIALECTS[self.layout])
        children = [path for path, _ in self.operator.tree.walk() if path.startswith(f"{root}/")]
        return [f"{root}/{name}" for name in dialect.in_order(path.rpartition("/")[2] for path in children)]


def played(layout: str, play: Callable[[Queue], Awaitable[None]], servers: int = 3, weather: Weather | None = None) -> None:
    async def main(simulation: Simulation) -> None:
        queue = Queue(simulation, await simulation.ensemble(servers, tick=1.0), layout)
        await play(queue)
        for name, task in queue.tasks.items():
            if task.done():
                task.result()
            queue.crash(name)

    run(main, 1, weather=weather)


@contextmanager
def counted() -> Generator[list[Any]]:
    """The requests that all candidates send, but for heartbeats."""
    asked, send = list[Any](), Connection.send

    def counting(self: Connection, request: Any, *args: Any, **named: Any) -> Any:
        inside = getattr(request, "requests", ())
        if request.opcode not in (Op.PING, Op.SYNC) and {each.opcode for each in inside} != {Op.CHECK}:
            asked.append(request)
        return send(self, request, *args, **named)

    with mock.patch.object(Connection, "send", counting):
        yield asked
