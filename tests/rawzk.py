"""A ZooKeeper client of blocking sockets, for tests that must not trust any client: it sends when told to, once."""

import contextlib
import socket
import struct
from typing import Self

PING, CREATE, EXISTS, CLOSE = 11, 1, 3, -11
OPEN_ACL = struct.pack(">ii", 1, 31) + struct.pack(">i5si6s", 5, b"world", 6, b"anyone")


class Raw:
    """One session on one connection. `timeout`: asked for, seconds; `negotiated`: what the server gave.

    attach: to somebody's session, by its id and password, rather than to a new one; `session` is 0 if there is none.
    """

    def __init__(
        self, address: str, timeout: float = 10.0, *, patience: float = 5.0, attach: tuple[int, bytes] = (0, bytes(16))
    ) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), patience)
        self._xid = 0
        try:
            session, password = attach
            self.send(struct.pack(">iqiQi16s?", 0, 0, round(timeout * 1000), session, 16, password, False))
            _, milliseconds, self.session = struct.unpack_from(">iiq", self.receive())
        except BaseException:
            self.socket.close()
            raise
        self.negotiated = milliseconds / 1000

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()

    def send(self, body: bytes) -> None:
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def receive(self) -> bytes:
        """The next frame's body. Raises `EOFError`, `OSError`."""
        (length,) = struct.unpack(">i", self._exactly(4))
        return self._exactly(length)

    def request(self, op: int, body: bytes = b"") -> int:
        """Send a request and wait for its reply: the error code."""
        self._xid += 1
        xid = -2 if op == PING else self._xid
        self.send(struct.pack(">ii", xid, op) + body)
        reply_xid, _, error = struct.unpack_from(">iqi", self.receive())
        assert reply_xid == xid
        return int(error)

    def ping(self) -> None:
        assert self.request(PING) == 0

    def create(self, path: str, *, ephemeral: bool = False) -> int:
        name = path.encode()
        return self.request(
            CREATE, struct.pack(">i", len(name)) + name + struct.pack(">i", 0) + OPEN_ACL + struct.pack(">i", int(ephemeral))
        )

    def exists(self, path: str) -> bool:
        name = path.encode()
        return self.request(EXISTS, struct.pack(">i", len(name)) + name + b"\0") == 0

    def close_session(self) -> None:
        assert self.request(CLOSE) == 0

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not (chunk := self.socket.recv(size - len(data))):
                raise EOFError(f"end of stream after {len(data)} of {size} bytes")
            data += chunk
        return data


def end_session(address: str, session: int, password: bytes) -> None:
    """End somebody's session, which takes no more than its id and password."""
    host, _, port = address.rpartition(":")
    attach = struct.pack(">iqiQi16s?", 0, 0, 10_000, session, 16, password, False)
    both = b"".join(struct.pack(">i", len(body)) + body for body in (attach, struct.pack(">ii", 1, CLOSE)))
    while True:
        with socket.create_connection((host, int(port)), 5.0) as closing, contextlib.suppress(ConnectionResetError):
            closing.sendall(both)  # in one go: its owner, if there is one, takes it back at once
            while closing.recv(4096):
                pass
        with socket.create_connection((host, int(port)), 5.0) as looking:
            looking.sendall(both[: 4 + len(attach)])
            answer = looking.recv(4096)
        if len(answer) >= 20 and struct.unpack_from(">q", answer, 12) == (0,):
            return
