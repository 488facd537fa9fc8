"""Finding a server that answers: TCP connects to one after another, hedged, each bounded.

The next server is dialled `HEDGE` seconds after the one before, without dropping that one, or at once when that one has
refused, be it the connection or what was asked on it: a black hole costs 0.2 s and not its whole timeout. Connections are
handed over one at a time, so that only one of them is ever asked for the session.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from ..clock import Clock
from ..where import Server
from .connection import Connection

__all__ = ["HEDGE", "first_accepted"]

HEDGE = 0.2  # seconds
CONNECT_BOUND = 3.0  # seconds; outlives a lost SYN and its first repetition
T = TypeVar("T")


async def first_accepted(
    servers: Sequence[Server],
    accept: Callable[[Connection], Awaitable[T | None]],
    clock: Clock,
    failures: dict[str, str],
    bound: float = CONNECT_BOUND,
) -> T | None:
    """Dial `servers` in order until `accept` returns something for one of the connections; None if none did.

    `bound`: seconds for one TCP connect. A round lasts at least as long where a server is a black hole.
    `accept` is called with one connection at a time, and owns the one that it accepts; every other one is aborted.
    `failures` gets a line for each server that could not be reached. What `accept` raises is passed on, not grouped.
    """
    dialled: list[Connection] = []
    offered: asyncio.Queue[tuple[Connection, anyio.Event] | None] = asyncio.Queue()
    accepted: Connection | None = None
    result: T | None = None
    error: Exception | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_dial_all, servers, clock, failures, dialled, offered, bound)
            while result is None and (offer := await offered.get()) is not None:
                connection, refused = offer
                try:
                    result = await accept(connection)
                except Exception as failure:  # noqa: BLE001 - carried around the group, which would wrap it
                    error = failure
                    break
                if result is None:
                    connection.abort("not accepted")
                    refused.set()
                else:
                    accepted = connection
            group.cancel_scope.cancel()
    finally:
        for connection in dialled:
            if connection is not accepted:
                connection.abort("another server was faster")
    if error is not None:
        raise error
    return result


async def _dial_all(
    servers: Sequence[Server],
    clock: Clock,
    failures: dict[str, str],
    dialled: list[Connection],
    offered: asyncio.Queue[tuple[Connection, anyio.Event] | None],
    bound: float,
) -> None:
    async def dial_one(server: Server, refused: anyio.Event) -> None:
        connection = await _dial(server, clock, failures, dialled, bound)
        if connection is None:
            refused.set()
        else:
            offered.put_nowait((connection, refused))

    async with anyio.create_task_group() as group:
        for server in servers:
            refused = anyio.Event()
            group.start_soon(dial_one, server, refused)
            with anyio.move_on_after(HEDGE):
                await refused.wait()
    offered.put_nowait(None)


async def _dial(
    server: Server, clock: Clock, failures: dict[str, str], dialled: list[Connection], bound: float
) -> Connection | None:
    def connection() -> Connection:
        dialled.append(Connection(str(server), clock))
        return dialled[-1]

    failures.setdefault(str(server), "no answer to a TCP connect yet")
    try:
        async with asyncio.timeout(bound):
            _, made = await asyncio.get_running_loop().create_connection(connection, server.host, server.port)
    except TimeoutError:
        failures[str(server)] = f"no answer to a TCP connect within {bound:.2g} s"
    except OSError as error:
        failures[str(server)] = _reason(error)
    except UnicodeError:
        failures[str(server)] = "not a valid host name"
    else:
        failures[str(server)] = "accepted the connection, and was not asked yet"
        return made
    return None


def _reason(error: OSError) -> str:
    """`[Errno 111] Connect call failed ('127.0.0.1', 1)` says the same in three ways."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, BrokenPipeError | ConnectionResetError):
        return "connection closed by the server"  # before we even looked
    if error.errno and error.strerror and "connect" in error.strerror.lower():  # asyncio puts the address there
        return os.strerror(error.errno).lower()
    return (error.strerror or str(error) or type(error).__name__).lower()
