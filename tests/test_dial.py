"""Dialling servers: whoever does not accept us costs no more time than it takes to say so."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioha.clock import boottime
from aioha.where import Server
from aioha.wire.dial import HEDGE, first_accepted

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def listening(count: int) -> AsyncIterator[list[Server]]:
    served = list[asyncio.Event]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.Event())
        number = len(served) - 1
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        served[number].set()

    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for _ in range(count):
            server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
            ports.append(server.sockets[0].getsockname()[1])
        yield [Server("127.0.0.1", port) for port in ports]
        await asyncio.gather(*(each.wait() for each in served))


@pytest.mark.parametrize("count", [1, 3])
async def test_who_is_refused_what_it_asks_for_goes_on_at_once(count: int) -> None:
    async with listening(count) as servers:
        asked = list[str]()

        async def refuse(connection: Any) -> None:
            asked.append(connection.server)

        begun = boottime()
        assert await first_accepted(servers, refuse, boottime, {}) is None
        assert boottime() - begun < HEDGE
        assert asked == [str(server) for server in servers]


async def test_the_next_one_is_dialled_while_the_first_thinks_and_asked_when_that_has_refused() -> None:
    async with listening(2) as servers:
        asked = list[str]()

        async def accept(connection: Any) -> Any:
            asked.append(connection.server)
            if len(asked) == 1:
                await asyncio.sleep(1.5 * HEDGE)
                return None
            return connection

        begun = boottime()
        connection = await first_accepted(servers, accept, boottime, {})
        assert connection is not None
        connection.abort("enough")
        assert 1.5 * HEDGE <= boottime() - begun < 2.5 * HEDGE
        assert asked == [str(server) for server in servers]
