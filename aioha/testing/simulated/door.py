"""One client's connection to one server: frames, the handshake, authentication, and what comes to hang up.

What a request means is not known here: it is handed to the server's `Front`, which answers through `reply`.
"""

import struct
from typing import TYPE_CHECKING, Any

from . import acl as acls
from .codes import Error, Op
from .jute import Malformed, Reader, buffer, integer, long, text
from .requests import Request
from .sessions import password_of
from .streams import End

if TYPE_CHECKING:
    from .front import Front
    from .server import Server

__all__ = ["Door"]

LARGEST_FRAME = 0xFFFFF  # jute.maxbuffer
NEWCOMERS_TIME = 10.0  # seconds that a connection may stay without a session
EVENT_XID, EVENT_STATE, PING_XID = -1, 3, -2
NO_PASSWORD = bytes(16)
_LENGTH, _REQUEST, _REPLY = (
    struct.Struct(">i"),
    struct.Struct(">ii"),
    struct.Struct(">iiqi"),
)  # xid and op; length, xid, zxid and error


class Door:
    """An `asyncio.Protocol` in all but name. `session`: 0 until it has been granted."""

    def __init__(self, server: "Server", end: End) -> None:
        self.session = 0
        self.timeout = 0  # ms
        self.identities: tuple[acls.Identity, ...] = (("ip", end.get_extra_info("peername")[0]),)
        self.is_open = True
        self._server = server
        self._front: Front | None = None  # of the time when it was greeted: a new one knows nothing of us
        self._end = end
        self._buffer = bytearray()
        self._greeted = False  # ConnectRequest read
        self._heard = server.loop.time_of(server.name)  # made while its client runs, whose clock is another one
        self._idle = server.later(NEWCOMERS_TIME, self._look_for_life)

    # ------------------------------------------------------------------ what the network tells

    def connection_made(self, transport: Any) -> None:
        """It has been, by `End`."""

    def connection_lost(self, error: OSError | None) -> None:
        self._idle.cancel()
        if self.is_open:
            self.is_open = False
            if self._front is not None:
                self._front.gone(self)

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        self._heard = self._server.loop.time()
        self._buffer += data
        if not self._greeted or self.session:
            self._read()

    def _read(self) -> None:
        buffer = self._buffer
        while self.is_open and len(buffer) >= 4:
            (size,) = _LENGTH.unpack_from(buffer)
            if not 0 <= size <= LARGEST_FRAME:
                self.close()
                return
            if len(buffer) < 4 + size or (self._greeted and not self.session):
                return
            frame = bytes(buffer[4 : 4 + size])
            del buffer[: 4 + size]
            try:
                self._take(frame)
            except Malformed:
                self.close()

    def _take(self, frame: bytes) -> None:
        if not self._greeted:
            self._greet(Reader(frame))
        elif len(frame) < _REQUEST.size:
            raise Malformed("a frame without a request")
        else:
            xid, op = _REQUEST.unpack_from(frame)
            body = frame[_REQUEST.size :]
            if op == Op.AUTH:
                self._authenticate(xid, Reader(body))
            elif self._front is not None:
                self._front.submit(Request(self.session, xid, op, body, self.identities, None, self))

    # ------------------------------------------------------------------ the session

    def _greet(self, reader: Reader) -> None:
        self._greeted = True
        _, seen, asked, session, password = (
            reader.integer(), reader.long(), reader.integer(), reader.long(), reader.buffer(),
        )  # fmt: skip
        front = self._front = self._server.front
        if front is None or seen > front.tree.zxid:  # it does not serve, or is behind what the client has seen
            self.close()
            return
        self.timeout = self._server.clamp(asked)
        if not session:
            front.create_session(self)
        else:
            front.dismiss(session)
            if password == password_of(session):
                front.revalidate(self, session)
            else:
                self.greeted(session, valid=False)

    def greeted(self, session: int, *, valid: bool) -> None:
        """Tell the client what has become of its wish for a session."""
        if not self.is_open:
            return
        granted = integer(self.timeout) + long(session) + buffer(password_of(session))
        refused = integer(0) + long(0) + buffer(NO_PASSWORD)
        self._write(integer(0) + (granted if valid else refused) + b"\0")
        if not valid:
            self.close()
            return
        self.session = session
        assert self._front is not None
        self._front.enter(self)
        self._read()  # what came in haste

    def _authenticate(self, xid: int, reader: Reader) -> None:
        _, scheme, credentials = reader.integer(), reader.text(), reader.buffer()
        if scheme == "digest" and credentials is not None:
            identity = acls.digest_identity(credentials)
            if identity not in self.identities:
                self.identities += (identity,)
            self.reply(xid, 0, Error.OK)
        elif scheme == "ip":
            self.reply(xid, 0, Error.OK)
        else:
            self.reply(xid, 0, Error.AUTH_FAILED)
            self.close()

    # ------------------------------------------------------------------ what goes out

    def reply(self, xid: int, zxid: int, error: int, body: bytes = b"") -> None:
        if self.is_open:
            self._end.write(_REPLY.pack(_REPLY.size - 4 + len(body), xid, zxid, error) + body)

    def notify(self, event: int, path: str) -> None:
        if self.is_open:
            body = integer(event) + integer(EVENT_STATE) + text(path)
            self._write(integer(EVENT_XID) + long(-1) + integer(0) + body)

    def close(self) -> None:
        """Hang up; what was written before still arrives."""
        if self.is_open:
            self._end.close()
            self.connection_lost(None)

    def _write(self, frame: bytes) -> None:
        self._end.write(len(frame).to_bytes(4, "big") + frame)

    def _look_for_life(self) -> None:
        """The server drops who has been silent for a whole session timeout."""
        allowed = self.timeout / 1000 if self.session else NEWCOMERS_TIME
        left = self._heard + allowed - self._server.loop.time()
        if left > 0:
            self._idle = self._server.later(left, self._look_for_life)
        else:
            self.close()
