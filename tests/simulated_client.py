"""A raw client for both worlds, real and simulated: it sends what it is told to, and writes down every frame it gets.

How it is written down is `simulated_transcript`'s.
"""

import asyncio
import contextlib
import struct
from collections.abc import Sequence
from typing import Any, Self

from simulated_numbers import (
    AUTH,
    AUTH_XID,
    CHECK,
    CHILDREN2,
    CLOSE,
    CREATE,
    CREATE2,
    DELETE,
    EXISTS,
    GET,
    GET_ACL,
    MULTI,
    OPEN,
    PING,
    PING_XID,
    SET,
    SET_ACL,
    SET_WATCHES,
    SYNC,
    WATCH_XID,
)
from simulated_transcript import Transcript

PATIENCE = 10.0


def text(value: str | bytes | None) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">i", len(data)) + data


def texts(values: Sequence[str]) -> bytes:
    return struct.pack(">i", len(values)) + b"".join(text(value) for value in values)


def acl_of(entries: Sequence[tuple[int, str, str]] | None) -> bytes:
    if entries is None:
        return struct.pack(">i", -1)
    return struct.pack(">i", len(entries)) + b"".join(
        struct.pack(">i", perms) + text(scheme) + text(who) for perms, scheme, who in entries
    )


class Raw:
    """One connection. `name`: in the transcript."""

    def __init__(self, transcript: Transcript, name: str, address: tuple[str, int]) -> None:
        self.name = name
        self.id = 0
        self.password = bytes(16)
        self.timeout = 0.0
        self.zxid = 0
        self._transcript = transcript
        self._address = address
        self._xid = 0
        self._pending: dict[int, tuple[int, str]] = {}
        self._writer: asyncio.StreamWriter | None = None

    def note(self, what: str) -> None:
        self._transcript.note(f"{self.name}: {what}")

    # ------------------------------------------------------------------ connecting

    async def open(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def shut(self) -> None:
        """The connection, whatever has become of the session."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    async def connect(
        self, timeout: float = 10.0, *, like: "Raw | None" = None, password: bytes | None = None, seen: int = 0
    ) -> Self:
        """A new session, or the one of `like`."""
        await self.open()
        session = like.id if like is not None else 0
        secret = password if password is not None else like.password if like is not None else bytes(16)
        self.frame(struct.pack(">iqiq", 0, seen, round(timeout * 1000), session) + text(secret) + b"\0")
        frame = await self.receive()
        self._transcript.exchanges += 1
        if frame is None:
            self.note("hung up instead of a session")
            return self
        _, milliseconds, self.id = struct.unpack_from(">iiq", frame)
        self.timeout = milliseconds / 1000
        self.password = frame[20:36]
        known = "same password" if like is not None and self.password == like.password else "a password"
        known = "no password" if self.password == bytes(16) else known
        self.note(f"granted {self._transcript.session(self.id)} for {self.timeout:g} s, {known}, {len(frame)} bytes")
        if self.id == 0:
            await self.hung_up()
        return self

    async def drop(self) -> None:
        """Break the connection without a word."""
        await self.shut()
        await asyncio.sleep(0.02)

    # ------------------------------------------------------------------ frames

    def frame(self, body: bytes) -> None:
        assert self._writer is not None
        self._writer.write(struct.pack(">i", len(body)) + body)

    def rubbish(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    async def receive(self, patience: float = PATIENCE) -> bytes | None:
        """None: hung up."""
        try:
            async with asyncio.timeout(patience):
                (size,) = struct.unpack(">i", await self._reader.readexactly(4))
                return await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def hung_up(self, patience: float = PATIENCE) -> None:
        while (frame := await self.receive(patience)) is not None:
            self._take(frame)
        self.note("hung up")
        await self.shut()

    async def nothing(self, seconds: float = 0.05) -> None:
        """Nothing comes for so long."""
        try:
            frame = await self.receive(seconds)
        except TimeoutError:
            self.note("nothing")
        else:
            self.note("hung up") if frame is None else self._take(frame)

    async def event(self) -> None:
        """The next thing to come, which ought to be an event."""
        frame = await self.receive()
        self.note("hung up") if frame is None else self._take(frame)

    # ------------------------------------------------------------------ requests

    def send(self, op: int, body: bytes = b"", *, what: str = "", xid: int | None = None) -> int:
        """Without waiting."""
        if xid is None:
            self._xid += 1
            xid = self._xid
        self._pending[xid] = (op, what)
        self.frame(struct.pack(">ii", xid, op) + body)
        return xid

    async def answers(self) -> None:
        """Everything that was asked is answered, or the server hangs up."""
        while self._pending:
            frame = await self.receive()
            if frame is None:
                self.note("hung up")
                self._pending.clear()
                await self.shut()
                return
            self._take(frame)

    async def ask(self, op: int, body: bytes = b"", *, what: str = "", xid: int | None = None) -> None:
        self.send(op, body, what=what, xid=xid)
        await self.answers()

    def _take(self, frame: bytes) -> None:
        xid, zxid, error = struct.unpack_from(">iqi", frame)
        body = frame[16:]
        transcript = self._transcript
        if xid == WATCH_XID:
            kind, state = struct.unpack_from(">ii", body)
            self.note(f"event {kind} state {state} {transcript.path(body[12:].decode())} zxid {transcript.zxid(zxid)}")
            return
        transcript.exchanges += 1
        self.zxid = max(self.zxid, zxid)
        op, what = self._pending.pop(xid, (0, f"unasked {xid}"))
        answer = f"error {error}" + (f" and {len(body)} bytes" if body else "") if error else transcript.read(op, body)
        self.note(f"{what or op} -> {answer} at {transcript.zxid(zxid)}")

    # ------------------------------------------------------------------ the usual ones

    def packed(self, op: int, path: str, *rest: Any) -> bytes:
        """The body of an operation, as it also stands in a multi."""
        if op in (CREATE, CREATE2):
            data, flags, acl = rest
            return text(path) + text(data) + acl_of(acl) + struct.pack(">i", flags)
        if op == SET:
            return text(path) + text(rest[0]) + struct.pack(">i", rest[1])
        if op in (DELETE, CHECK):
            return text(path) + struct.pack(">i", rest[0])
        return text(path) + b"".join(b"\1" if each else b"\0" for each in rest)

    def _named(self, name: str, path: str, *more: object) -> str:
        shown = repr(self._transcript.path(path))
        return " ".join([name, shown if len(shown) < 60 else f"{shown[:50]}...", *map(str, more)])

    async def create(
        self, path: str, data: bytes | None = b"", flags: int = 0, acl: Any = OPEN, *, op: int = CREATE
    ) -> None:
        await self.ask(op, self.packed(op, path, data, flags, acl), what=self._named("create", path, flags))

    async def delete(self, path: str, version: int = -1) -> None:
        await self.ask(DELETE, self.packed(DELETE, path, version), what=self._named("delete", path, version))

    async def set(self, path: str, data: bytes | None, version: int = -1) -> None:
        await self.ask(SET, self.packed(SET, path, data, version), what=self._named("set", path, version))

    async def exists(self, path: str, watch: bool = False) -> None:
        await self.ask(EXISTS, self.packed(EXISTS, path, watch), what=self._named("exists", path, watch))

    async def get(self, path: str, watch: bool = False) -> None:
        await self.ask(GET, self.packed(GET, path, watch), what=self._named("get", path, watch))

    async def children(self, path: str, watch: bool = False, *, op: int = CHILDREN2) -> None:
        await self.ask(op, self.packed(op, path, watch), what=self._named("children", path, watch))

    async def sync(self, path: str = "/") -> None:
        await self.ask(SYNC, text(path), what=self._named("sync", path))

    async def ping(self) -> None:
        await self.ask(PING, what="ping", xid=PING_XID)

    async def get_acl(self, path: str) -> None:
        await self.ask(GET_ACL, text(path), what=self._named("getACL", path))

    async def set_acl(self, path: str, acl: Any, version: int = -1) -> None:
        await self.ask(SET_ACL, text(path) + acl_of(acl) + struct.pack(">i", version), what=self._named("setACL", path))

    async def auth(self, scheme: str, credentials: bytes) -> None:
        body = struct.pack(">i", 0) + text(scheme) + text(credentials)
        await self.ask(AUTH, body, what=f"auth {scheme}", xid=AUTH_XID)

    async def set_watches(
        self, zxid: int, data: Sequence[str] = (), exist: Sequence[str] = (), child: Sequence[str] = ()
    ) -> None:
        body = struct.pack(">q", zxid) + texts(data) + texts(exist) + texts(child)
        await self.ask(SET_WATCHES, body, what="setWatches", xid=-8)

    async def multi(self, *operations: tuple[Any, ...]) -> None:
        """Operations as (op, path, ...) like `packed`."""
        body = b"".join(struct.pack(">i?i", op, False, -1) + self.packed(op, path, *rest) for op, path, *rest in operations)
        await self.ask(MULTI, body + struct.pack(">i?i", -1, True, -1), what=f"multi of {len(operations)}")

    async def close(self) -> None:
        """Close the session, and see the connection closed."""
        await self.ask(CLOSE, what="close")
        await self.hung_up()
