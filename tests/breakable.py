"""One case played in both worlds, the real one and the simulated, while it breaks their servers."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from simulated_client import Raw
from simulated_table import Case
from test_simulated_conformance import World, play

from aioha.testing import Ensemble
from aioha.testing.simulated import Simulation

TICK, SYNC_LIMIT = 0.2, 5


class Breakable(World):
    """A world whose servers can be broken: roles are those at the beginning. `act(what, *roles)` does it.

    `late`: seconds that this world's machine may add to anything. `early`: the share of sessions that it may end too early.
    """

    late, early = 0.002, 0.0  # of the simulation: its network's round trip

    def __init__(
        self, addresses: dict[str, tuple[str, int]], clock: Callable[[], float], act: Callable[..., Awaitable[None]]
    ) -> None:
        super().__init__(addresses, TICK)
        self.clock = clock
        self.act = act

    async def again(self, like: Raw, where: str, timeout: float = 10.0) -> Raw:
        """The session of `like`, as soon as that server serves."""
        for _ in range(200):
            probe = Raw(self.transcript.aside(), "probe", self._addresses[where])
            with contextlib.suppress(OSError):
                await probe.connect(seen=like.zxid)
                if probe.id:
                    await probe.close()
                    break
            await probe.shut()
            await asyncio.sleep(0.05)
        return await self.raw(where).connect(timeout, like=like)


class Real(Breakable):
    """Servers and we share a machine, which may be busy."""

    late, early = 0.3, 0.25


@contextlib.asynccontextmanager
async def beating(raw: Raw) -> AsyncIterator[None]:
    """Pings that no transcript shows; the last one is answered before anybody else reads from the connection."""
    aside = Raw(raw._transcript.aside(), "beat", raw._address)
    aside._reader, aside._writer = raw._reader, raw._writer
    over = asyncio.Event()

    async def beats() -> None:
        while not over.is_set():
            await aside.ping()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 0.02)

    task = asyncio.create_task(beats())
    try:
        yield
    finally:
        over.set()
        await task


async def in_simulation(case: Case, simulation: Simulation) -> list[str]:
    ensemble = await simulation.ensemble(3, tick=TICK, sync_limit=SYNC_LIMIT)
    leader = await ensemble.leader()
    follower, other = ensemble.followers()
    roles = {"leader": leader, "follower": follower, "other": other}

    async def act(what: str, *names: str) -> None:
        servers = [roles[name] for name in names]
        if what in ("cut", "isolate", "heal"):
            getattr(ensemble, what)(*servers)
        else:
            getattr(servers[0], what)()

    addresses = {name: (server.name, 2181) for name, server in roles.items()}
    world = await play(case, Breakable({**addresses, "here": addresses["leader"]}, simulation.clock, act))
    return world.transcript.lines


async def in_reality(case: Case, ensemble: Ensemble) -> list[str]:
    leader = await asyncio.to_thread(ensemble.leader)
    follower, other = await asyncio.to_thread(ensemble.followers)
    roles = {"leader": leader, "follower": follower, "other": other}

    async def act(what: str, *names: str) -> None:
        servers = [roles[name] for name in names]
        target = ensemble if what in ("cut", "isolate", "heal") else servers.pop(0)
        await asyncio.to_thread(getattr(target, what), *servers)

    addresses = {name: ("127.0.0.1", server.port) for name, server in roles.items()}
    world = Real({**addresses, "here": addresses["leader"]}, time.monotonic, act)
    try:
        return (await play(case, world)).transcript.lines
    finally:
        await asyncio.to_thread(ensemble.restore)
