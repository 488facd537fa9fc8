"""Real faults of a real network: the leader is on a host of its own, and its cable, route, packets or sockets fail.

The standby is on ours. Whatever happens, work never overlaps and tokens rise; which faults cost the term, and which do
not, is what each test says.
"""

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from beside import beside
from candidates import Candidate, Event, History, now
from namespaces import Namespace, namespace

from aioha import Elector
from aioha.testing import Ensemble
from aioha.testing.fixtures import require
from aioha.testing.java import missing

pytestmark = [pytest.mark.anyio, pytest.mark.root]

SHORT, LONG = 2.0, 10.0  # session timeouts: for faults that cost the term, and for those that do not
BOUND = 30.0  # seconds: more than anything here takes


class Inside(Candidate):
    """A candidate on a host of its own."""

    def __init__(self, host: Namespace, history: History, where: str, who: str, **options: Any) -> None:
        super().__init__(history, where, who, **options)
        self._command = [*host.prefix, *self._command]


@pytest.fixture(scope="module")
def servers() -> Iterator[Ensemble]:
    """Three servers that listen on every address of ours."""
    require((hint := missing()) is None, hint or "")
    started = Ensemble(3, extra=["clientPortAddress=0.0.0.0"])
    started.start()
    yield started
    started.stop()


@pytest.fixture
def host() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


class Scene:
    """The candidate "inside", which leads, and "outside", which stands by."""

    def __init__(self, host: Namespace, history: History, inside: Candidate, outside: Elector) -> None:
        self.host = host
        self.history = history
        self.inside = inside
        self.outside = outside

    async def taken_over(self, since: float) -> Event:
        """The inner one has ended its work of its own accord before the outer one has begun."""
        end = await self.history.next("END", "inside", after=since, bound=BOUND)
        start = await self.history.next("START", "outside", after=since, bound=BOUND)
        print(f"stopped after {end.at - since:.2f} s, next after {start.at - since:.2f} s")
        assert end.at < start.at
        return start

    async def leads_again(self) -> None:
        """The inner one is as good as new: it leads, once the outer one has given way if need be."""
        async with asyncio.timeout(BOUND):
            while (leader := self.leader()) != "inside":
                if leader == "outside":
                    await self.outside.resign()
                await asyncio.sleep(0.3)
            await self.attached()

    def leader(self) -> str | None:
        _, end, who, _ = self.history.terms()[-1]
        return who if math.isinf(end) else None

    async def attached(self) -> None:
        async with asyncio.timeout(BOUND):
            while await self.inside.server() == "None":
                await asyncio.sleep(0.02)

    async def leads_on(self, seconds: float = 0.0) -> None:
        """The inner one, attached, and has led all the time."""
        await asyncio.sleep(seconds)
        await self.attached()
        assert [who for _, _, who, _ in self.history.terms()] == ["inside"]


@contextlib.asynccontextmanager
async def scene(servers: Ensemble, host: Namespace, timeout: float) -> AsyncIterator[Scene]:
    history, path = History(), f"/network/{uuid.uuid4().hex}"
    where = ",".join(f"{host.outside}:{server.port}" for server in servers.servers)
    async with Inside(host, history, f"zk://{where}{path}", "inside", session_timeout=timeout) as inside:
        await history.next("START", "inside")
        async with beside(history, servers.where(path), "outside", session_timeout=timeout) as outside:
            yield Scene(host, history, inside, outside)
            host.heal()
            await inside.quit()
    history.assert_one_at_a_time()


async def test_packets_to_the_servers_vanish(servers: Ensemble, host: Namespace) -> None:
    async with scene(servers, host, SHORT) as each:
        cut = now()
        host.drop(incoming=False)
        await each.taken_over(cut)


async def test_packets_from_the_servers_vanish(servers: Ensemble, host: Namespace) -> None:
    """What it sends goes on arriving, so that its session may well live on: only its own clock ends its term."""
    async with scene(servers, host, SHORT) as each:
        cut = now()
        host.drop(outgoing=False)
        await each.history.next("END", "inside", after=cut, bound=BOUND)
        await each.taken_over(cut)


async def test_the_link_is_down_and_up_again(servers: Ensemble, host: Namespace) -> None:
    async with scene(servers, host, SHORT) as each:
        cut = now()
        host.link("down")
        await each.taken_over(cut)
        host.link("up")
        await each.leads_again()


async def test_the_route_leads_into_a_black_hole(servers: Ensemble, host: Namespace) -> None:
    async with scene(servers, host, SHORT) as each:
        cut = now()
        host.black_hole()
        await each.taken_over(cut)
        host.heal()
        await each.leads_again()


async def test_a_storm_of_resets(servers: Ensemble, host: Namespace) -> None:
    """Every second packet is answered by RST. The term may be lost in it; nobody works twice, and it passes."""
    async with scene(servers, host, SHORT) as each:
        host.reset(0.5)
        await asyncio.sleep(2.0)
        host.heal()
        await each.leads_again()


async def test_packets_are_lost(servers: Ensemble, host: Namespace) -> None:
    """Two of five, each way, which may cost the term; nobody works twice, and it passes."""
    async with scene(servers, host, SHORT) as each:
        host.lose(0.4)
        await asyncio.sleep(2.0)
        host.heal()
        await each.leads_again()


async def test_sockets_are_destroyed(servers: Ensemble, host: Namespace) -> None:
    async with scene(servers, host, LONG) as each:
        destroyed = 0
        for _ in range(5):
            destroyed += host.destroy_sockets()
            await each.leads_on(0.2)
        if not destroyed:
            pytest.skip("this kernel destroys no sockets (`ss -K`: INET_DIAG_DESTROY)")


async def test_a_connection_that_its_server_has_forgotten(servers: Ensemble, host: Namespace) -> None:
    """Half-open: the server has gone and come back while nobody could tell us; our next packet is answered by RST."""
    async with scene(servers, host, LONG) as each:
        port = (await each.inside.server()).rpartition(":")[2]
        server = next(each for each in servers.servers if str(each.port) == port)
        host.drop()
        server.kill()
        host.heal()
        server.start()
        await each.leads_on()
        await asyncio.to_thread(server.wait_ready)
        await each.leads_on(0.5)
