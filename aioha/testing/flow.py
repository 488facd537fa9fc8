"""One connection through a `Proxy`: two flows, each a reader and a writer, that suffer the proxy's faults.

A fault is judged when bytes are about to be delivered, not when they arrive, so that it is in force for everything
after the call that asked for it. Raw sockets rather than transports: they can be reset, half closed and left unread.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

from .faults import Traffic
from .frames import Frames, Piece

__all__ = ["Connection"]

CHUNK = 65536
QUEUED = 256  # chunks under way; more stay in the sender's socket, as on a full link
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST
RETRY = 0.01
HANDSHAKE = 0  # a handshake has no xid; requests count from 1

Arrival = tuple[float, bytes | None]  # when it is due on the loop's clock; b"": end of stream, None: reset


class Connection:
    """A client's connection and ours to the server. Everything runs in the proxy's loop."""

    def __init__(self, client: socket.socket, traffic: Traffic, closed: Callable[["Connection"], None]) -> None:
        self.traffic = traffic
        self.operations: dict[int, int] = {}  # xid -> op code of requests under way
        self.broken = False  # lost bytes that the other side believes delivered: no healing
        self.mute = False  # the client has been told the end of the stream
        self.over = False
        self._client = _prepared(client)
        self._server = _socket()
        self._closed = closed
        self._ended = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._open())

    @property
    def source(self) -> int:
        """The port of our end of the connection to the server; 0 while there is none."""
        return int(self._server.getsockname()[1]) if self._server.fileno() != -1 else 0

    def reset(self) -> None:
        """RST both sides, now."""
        for sock in (self._client, self._server):
            if sock.fileno() != -1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self) -> None:
        """Close both sides, now."""
        self.over = True
        _close(self._client)
        _close(self._server)
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self._closed(self)

    def finish_client(self) -> None:
        """End the stream to the client in good order, and be deaf from here on."""
        self.mute = True
        self._client.shutdown(socket.SHUT_WR)  # closing instead would be a reset if the client is still sending
        _close(self._server)

    def inject(self, data: bytes) -> None:
        """Say this to the client, between whatever chunks it is being sent. Lost if its socket is full."""
        with contextlib.suppress(OSError):
            self._client.send(data)

    def flow_ended(self) -> None:
        """One direction is through. After both, the connection is over."""
        self._ended += 1
        if self._ended == 2 or self.mute:
            self.close()

    async def _open(self) -> None:
        try:
            await self._connect()
        except OSError:
            if self.traffic.faults.silent(to_client=True):
                self.broken = True  # a black hole does not tell that nobody is behind it
            else:
                self.reset()
            return
        there = Flow(self, self._client, self._server, to_client=False)
        back = Flow(self, self._server, self._client, to_client=True)
        for work in (there.read(), there.write(), back.read(), back.write()):
            self._spawn(work)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self.traffic.patience
        while True:
            try:
                return await loop.sock_connect(self._server, self.traffic.target)
            except ConnectionRefusedError:
                if loop.time() >= due:
                    raise
                await asyncio.sleep(RETRY)
            self._server.close()  # a refused socket does not connect a second time
            self._server = _socket()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Flow:
    """One direction of a connection."""

    def __init__(self, connection: Connection, source: socket.socket, sink: socket.socket, *, to_client: bool) -> None:
        self._connection = connection
        self._traffic = connection.traffic
        self._source = source
        self._sink = sink
        self._to_client = to_client
        self._frames = Frames()
        self._arrivals: asyncio.Queue[Arrival] = asyncio.Queue(QUEUED)
        self._due = 0.0
        self._rewrite = None if to_client else connection.traffic.rewrite

    async def read(self) -> None:
        """Take what the source says, until its end."""
        loop = asyncio.get_running_loop()
        data: bytes | None = b"-"
        while data:
            try:
                data = await loop.sock_recv(self._source, CHUNK)
            except OSError:
                data = None
            await self._arrivals.put((self._next_due(loop.time()), data))

    async def write(self) -> None:
        """Tell the sink, when it is time, what it may hear."""
        loop = asyncio.get_running_loop()
        while not self._connection.over:
            due, data = await self._arrivals.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            if not await self._may_pass():
                continue
            try:
                await self._deliver(data)
            except OSError:  # the receiver has gone
                self._connection.reset()

    def _next_due(self, now: float) -> float:
        faults = self._traffic.faults
        late = faults.delay + faults.jitter * random.random()
        self._due = max(self._due, now + late)  # a stream does not overtake itself
        return self._due

    async def _may_pass(self) -> bool:
        await self._traffic.faults.released.wait()
        if self._traffic.faults.silent(to_client=self._to_client):
            self._connection.broken = True
            return False
        return True

    async def _deliver(self, data: bytes | None) -> None:
        if data is None:
            self._connection.reset()
        elif not data:
            if not self._connection.mute:
                await self._send(self._frames.rest())
                self._sink.shutdown(socket.SHUT_WR)
            self._connection.flow_ended()
        elif not self._connection.mute:
            await self._pass(data)

    async def _pass(self, data: bytes) -> None:
        if not self._traffic.frames:
            await self._send(self._rewritten(data))
            return
        for piece in self._frames.feed(data):
            if piece.head is None or await self._judge(piece):
                await self._send(piece.data)
            if self._connection.over or self._connection.mute:
                return

    async def _judge(self, piece: Piece) -> bool:
        """Look at the beginning of a frame; False if the connection ended over it."""
        xid = HANDSHAKE if piece.index == 0 else piece.xid
        if not self._to_client:
            self._traffic.requests[piece.op] += 1
            self._connection.operations[xid] = piece.op
            return True
        operation = self._connection.operations.pop(xid, None)
        if operation is not None and self._traffic.take_drop(operation):
            self._connection.reset()
            return False
        if (size := self._traffic.take_truncate()) is not None:
            await self._send(piece.data[:size])
            self._connection.finish_client()
            return False
        return True

    async def _send(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        size = self._traffic.faults.size or len(data) or 1
        for start in range(0, len(data), size):
            if start:
                await asyncio.sleep(self._traffic.faults.pause)
            if not await self._may_pass():
                return
            await loop.sock_sendall(self._sink, data[start : start + size])

    def _rewritten(self, data: bytes) -> bytes:
        rewrite, self._rewrite = self._rewrite, None
        return data if rewrite is None else data.replace(*rewrite)


def _socket() -> socket.socket:
    return _prepared(socket.socket(socket.AF_INET, socket.SOCK_STREAM))


def _prepared(sock: socket.socket) -> socket.socket:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _close(sock: socket.socket) -> None:
    if sock.fileno() == -1:
        return
    loop = asyncio.get_running_loop()
    loop.remove_reader(sock)  # before closing: the number may belong to another socket at the loop's next turn
    loop.remove_writer(sock)
    sock.close()
