"""One session of ours against real servers, what it said, and strangers that meddle with it."""

import asyncio
import contextlib
import socket
import struct
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from rawzk import Raw

from aioha.clock import boottime
from aioha.lease import Lease
from aioha.session import SessionState, ZooKeeperSession
from aioha.testing import Op
from aioha.where import Server
from aioha.wire import requests

__all__ = ["BOUND", "Fake", "Heard", "Stranger", "fake", "living", "new_path", "session_on", "usable"]

BOUND = 20.0  # seconds: more than anything here takes; a test that waits this long has failed


def new_path() -> str:
    return f"/session-{uuid.uuid4().hex}"


class Heard:
    """Every state that a session took, and when (the loop's clock)."""

    def __init__(self, session: ZooKeeperSession) -> None:
        self.session = session
        self.changes: list[tuple[float, SessionState]] = []
        self._changed = asyncio.Event()
        session.subscribe(self._hear)

    @property
    def states(self) -> list[SessionState]:
        return [state for _, state in self.changes]

    async def until(self, state: SessionState, *, after: float = 0.0, bound: float = BOUND) -> float:
        """When the session first took this state, not earlier than `after`."""
        async with asyncio.timeout(bound):
            while True:
                for at, each in self.changes:
                    if each is state and at >= after:
                        return at
                self._changed.clear()
                await self._changed.wait()

    def _hear(self) -> None:
        self.changes.append((asyncio.get_running_loop().time(), self.session.state))
        self._changed.set()


def session_on(servers: str, timeout: float = 6.0, *, credentials: tuple[str, str] | None = None) -> ZooKeeperSession:
    """A session that tries the servers ("127.0.0.1:1,127.0.0.1:2") in this order. It does not run yet."""
    listed = [Server(host, int(port)) for host, _, port in (each.rpartition(":") for each in servers.split(","))]
    session = ZooKeeperSession(listed, timeout, boottime, lease=Lease(), credentials=credentials)
    session._attacher.servers = listed
    return session


@contextlib.asynccontextmanager
async def living(
    servers: str, timeout: float = 6.0, *, attach: bool = True, credentials: tuple[str, str] | None = None
) -> AsyncIterator[tuple[ZooKeeperSession, Heard]]:
    """A session that runs, attached unless told otherwise. At the end it must close, and its task end, in order."""
    session = session_on(servers, timeout, credentials=credentials)
    heard = Heard(session)
    task = asyncio.create_task(session.run())
    try:
        if attach:
            async with asyncio.timeout(BOUND):
                await session.attached()
        yield session, heard
        async with asyncio.timeout(2.0):
            await session.close()
            await task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def usable(session: ZooKeeperSession, bound: float = BOUND) -> float:
    """Wait until a request is answered; when that was."""
    async with asyncio.timeout(bound):
        while True:
            await session.attached()
            with contextlib.suppress(Exception):
                await session.send(requests.multi(requests.check("/", -1)))  # a write: only the session's owner may
                return asyncio.get_running_loop().time()


class Stranger(Raw):
    """Somebody else who attaches to a session of ours, which takes no more than its id and password."""

    def __init__(self, address: str, session: ZooKeeperSession, *, wait: bool = True) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), 5.0)
        self._xid = 0
        self.send(struct.pack(">iqiqi16s?", 0, 0, 10_000, session.id, 16, session.password, False))
        self.session = 0
        if wait:
            _, _, self.session = struct.unpack_from(">iiq", self.receive())


class Fake:
    """What a scripted server reads and says on one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def request(self) -> bytes:
        (size,) = struct.unpack(">i", await self.reader.readexactly(4))
        return await self.reader.readexactly(size)

    def say(self, body: bytes) -> None:
        self.writer.write(struct.pack(">i", len(body)) + body)

    async def greet(self, session_id: int = 7, timeout: float = 6.0) -> int:
        """Answer the ConnectRequest; which session it asked for."""
        (asked,) = struct.unpack_from(">q", await self.request(), 16)
        self.say(struct.pack(">iiqi16s?", 0, round(timeout * 1000), session_id, 16, b"p" * 16, False))
        return int(asked)

    async def greet_and_relay(self, timeout: float = 6.0) -> None:
        """The same; a new session asks first how far the ensemble's leader is."""
        if not await self.greet(timeout=timeout):
            assert await self.answer(body=struct.pack(">i", 1) + b"/") == Op.SYNC

    async def answer(self, code: int = 0, body: bytes = b"") -> int:
        """Answer the next request; its op code."""
        xid, operation = struct.unpack_from(">ii", await self.request())
        self.say(struct.pack(">iqi", xid, 1, code) + body)
        return int(operation)


@contextlib.asynccontextmanager
async def fake(script: Callable[[Fake], Awaitable[Any]]) -> AsyncIterator[str]:
    """A server whose every connection follows the script, and is closed after it. Yields its "127.0.0.1:port"."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await script(Fake(reader, writer))
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
