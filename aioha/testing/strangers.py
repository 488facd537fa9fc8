"""A client by hand of real servers: what they agree to, and ending another's session, as any client may: ids are shown,
and passwords follow from them.
"""

import re
import socket
import struct
import time
from collections.abc import Iterable

from .server import Server

__all__ = ["agrees", "close_session", "sessions_from"]

PATIENCE = 5.0  # seconds for each answer
CLOSE, ONLY_REQUEST = -11, 1
CONNECTION = re.compile(r"^ */[^ ]*?:(\d+)\[\d+\]\(.*?sid=0x([0-9a-f]+)", re.MULTILINE)


def agrees(server: Server, patience: float = PATIENCE) -> bool:
    """Whether a session can be made through this server, to which a quorum must agree; it is closed again. Blocks."""
    try:
        with socket.create_connection((server.host, server.port), patience) as stream:
            _send(stream, struct.pack(">iqiqi16s?", 0, 0, 10_000, 0, 16, bytes(16), False))
            (made,) = struct.unpack_from(">q", _receive(stream), 8)
            _send(stream, struct.pack(">ii", ONLY_REQUEST, CLOSE))
            _receive(stream)
    except OSError:
        return False
    return bool(made)


def sessions_from(server: Server, ports: Iterable[int]) -> set[int]:
    """The sessions of a server's connections from these ports. Blocks; raises `OSError` while it does not answer."""
    wanted = set(ports)
    found = CONNECTION.findall(server.four_letter("cons"))
    return {_signed(int(session, 16)) for port, session in found if int(port) in wanted}


def close_session(server: Server, session: int, pause: float = 0.0) -> bool:
    """Attach to the session through this server, and close it after so many seconds. Whether it was alive. Blocks; raises
    `OSError`, also if its owner has taken it back meanwhile.
    """
    from .simulated.sessions import password_of

    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as stream:
        attach = struct.pack(">iqiqi16s?", 0, 0, 10_000, session, 16, password_of(session), False)
        close = struct.pack(">ii", ONLY_REQUEST, CLOSE)
        if not pause:  # in one go: its owner takes it back as soon as it can
            _send(stream, attach, close)
        else:
            _send(stream, attach)
        (attached,) = struct.unpack_from(">q", _receive(stream), 8)
        if attached != session:
            return False
        if pause:
            time.sleep(pause)
            _send(stream, close)
        _receive(stream)
        return True


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _send(stream: socket.socket, *bodies: bytes) -> None:
    stream.sendall(b"".join(struct.pack(">i", len(body)) + body for body in bodies))


def _receive(stream: socket.socket) -> bytes:
    (length,) = struct.unpack(">i", _exactly(stream, 4))
    return _exactly(stream, length)


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = stream.recv(size - len(data))
        if not chunk:
            raise ConnectionResetError(f"server hung up after {len(data)} of {size} bytes")
        data += chunk
    return data
