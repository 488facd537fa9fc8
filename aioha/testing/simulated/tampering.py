"""What is done on purpose to what passes on one link: requests and replies dropped, frames cut, everything in pieces.

A request goes by its op code. A stream that has lost something breaks: TCP loses nothing in the middle of what it
delivers. It is judged when it is sent; what is under way already passes.
"""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .streams import End

__all__ = ["Operation", "Tampering", "drop_reply", "drop_request", "truncate"]

Operation = int | Callable[[int], bool]  # an op code, or a predicate
Trap = Callable[["End", bytes], bool]  # whether it has taken the frame, and is done
_LENGTH, _HEAD = struct.Struct(">i"), struct.Struct(">ii")
HANDSHAKE = 0  # where requests and replies have their xid, which is never 0, it has its version, which always is


class Tampering:
    """Of one link. `pieces`: their size and the seconds between two, if everything comes in pieces."""

    def __init__(self) -> None:
        self.pieces: tuple[int, float] | None = None
        self.traps: list[Trap] = []

    def pass_on(self, end: "End", data: bytes) -> None:
        """Send what that end has written, or what is left of it."""
        if not self.traps:
            end.send(data)
            return
        for frame in _frames(data):
            sprung = next((trap for trap in self.traps if trap(end, frame)), None)
            if sprung is not None:
                self.traps.remove(sprung)
            elif not end.is_closing():
                end.send(frame)


def drop_request(operation: Operation, containing: bytes) -> Trap:
    """The next request of that kind never arrives, and its stream breaks."""
    wanted = _wanted(operation, containing)

    def drops(end: "End", frame: bytes) -> bool:
        if wanted(frame):
            end.reset()
            return True
        return False

    return drops


def drop_reply(operation: Operation, containing: bytes, replies: Tampering) -> Trap:
    """The next request of that kind is done; its reply never arrives, and its stream breaks. `replies`: of the way back."""
    wanted = _wanted(operation, containing)

    def lets_pass(end: "End", frame: bytes) -> bool:
        if not wanted(frame):
            return False
        peer, xid = end.peer, frame[4:8]

        def drops(other: "End", reply: bytes) -> bool:
            if other is not peer or reply[4:8] != xid:
                return False
            other.reset()
            return True

        replies.traps.append(drops)
        end.send(frame)
        return True

    return lets_pass


def truncate(size: int) -> Trap:
    """Only so many bytes of the next frame arrive, then the end of the stream."""

    def cuts(end: "End", frame: bytes) -> bool:
        if frame[4:8] == bytes(4):
            return False  # a handshake
        end.send(frame[:size])
        end.abort()
        return True

    return cuts


def _wanted(operation: Operation, containing: bytes) -> Callable[[bytes], bool]:
    matches = operation if callable(operation) else operation.__eq__

    def wanted(frame: bytes) -> bool:
        if len(frame) < 4 + _HEAD.size:
            return False
        xid, op = _HEAD.unpack_from(frame, 4)
        return xid != HANDSHAKE and bool(matches(op)) and containing in frame

    return wanted


def _frames(data: bytes) -> list[bytes]:
    """Whole frames, as everybody writes them here; what is none of them, as it comes."""
    found, at = list[bytes](), 0
    while len(data) - at > 4 + 4:
        size = 4 + _LENGTH.unpack_from(data, at)[0]
        if not 8 <= size <= len(data) - at:
            break
        found.append(data[at : at + size])
        at += size
    return found if at == len(data) else [*found, data[at:]]
