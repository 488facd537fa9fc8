"""The smallest useful ZooKeeper client: one asyncio.Protocol, frames packed by hand, one session.

It is the yardstick: what a handover costs when nothing but the necessary bytes travel.
"""

import asyncio
import contextlib
import struct
import time

__all__ = ["EPHEMERAL", "NODEEXISTS", "NONODE", "OK", "PERSISTENT", "SEQUENTIAL", "Session"]

OK, NONODE, NODEEXISTS = 0, -101, -110
CREATE, DELETE, EXISTS, CHILDREN, PING, CLOSE = 1, 2, 3, 8, 11, -11
PERSISTENT, EPHEMERAL, SEQUENTIAL = 0, 1, 2
ANYONE = struct.pack(">iii5si6s", 1, 31, 5, b"world", 6, b"anyone")
PING_XID, EVENT_XID = -2, -1

Reply = tuple[int, bytes]  # error code, body


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.transport: asyncio.Transport | None = None
        self.greeting: asyncio.Future[tuple[int, int, bytes]] = asyncio.get_running_loop().create_future()
        self.sent = 0.0
        self._buffer = b""
        self._pending: dict[int, tuple[asyncio.Future[Reply], float]] = {}
        self._xid = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.greeting, *(future for future, _ in self._pending.values())):
            if not future.done():
                future.set_exception(ConnectionError("connection lost"))
                future.exception()
        self._pending.clear()
        self.session.dropped(self)

    def hello(self, timeout: float, sid: int, password: bytes) -> "asyncio.Future[tuple[int, int, bytes]]":
        assert self.transport is not None
        self.sent = time.monotonic()
        self.transport.write(struct.pack(">iiqiqi16s?", 45, 0, 0, round(timeout * 1000), sid, 16, password, False))
        return self.greeting

    def call(self, operation: int, body: bytes = b"") -> "asyncio.Future[Reply]":
        assert self.transport is not None
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._xid += operation != PING
        xid = PING_XID if operation == PING else self._xid
        self._pending[xid] = future, time.monotonic()
        self.transport.write(struct.pack(">iii", len(body) + 8, xid, operation) + body)
        return future

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 4 and len(self._buffer) >= (size := int.from_bytes(self._buffer[:4], "big") + 4):
            frame, self._buffer = self._buffer[4:size], self._buffer[size:]
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        if not self.greeting.done():
            granted, sid, _, password = struct.unpack_from(">iqi16s", frame, 4)
            self.greeting.set_result((granted, sid, password))
            return
        xid, _, error = struct.unpack_from(">iqi", frame)
        if xid == EVENT_XID:
            (length,) = struct.unpack_from(">i", frame, 24)
            self.session.event(frame[28 : 28 + length].decode())
            return
        future, sent = self._pending.pop(xid)
        self.session.replied(sent)
        if not future.done():
            future.set_result((error, frame[16:]))


class Session:
    """A session that outlives its connections, and knows until when it surely lives: `deadline`.

    deadline = when the last answered request was sent + session timeout. (Not safe behind a follower that is cut off
    from its leader; the yardstick does not care.)
    """

    def __init__(self, servers: str, timeout: float) -> None:
        self.servers = [server.rsplit(":", 1) for server in servers.split(",")]
        self.asked = self.timeout = timeout
        self.deadline = 0.0
        self.connected, self.lost = asyncio.Event(), asyncio.Event()
        self._watches: dict[str, list[asyncio.Future[None]]] = {}
        self._wire: Wire | None = None
        self._sid, self._password, self._turn = 0, bytes(16), 0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep())
        await self.connected.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self.connected.is_set():
            with contextlib.suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(self.call(CLOSE), 2)

    async def _keep(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self._connect(), self.asked / 3)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.05)
            while self.connected.is_set():
                try:
                    await asyncio.wait_for(self.call(PING), self.timeout / 3)
                    await asyncio.sleep(self.timeout / 3)
                except (ConnectionError, TimeoutError):
                    self.connected.clear()

    async def _connect(self) -> None:
        host, port = self.servers[self._turn % len(self.servers)]
        self._turn += 1
        transport, wire = await asyncio.get_running_loop().create_connection(lambda: Wire(self), host, int(port))
        try:
            granted, sid, password = await wire.hello(self.asked, self._sid, self._password)
            if not granted:  # expired: a new session at the next try
                self._sid, self._password = 0, bytes(16)
                self.lost.set()
                raise ConnectionError("expired")
        except BaseException:
            transport.abort()
            raise
        self._wire, self._sid, self._password, self.timeout = wire, sid, password, granted / 1000
        self.replied(wire.sent)
        self.lost.clear()
        self.connected.set()

    def replied(self, sent: float) -> None:
        self.deadline = max(self.deadline, sent + self.timeout)

    def dropped(self, wire: Wire) -> None:
        if wire is self._wire:
            self.connected.clear()
            watches, self._watches = self._watches, {}
            for future in (future for futures in watches.values() for future in futures):
                if not future.done():
                    future.set_exception(ConnectionError("watch lost"))
                    future.exception()

    def event(self, path: str) -> None:
        for future in self._watches.pop(path, ()):
            if not future.done():
                future.set_result(None)

    def call(self, operation: int, body: bytes = b"") -> "asyncio.Future[Reply]":
        if not self.connected.is_set() or self._wire is None:
            raise ConnectionError("not connected")
        return self._wire.call(operation, body)

    async def create(self, path: str, flags: int) -> tuple[int, str]:
        body = _text(path) + struct.pack(">i", 0) + ANYONE + struct.pack(">i", flags)
        error, reply = await self.call(CREATE, body)
        return error, reply[4:].decode()

    async def ensure(self, path: str) -> None:
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            await self.create("/" + "/".join(parts[:depth]), PERSISTENT)

    async def delete(self, path: str) -> int:
        return (await self.call(DELETE, _text(path) + struct.pack(">i", -1)))[0]

    async def watch(self, path: str) -> "tuple[bool, asyncio.Future[None]]":
        """Does it exist, and the future of the next event on it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watches.setdefault(path, []).append(future)
        return (await self.call(EXISTS, _text(path) + b"\1"))[0] == OK, future

    async def children(self, path: str) -> list[str]:
        error, body = await self.call(CHILDREN, _text(path) + b"\0")
        names: list[str] = []
        at = 4
        while not error and at < len(body):
            (length,) = struct.unpack_from(">i", body, at)
            names.append(body[at + 4 : at + 4 + length].decode())
            at += 4 + length
        return names


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">i", len(raw)) + raw
