"""A trial in virtual time: each candidate is a host of its own in a simulated network.

Decides what makes unchanged services run there: the clock that leases live on is virtual while a trial runs. What else
asks the real world for the time goes on being told the real one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from .candidate import AnyServer, Candidate, Service
from .simulated import Server, SimulatedEnsemble, Simulation, Weather, run
from .trial import Trial

__all__ = ["SimulatedTrial", "simulate"]

T = TypeVar("T")
PATH = "/trial"
NO_OUTSIDE = (
    "virtual time has no outside world: no sockets, processes, threads, nor signals, so no `local:` and no guardian either; "
    "put on trial what is led, and test the rest elsewhere"
)


class SimulatedTrial(Trial):
    """Made by `simulate`, or by `@simulated`. options: of `where`, for all candidates."""

    look = 0.05

    def __init__(
        self, simulation: Simulation, ensemble: SimulatedEnsemble, *, takeover: float | None = None, **options: object
    ) -> None:
        super().__init__(simulation.clock, takeover)
        self.simulation = simulation
        self.ensemble = ensemble
        self._options = options

    @property
    def servers(self) -> Sequence[Server]:
        return self.ensemble.servers

    async def leading_server(self) -> Server:
        return await self.ensemble.leader()

    def server_of(self, candidate: Candidate) -> Server | None:
        hosts = {end.peer.host for end in self.simulation.network.host(candidate.name).ends}
        found = [server for server in self.servers if server.host in hosts]
        return found[0] if len(found) == 1 else None

    # ------------------------------------------------------------------ how it is done

    def _where(self, name: str) -> str:
        if name in ("main", *(server.name for server in self.servers)):
            raise ValueError(f"{name!r} is the name of another host of the simulation")
        return self.ensemble.where(PATH, **self._options)

    def _spawn(self, name: str, copy: Any) -> "asyncio.Task[Any]":
        with self.simulation.on(name):
            return asyncio.create_task(copy, name=name)

    async def _run(self, service: Service, where: str) -> None:
        await _explained(service(where))

    async def _cut(self, candidate: Candidate, servers: Sequence[AnyServer]) -> None:
        for server in servers:
            self.simulation.network.cut(candidate.name, cast("Server", server).name)

    async def _cut_server(self, server: AnyServer, others: Sequence[AnyServer]) -> None:
        for other in others:
            self.ensemble.cut(cast("Server", server), cast("Server", other))

    async def _freeze(self, whom: Candidate | AnyServer) -> None:
        if isinstance(whom, Candidate):
            self.simulation.network.freeze(whom.name)
        else:
            cast("Server", whom).freeze()

    async def _thaw(self, whom: Candidate | AnyServer) -> None:
        if isinstance(whom, Candidate):
            self.simulation.network.thaw(whom.name)
        else:
            cast("Server", whom).thaw()

    async def _kill(self, candidate: Candidate) -> None:
        self.simulation.network.crash(candidate.name)

    async def _kill_server(self, server: AnyServer) -> None:
        cast("Server", server).kill()

    async def _expire(self, candidate: Candidate) -> None:
        ends = self.simulation.network.host(candidate.name).ends
        sessions = {door.session for end in ends if (door := end.peer.get_protocol()) is not None and door.session}
        if not sessions:
            raise RuntimeError(f"{candidate.name} has no session now: it is not connected to any server")
        ended = [self.ensemble.expire_session(session) for session in sessions]
        if not any(ended):
            raise RuntimeError(f"the session of {candidate.name} cannot be ended: no server leads, or it is over already")

    async def _heal_links(self) -> None:
        self.simulation.network.heal()

    async def _revive(self) -> None:
        await self.ensemble.restore()

    async def _close(self) -> None:
        """The simulation ends itself."""


def simulate(
    play: Callable[[SimulatedTrial], Awaitable[T]],
    seed: int = 0,
    *,
    servers: int = 3,
    tick: float = 2.0,
    weather: Weather | None = None,
    takeover: float | None = None,
    **options: object,
) -> T:
    """Run `play(trial)` in virtual time, in a loop of its own; returns what it returns, raises what it raises.

    The same seed gives the same run. tick: the servers' tickTime, seconds. weather: how all links are; None: a good
    local network. takeover: see `Trial`. options: of `where`, for all candidates.
    """

    clocks: list[Callable[[], float]] = []

    async def main(simulation: Simulation) -> T:
        clocks.append(simulation.clock)
        ensemble = await simulation.ensemble(servers, tick=tick)
        async with SimulatedTrial(simulation, ensemble, takeover=takeover, **options) as trial:
            return await _explained(play(trial))

    with _leases_live_on(clocks):  # until all is cancelled, those that were killed included
        return run(main, seed, weather=weather)


async def _explained(awaitable: Awaitable[T]) -> T:
    try:
        return await awaitable
    except NotImplementedError as error:
        if NO_OUTSIDE not in getattr(error, "__notes__", ()):
            error.add_note(NO_OUTSIDE)
        raise


@contextmanager
def _leases_live_on(clocks: Sequence[Callable[[], float]]) -> Generator[None]:
    """CLOCK_BOOTTIME is virtual: a service that knows nothing of simulations makes its electors without `clock=`."""
    real = time.clock_gettime

    def clock_gettime(clk_id: int, /) -> float:
        return clocks[0]() if clocks and clk_id == time.CLOCK_BOOTTIME else real(clk_id)

    time.clock_gettime = clock_gettime
    try:
        yield
    finally:
        time.clock_gettime = real
