"""Where a process of a chaos run writes its facts: a file of its own, a line at a time, on the clock that all share."""

import os
from collections.abc import Callable
from pathlib import Path

from aioha.clock import boottime
from aioha.testing.history import Fact, Kind

__all__ = ["Account"]


class Account:
    """Facts of one file. Safe to use from several threads: a fact is one write of a file opened for appending."""

    def __init__(self, path: Path, clock: Callable[[], float] = boottime) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._clock = clock

    def tell(
        self,
        kind: Kind,
        who: str = "",
        *,
        token: int = 0,
        until: float | None = None,
        note: str = "",
        at: float | None = None,
    ) -> None:
        """at: when it happened; None: now."""
        fact = Fact(self._clock() if at is None else at, kind, who, token, until, note)
        os.write(self._file, f"{fact.line()}\n".encode())

    def close(self) -> None:
        os.close(self._file)
