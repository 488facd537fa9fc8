"""ZooKeeper's frames in a stream of bytes, without keeping them: where each begins and what its first fields say.

A frame is a length of 4 bytes and a body. A request's body begins with xid and op code, a reply's with xid, zxid and
error; the first frame each way is the connect handshake, which has neither.
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["Frames", "Op", "Piece"]

LENGTH = 4
HEAD = 16  # bytes of the body that a reply's header takes
NONSENSE = 64 * 1024 * 1024  # no frame is this long: a four-letter word or TLS


class Op(IntEnum):
    """ZooKeeper's op codes, for `Proxy.drop_reply` and `Proxy.requests`."""

    CONNECT = 0  # ours: the handshake has no op code
    CREATE = 1
    DELETE = 2
    EXISTS = 3
    GET_DATA = 4
    SET_DATA = 5
    GET_ACL = 6
    SET_ACL = 7
    GET_CHILDREN = 8
    SYNC = 9
    PING = 11
    GET_CHILDREN2 = 12
    CHECK = 13
    MULTI = 14
    CREATE2 = 15
    AUTH = 100
    SET_WATCHES = 101
    SASL = 102
    CLOSE = -11


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of one frame; `head` begins its body if these are the frame's first bytes, else it is None."""

    data: bytes
    head: bytes | None
    index: int  # of the frame in its stream; 0 is the handshake

    @property
    def xid(self) -> int:
        """The request that this frame is, or answers."""
        return int(struct.unpack_from(">i", self.head or b"")[0])

    @property
    def op(self) -> int:
        """The op code of a request's first piece."""
        return Op.CONNECT if self.index == 0 else int(struct.unpack_from(">i", self.head or b"", 4)[0])


class Frames:
    """Cuts one direction of a connection into pieces of frames. Holds back only the first bytes of a frame.

    What cannot be a frame ends the cutting: from there on the stream passes as it comes.
    """

    def __init__(self) -> None:
        self._held = b""
        self._left = 0  # bytes of the present frame still to come
        self._index = -1

    def feed(self, data: bytes) -> Iterator[Piece]:
        data, self._held = self._held + data, b""
        while data:
            head = None
            if not self._left:
                if not self._whole_head(data):
                    self._held = data
                    return
                head = self._begin(data)
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            yield Piece(piece, head, self._index)

    def rest(self) -> bytes:
        """What is held back, for the end of the stream."""
        held, self._held = self._held, b""
        return held

    @staticmethod
    def _whole_head(data: bytes) -> bool:
        return len(data) >= LENGTH + min(HEAD, max(0, _length(data)))

    def _begin(self, data: bytes) -> bytes | None:
        self._index += 1
        length = _length(data)
        if not 0 <= length <= NONSENSE:
            self._left = sys.maxsize
            return None
        self._left = LENGTH + length
        return data[LENGTH : LENGTH + min(HEAD, length)].ljust(HEAD, b"\0")


def _length(data: bytes) -> int:
    """The length that these bytes begin with; -1 if they say nothing yet, or nonsense."""
    if len(data) < LENGTH:
        return 0
    length = int(struct.unpack_from(">i", data)[0])
    return length if length <= NONSENSE else -1
