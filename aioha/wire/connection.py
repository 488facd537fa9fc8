"""One TCP connection to one server: frames in, frames out, and every reply paired with the time its request was sent.

Lives from the first byte to `lost`, exactly once, and never reconnects. A request in flight when the connection is
lost fails with `ConnectionLoss`: its outcome is unknown, and nobody but its sender may decide what that means.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from ..clock import Clock
from .errors import AuthFailed, ConnectionLoss, ProtocolError, ResponseError, SessionExpired, SessionMoved, error_for
from .replies import MULTI, decode, watch_event
from .requests import Request, failure
from .untyped import protocol

__all__ = ["Connection", "Greeting", "Listener"]

# Servers refuse more than jute.maxbuffer (1 MiB unless raised) and can hardly send more; what claims to be larger is
# another protocol ("HTTP" read as a length is 1.2 GB) or rubbish.
LARGEST_FRAME = 16 * 1024 * 1024
_HEADER = struct.Struct(">iqi")  # xid, zxid, error
_WATCH_XID = -1
_LAST_XID = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Greeting:
    """A server's answer to a ConnectRequest sent at `sent`. `session_id` 0: the session asked for is over."""

    sent: float
    session_id: int
    password: bytes
    timeout: float


class Listener(Protocol):
    """Who hears what one connection has to say; called from the loop, must not block or raise."""

    def on_reply(self, sent: float, replied: float, zxid: int) -> None: ...
    def on_event(self, kind: int, path: str) -> None: ...
    def on_lost(self, connection: "Connection", reason: str) -> None: ...


@dataclass(slots=True)
class _Pending:
    xid: int
    opcode: int
    sent: float
    reply: asyncio.Future[Any]
    then: Callable[[ResponseError | None], None] | None = None


class Connection(asyncio.Protocol):
    """See the head of this file. `server` is for messages: "host:port"."""

    def __init__(self, server: str, clock: Clock) -> None:
        self.server = server
        self.lost: str | None = None  # why, once it is
        self.hung_up = False  # lost because the other end has ended it, not because it was silent or unreachable
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()  # done in the tick in which it is lost
        self._clock = clock
        self._listener: Listener | None = None
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._greeting: asyncio.Future[Greeting] | None = None
        self._greeting_sent = 0.0
        self._pending: deque[_Pending] = deque()
        self._answered = float("-inf")  # when the oldest request in flight was answered the last time
        self._xid = 0

    # ------------------------------------------------------------------ asking

    async def greet(self, session_id: int, password: bytes, timeout: float, zxid: int) -> Greeting:
        """Ask for a session (`session_id` 0: a new one). Unbounded: the caller bounds it.

        Raises `ConnectionError` (`ProtocolError` if what answers is not a ZooKeeper server).
        """
        request = protocol.ConnectRequest(
            protocol_version=0,
            last_seen_zxid=zxid,
            timeout=round(timeout * 1000),
            session_id=session_id,
            password=password,
            read_only=False,
        )
        self._check_open()
        self._greeting = self._loop.create_future()
        self._greeting_sent = self._clock()
        self._write(request.serialize())
        return await self._greeting

    def listen(self, listener: Listener) -> None:
        """From now on `listener` hears of replies, events and the end. Call before anything else is sent."""
        self._listener = listener

    def send(self, request: Request, then: Callable[[ResponseError | None], None] | None = None) -> asyncio.Future[Any]:
        """Send a request now; the future gets the reply or raises a `ResponseError`.

        `then` is called in the same tick as the reply is read, before the future's waiter and before anything that
        the server said later. Requests are answered in the order in which they were sent.
        """
        self._check_open()
        reply: asyncio.Future[Any] = self._loop.create_future()
        xid = request.special_xid or self._next_xid()
        sent = self._clock()  # before the bytes leave: a lease is counted from here
        self._pending.append(_Pending(xid, request.opcode, sent, reply, then))
        self._write(request.serialize(xid))
        return reply

    def authenticate(self, scheme: str, credentials: bytes) -> asyncio.Future[Any]:
        """Identify this connection; must be repeated on every connection of a session."""
        return self.send(protocol.AuthRequest(type=0, scheme=scheme, auth=credentials))

    @property
    def address(self) -> tuple[str, int]:
        """Of the server: numeric, as connected to."""
        assert self._transport is not None
        host, port, *_ = self._transport.get_extra_info("peername")
        return host, port

    @property
    def unanswered_since(self) -> float | None:
        """Since when the server has owed us an answer; counted from its last one while a long queue is being answered."""
        return max(self._pending[0].sent, self._answered) if self._pending else None

    def abort(self, reason: str) -> None:
        """Drop the connection now. What is in flight fails with `ConnectionLoss`."""
        self._lose(reason)

    # ------------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:
        hung_up = exc is None or isinstance(exc, ConnectionResetError | BrokenPipeError)
        self._lose(f"connection lost ({exc})" if exc else "connection closed by the server", hung_up=hung_up)

    def eof_received(self) -> None:
        self._lose("connection closed by the server", hung_up=True)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= 4 and self.lost is None:
                size = int.from_bytes(buffer[start : start + 4], "big", signed=True)
                if not 0 <= size <= LARGEST_FRAME:
                    sent = bytes(buffer[start : start + 16])
                    raise ProtocolError(f"does not speak ZooKeeper's protocol (it sent {sent!r})")
                if len(buffer) - start - 4 < size:
                    break
                frame = bytes(buffer[start + 4 : start + 4 + size])
                start += 4 + size
                self._take(frame)
        except ProtocolError as error:
            self._lose(str(error), error)
        except (struct.error, UnicodeDecodeError, KeyError, MemoryError, OverflowError) as error:
            self._lose(f"sent a frame that cannot be read ({type(error).__name__})", ProtocolError)
        del buffer[:start]

    # ------------------------------------------------------------------ inside

    def _check_open(self) -> None:
        if self.lost is not None:
            raise ConnectionError(self.lost)

    def _next_xid(self) -> int:
        self._xid = 1 if self._xid >= _LAST_XID else self._xid + 1
        return self._xid

    def _write(self, payload: bytes) -> None:
        assert self._transport is not None
        self._transport.write(len(payload).to_bytes(4, "big") + payload)

    def _take(self, frame: bytes) -> None:
        if self._greeting is not None and not self._greeting.done():
            reply = protocol.ConnectResponse.deserialize(frame)
            greeting = Greeting(self._greeting_sent, reply.session_id, reply.password or b"", reply.timeout / 1000)
            self._greeting.set_result(greeting)
            return
        xid, zxid, code = _HEADER.unpack_from(frame)
        if xid == _WATCH_XID:
            if self._listener is not None:
                self._listener.on_event(*watch_event(frame, _HEADER.size))
            return
        pending = self._pop(xid)
        body = frame[_HEADER.size :]
        error = error_for(code) if code else None
        try:
            reply = decode(pending.opcode, body) if error is None or (pending.opcode == MULTI and body) else None
        except Exception:
            self._pending.appendleft(pending)  # not answered after all: it fails with the others
            raise
        refusal = _refusal(pending.opcode, reply, error)
        if self._listener is not None and _is_touch(pending.opcode, refusal):
            self._listener.on_reply(pending.sent, self._clock(), zxid)  # a refusal of the request is an answer too
        if pending.then is not None:
            pending.then(error)
        if not pending.reply.done():
            _resolve(pending.reply, reply, error)
        if isinstance(refusal, SessionExpired | SessionMoved):
            # A follower may go on to answer pings and reads, and any server may say no more: attaching again tells.
            self._lose(f"answered {refusal}", hung_up=True)

    def _pop(self, xid: int) -> _Pending:
        """The request that a reply belongs to: the oldest one. (Pings and authentication may overtake.)"""
        if self._pending and self._pending[0].xid == xid:
            self._answered = self._clock()
            return self._pending.popleft()
        overtaking = next((each for each in self._pending if each.xid == xid < 0), None)
        if overtaking is None:
            raise ProtocolError(f"answered request {xid}, which was not next in line")
        self._pending.remove(overtaking)
        return overtaking

    def _lose(
        self, reason: str, cause: type[ConnectionError] | ConnectionError = ConnectionError, *, hung_up: bool = False
    ) -> None:
        if self.lost is not None:
            return
        self.lost, self.hung_up = reason, hung_up
        self.ended.set_result(None)
        if self._transport is not None:
            self._transport.abort()
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_exception(cause if isinstance(cause, ConnectionError) else cause(reason))
            self._greeting.exception()
        pending, self._pending = self._pending, deque()
        for each in pending:
            if each.then is not None:
                each.then(ConnectionLoss())
            if not each.reply.done():
                each.reply.set_exception(ConnectionLoss())
                each.reply.exception()
        if self._listener is not None:
            listener, self._listener = self._listener, None
            try:
                listener.on_lost(self, reason)
            except Exception as error:  # noqa: BLE001 - a bug, to be heard of; the transport must not stumble over it
                context = {"message": "aioha: a listener failed on the loss of a connection", "exception": error}
                self._loop.call_exception_handler(context)


def _refusal(opcode: int, reply: Any, error: ResponseError | None) -> ResponseError | None:
    """Why the request was refused, or the first one of a `multi` that was; None: it was not."""
    failed = failure(reply) if error is None and opcode == MULTI else None
    return error if failed is None else failed[1]


def _is_touch(opcode: int, error: ResponseError | None) -> bool:
    """Whether a server that answers so has noted the session as alive. It answers authentication without doing so."""
    return opcode != protocol.AuthRequest.opcode and not isinstance(error, SessionExpired | SessionMoved | AuthFailed)


def _resolve(future: asyncio.Future[Any], reply: Any, error: ResponseError | None) -> None:
    if error is not None and reply is None:
        future.set_exception(error)
        future.exception()  # a reply that nobody waits for any more is no mystery
    else:
        future.set_result(reply)
