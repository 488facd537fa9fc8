"""What a candidate tells its guardian, and how: facts over a socket, times in shared memory.

A fact is a value under a key, told anew when it changes and taken back when it no longer holds; a guardian that was
restarted is simply told all of them again. Times change too often for that, and must be readable when the candidate
cannot speak: they stand on the `Board`.
"""

from __future__ import annotations

import marshal
import mmap
import os
import struct

TYPE_CHECKING = False  # as typing's: importing that would cost the guardian a megabyte
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TypeAlias

    # What must stand, and what to delete, as (node, version); what to write, as (node, data).
    Will: TypeAlias = tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...], tuple[tuple[str, bytes], ...]]

__all__ = [
    "BYE",
    "CGROUP",
    "GROUP",
    "HELD",
    "LINE",
    "SERVERS",
    "SESSION",
    "TAG",
    "TERM",
    "TREE",
    "Board",
    "Reader",
    "pack",
]

# Keys of facts, or of families of them: (family, name).
SESSION = "session"  # (id, password, timeout in seconds, credentials or None)
SERVERS = "servers"  # [(address, port), ...], the best one first
TERM = "term"  # a `Will`: the clean end of a term, all or nothing
TREE = "tree"  # True: everything that descends from the candidate is to be killed after it
GROUP = "group"  # of a child: its process group is killed with the candidate
TAG = "tag"  # the same of every process with this entry in its environment
CGROUP = "cgroup"  # the same of every process in this control group
HELD = "held"  # descriptors that must stay open until everything else has ended
LINE = "line"  # how a line on stderr is to look: %(message)s, %(clock)s, and %(at).3f for Unix time
BYE = "bye"  # the candidate needs no guardian any more

_LENGTH = struct.Struct("=I")
_TIMES = struct.Struct("=4d")
_PAGE = 4096
NEVER = float("inf")


def pack(key: Any, value: Any, *, answer: bool) -> bytes:
    """`value` None: the fact no longer holds. `answer`: send a byte back once this is known."""
    # Between two processes of one interpreter, over a socket that nobody else has: marshal is safe, and costs no import.
    body = marshal.dumps((key, value, answer))
    return _LENGTH.pack(len(body)) + body


class Reader:
    """The other end of `pack`."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Any, Any, bool]]:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer)
            end = _LENGTH.size + length
            if len(buffer) < end:
                return
            message = marshal.loads(bytes(buffer[_LENGTH.size : end]))  # noqa: S302 - see `pack`
            del buffer[:end]
            yield message


class Board:
    """Times on the suspend-counting clock, in seconds, in memory that both processes see.

    `fd`: of memory made by the other process; None: make it.
    """

    def __init__(self, fd: int | None = None) -> None:
        if fd is None:
            if not hasattr(os, "memfd_create"):
                raise OSError("it needs Linux")
            self.fd = os.memfd_create("aioha guardian")
            os.ftruncate(self.fd, _PAGE)
        else:
            self.fd = fd
        self._memory = mmap.mmap(self.fd, _PAGE)  # which keeps a descriptor of its own
        if fd is None:
            self.write(NEVER, 0.0, 0.0, 0.0)

    def write(self, deadline: float, grace: float, pulse: float, timeout: float) -> None:
        """`deadline`: by when work must have ended, or `NEVER`; `grace`: how long before that it is told to end;
        `pulse`: when the candidate's loop last turned; `timeout`: of its session.
        """
        # Not `pack_into`: it writes zeros first, and who is stopped just then seems to be long overdue.
        self._memory[: _TIMES.size] = _TIMES.pack(deadline, grace, pulse, timeout)

    def read(self) -> tuple[float, float, float, float]:
        """What was written last."""
        while True:
            times: tuple[float, float, float, float] = _TIMES.unpack_from(self._memory)
            if times == _TIMES.unpack_from(self._memory):  # else it was written meanwhile
                return times

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)
