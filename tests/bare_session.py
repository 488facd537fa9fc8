"""One session without servers: connections come and go as the test says. In virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from answering import Answering

from aioha.lease import Lease
from aioha.session import ZooKeeperSession
from aioha.testing.simulated import Simulation, run
from aioha.where import Server
from aioha.wire.connection import Greeting

__all__ = ["ASKED", "Bare", "bare"]

ASKED = 6.0


class Bare:
    """A session, and what it has told."""

    def __init__(self, simulation: Simulation, timeout: float) -> None:
        self.clock = simulation.clock
        self.begun = simulation.clock()
        self.lease = Lease()
        self.session = ZooKeeperSession([Server("zk1")], timeout, simulation.clock, lease=self.lease)
        self.heard: list[str] = []
        self.session.subscribe(lambda: self.heard.append(self.session.state.value))

    @property
    def now(self) -> float:
        return round(self.clock() - self.begun, 6)

    async def until(self, time: float) -> None:
        await asyncio.sleep(self.begun + time - self.clock())

    def granted(self, session_id: int = 7, timeout: float = ASKED, delay: float | None = 0.0) -> Answering:
        """A server has granted it, and no more."""
        connection = Answering(self.clock, delay=delay)
        self.session.granted(connection, Greeting(self.clock(), session_id, b"p" * 16, timeout))  # type: ignore[arg-type]
        return connection

    def attached(self, session_id: int = 7, timeout: float = ASKED, delay: float | None = 0.0) -> Answering:
        connection = self.granted(session_id, timeout, delay)
        assert self.session.attach_to(connection)  # type: ignore[arg-type]
        return connection

    def attacher(self, *lasting: float | Exception) -> list[tuple[float, float, Any]]:
        """From now on `run` gets connections that last so long, and at last is told that it shall not go on. Returns when it
        asked, with which pause, and after which connection.
        """
        asked: list[tuple[float, float, Any]] = []
        times = list(lasting)

        async def attach(_: Any, pause: float, last: Any = None, **_how: Any) -> Any:
            asked.append((self.now, round(pause, 6), last))
            if not times:
                return None
            lasts = times.pop(0)
            if isinstance(lasts, Exception):
                raise lasts
            connection = self.attached()
            asyncio.get_running_loop().call_later(lasts, connection.abort, "cut")
            return connection

        self.session._attacher.attach = attach  # type: ignore[method-assign]
        return asked


def bare(play: Callable[[Bare], Awaitable[None]], timeout: float = ASKED) -> None:
    async def main(simulation: Simulation) -> None:
        await play(Bare(simulation, timeout))

    run(main)
