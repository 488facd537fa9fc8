"""The first connect: the next server is asked soon, and a failure names every server and the reason, and leaves nothing."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest
from livesession import BOUND, Fake, fake, living, new_path

from aioha.clock import boottime
from aioha.errors import SessionFailed, Unavailable
from aioha.session import SessionState
from aioha.sessions import Sessions
from aioha.testing import Ensemble, Proxy, no_leaks
from aioha.where import Server
from aioha.wire import requests
from aioha.wire.errors import NoNode

pytestmark = pytest.mark.anyio

Kind = Callable[[], contextlib.AbstractAsyncContextManager[str]]


def sessions_on(addresses: str, timeout: float = 6.0, *, pings_prove: bool = False) -> Sessions:
    servers = [Server(host, int(port)) for host, _, port in (each.rpartition(":") for each in addresses.split(","))]
    return Sessions(servers, session_timeout=timeout, clock=boottime, pings_prove=pings_prove)


@contextlib.asynccontextmanager
async def unaccepting() -> AsyncIterator[str]:
    """A port to which no connect is ever answered: its queue is full, so the kernel drops what comes."""
    with socket.socket() as deaf, contextlib.ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        yield f"127.0.0.1:{deaf.getsockname()[1]}"


@contextlib.asynccontextmanager
async def accepting() -> AsyncIterator[str]:
    """A server that accepts and never says a word, as a frozen one does."""

    async def script(server: Fake) -> None:
        await server.reader.read()

    async with fake(script) as address:
        yield address


@contextlib.asynccontextmanager
async def http() -> AsyncIterator[str]:
    async def script(server: Fake) -> None:
        await server.reader.read(1)
        server.writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        await server.writer.drain()

    async with fake(script) as address:
        yield address


@contextlib.asynccontextmanager
async def rubbish() -> AsyncIterator[str]:
    async def script(server: Fake) -> None:
        await server.request()
        server.say(b"\x00\x01rubbish")
        await server.reader.read()

    async with fake(script) as address:
        yield address


@contextlib.asynccontextmanager
async def oversized() -> AsyncIterator[str]:
    async def script(server: Fake) -> None:
        await server.request()
        server.writer.write((1 << 30).to_bytes(4, "big"))
        await server.reader.read()

    async with fake(script) as address:
        yield address


@contextlib.asynccontextmanager
async def endless() -> AsyncIterator[str]:
    """Grants sessions of no length at all: heartbeats at an eighth of that would be a busy loop."""

    async def script(server: Fake) -> None:
        await server.greet(timeout=0.0)
        await server.reader.read()

    async with fake(script) as address:
        yield address


@contextlib.asynccontextmanager
async def hanging_up() -> AsyncIterator[str]:
    """As a server without a quorum, one that is behind us, or one whose maxClientCnxns is reached."""

    async def script(server: Fake) -> None:
        await server.request()

    async with fake(script) as address:
        yield address


@contextlib.asynccontextmanager
async def closed() -> AsyncIterator[str]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        yield f"127.0.0.1:{bound.getsockname()[1]}"


KINDS: dict[Kind, str] = {
    closed: "connection refused",
    http: r"does not speak ZooKeeper's protocol \(it sent b'HTTP/1.1 400 Bad'\)",
    rubbish: r"sent a frame that cannot be read \(error\)",
    oversized: r"does not speak ZooKeeper's protocol \(it sent b'@\\x00\\x00\\x00'\)",
    endless: "granted a session of 0 s",
    hanging_up: "connection closed by the server",
    accepting: "accepted the connection, but did not answer( yet| within .* s)",
    unaccepting: "no answer to a TCP connect( yet| within .* s)",
}


def name_of(kind: Kind) -> str:
    return getattr(kind, "__name__", "?")


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
async def test_open_says_in_one_line_why_the_server_cannot_be_used(kind: Kind) -> None:
    async with no_leaks(), kind() as address:
        begun, cpu = time.monotonic(), time.process_time()
        with pytest.raises(Unavailable) as failure:
            await sessions_on(address).open(0.8)
        took, busy = time.monotonic() - begun, time.process_time() - cpu
        print(f"{name_of(kind)}: {failure.value}")
        assert str(failure.value).startswith(f"no ZooKeeper server reached within 0.8 s: {address}: ")
        failure.match(f"{address}: {KINDS[kind]}$")
        assert "\n" not in str(failure.value)
        assert took < 0.8 + 1.0
        assert busy < 0.2


async def test_open_names_every_server_and_what_is_wrong_with_it() -> None:
    begun = time.monotonic()
    async with no_leaks(), contextlib.AsyncExitStack() as stack:
        addresses = {kind: await stack.enter_async_context(kind()) for kind in KINDS}
        with pytest.raises(Unavailable) as failure:
            await sessions_on(",".join(addresses.values())).open(1.5)
        print(failure.value)
        assert time.monotonic() - begun < 1.5 + 1.0
        for kind, address in addresses.items():
            failure.match(f"{address}: {KINDS[kind]}(; |$)")


async def test_a_name_that_does_not_resolve_is_named_as_such() -> None:
    with pytest.raises(Unavailable, match=r"no-such-host\.invalid:2181: .*(not known|resolution|no address)"):
        await sessions_on("no-such-host.invalid:2181").open(1.5)


@pytest.mark.parametrize("kind", [accepting, unaccepting, http, closed], ids=name_of)
async def test_the_second_server_is_attached_soon_whatever_is_wrong_with_the_first(zookeeper: Ensemble, kind: Kind) -> None:
    async with kind() as bad:
        begun = time.monotonic()
        async with living(f"{bad},{zookeeper.connect_string}", 10.0) as (session, _):
            took = time.monotonic() - begun
            print(f"first server is {name_of(kind)}: attached to the second after {took * 1000:.0f} ms")
            assert session.server == zookeeper.connect_string
            assert took < 1.2


async def test_a_slow_ensemble_is_waited_for_longer_in_every_round(zookeeper: Ensemble) -> None:
    """Who gives every server 0.3 s and no more never gets a session from servers that need a second."""
    with Proxy(zookeeper.servers[0].address) as one, Proxy(zookeeper.servers[0].address) as two:
        one.delay(0.4)
        two.delay(0.4)
        begun = time.monotonic()
        async with living(f"{one.address},{two.address}", 10.0):
            print(f"servers that answer after 0.8 s: attached after {time.monotonic() - begun:.2f} s")
            assert time.monotonic() - begun < 6.0


async def test_a_server_that_serves_one_connection_per_host_says_so_and_is_used_when_it_is_free() -> None:
    async with Ensemble(extra=["maxClientCnxns=1"]) as ensemble:
        address = ensemble.servers[0].address
        with Proxy(address) as proxy:
            async with living(proxy.address) as (session, heard):
                with pytest.raises(Unavailable, match="connection (closed by the server|lost)"):
                    await sessions_on(address).open(1.0)
                for _ in range(3):  # our own old connection must not stand in our way
                    cut = asyncio.get_running_loop().time()
                    proxy.cut()
                    again = await heard.until(SessionState.CONNECTED, after=cut)
                    assert again - cut < 1.0
                before = session.id
            assert before
            free = sessions_on(address)
            await free.open(5.0)
            await free.close()


async def test_a_failed_or_cancelled_open_leaves_nothing(zookeeper: Ensemble) -> None:
    async with accepting() as address:
        for moment in (0.0, 0.001, 0.05, 0.3):
            async with no_leaks():
                opening = asyncio.create_task(sessions_on(address).open(10.0))
                await asyncio.sleep(moment)
                opening.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await opening


async def test_closing_that_is_cancelled_leaves_nothing(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        sessions = sessions_on(proxy.address)
        async with no_leaks():
            await sessions.open(10.0)
            proxy.hold()
            closing = asyncio.create_task(sessions.close())
            await asyncio.sleep(0.05)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            proxy.cut()


async def test_the_next_session_begins_where_the_last_one_died(zookeeper: Ensemble) -> None:
    sessions = sessions_on(zookeeper.connect_string)
    await sessions.open(10.0)
    first, path = await sessions.live(), new_path()
    await first.send(requests.create(path, b"", ephemeral=True))
    await first.close()
    second = await asyncio.wait_for(sessions.live(), BOUND)
    assert second.id not in (0, first.id)
    assert first.state is SessionState.CLOSED
    with pytest.raises(NoNode):
        await second.send(requests.exists(path))
    await sessions.close()
    with pytest.raises(SessionFailed, match="closed"):
        await sessions.live()


async def test_a_ping_lease_is_refused_on_an_ensemble_and_works_on_a_lone_server(
    ensemble: Ensemble, zookeeper: Ensemble
) -> None:
    async with no_leaks():
        with pytest.raises(SessionFailed, match=r"lease=ping is safe on a lone server only.*use lease=quorum"):
            await sessions_on(ensemble.connect_string, pings_prove=True).open(10.0)
        sessions = sessions_on(zookeeper.connect_string, pings_prove=True)
        await sessions.open(10.0)
        lease = (await sessions.live()).lease
        anchored = lease.anchored
        async with asyncio.timeout(BOUND):
            while lease.anchored <= anchored:  # a ping proves it anew
                await asyncio.sleep(0.01)
        await sessions.close()
