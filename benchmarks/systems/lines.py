"""What a measured candidate and the harness say to each other.

    python -m benchmarks.systems.NAME [FLAG] SERVERS PATH SESSION_TIMEOUT WHO

stdout, `EVENT WHO TOKEN NANOSECONDS` a line: UP (connected), LEAD (stamped inside the work, as its first step), STOP
(stamped when the work is over, before leadership is given up), NOTE (anything that went wrong, kept for the report).
stdin: `resign` ends the work, gives leadership up and takes part again behind the others. `quit`, end of input or
SIGTERM end the process: so no candidate outlives a harness that was killed.
"""

import os
import sys
import threading
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Arguments", "Lines", "arguments", "emit"]


class Arguments(NamedTuple):
    """`servers`: "host:port,..."; "local" for this host only, and `path` is a file then. `timeout`: seconds."""

    flags: list[str]
    servers: str
    path: str
    timeout: float
    who: str


def arguments() -> Arguments:
    *flags, servers, path, timeout, who = sys.argv[1:]
    return Arguments(flags, servers, path, float(timeout), who)


def emit(event: str, who: str, token: int = 0) -> None:
    """One line in one write, stamped by CLOCK_MONOTONIC, which all processes of a host share."""
    now = time.monotonic_ns()
    os.write(1, f"{event} {who} {token} {now}\n".encode())


class Lines:
    """Calls `command` with each line of stdin, end of input being "quit"."""

    def __init__(self, command: Callable[[str], None]) -> None:
        self._command = command
        self._buffer = b""

    def attach(self, loop: AbstractEventLoop) -> None:
        loop.add_reader(0, lambda: self._read() or loop.remove_reader(0))

    def thread(self) -> None:
        def pump() -> None:
            while self._read():
                pass

        threading.Thread(target=pump, daemon=True).start()

    def _read(self) -> bool:
        data = os.read(0, 65536)
        *lines, self._buffer = (self._buffer + (data or b"quit\n")).split(b"\n")
        for line in lines:
            self._command(line.decode())
        return bool(data)
