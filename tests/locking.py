"""The lock of this host without an elector: an event loop that the test turns, and locks that are let go in the end."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from aioha.elections.local import lockfile
from aioha.elections.local.lockfile import Lock
from aioha.elections.local.place import Place
from aioha.elections.local.presence import connect

__all__ = ["Loop", "Take", "guest", "number", "taking"]

Take = Callable[[], Lock | None]


class Loop:
    """What a lock asks of the event loop; the test calls back."""

    def __init__(self) -> None:
        self.readers: dict[Any, Any] = {}
        self.timers: list[tuple[float, Any]] = []
        self.cancelled = 0
        self.closed = False

    def add_reader(self, each: Any, callback: Any, *args: Any) -> None:
        self.readers[each] = (callback, *args)

    def remove_reader(self, each: Any) -> None:
        del self.readers[each]

    def call_later(self, seconds: float, callback: Any) -> Any:
        self.timers.append((seconds, callback))
        return SimpleNamespace(cancel=self._cancel)

    def _cancel(self) -> None:
        self.cancelled += 1

    def is_closed(self) -> bool:
        return self.closed


@contextmanager
def taking(place: Place, name: bytes) -> Iterator[Take]:
    """The function that tries for the lock. In the end everything must be let go."""
    before, others, taken = os.listdir("/proc/self/fd"), set(lockfile._locks), list[Lock]()

    def take() -> Lock | None:
        lock = Lock.acquire(place, name)
        if lock is not None:
            taken.append(lock)
            assert lock in lockfile._locks
        return lock

    yield take
    for lock in taken:
        lock.close()
    assert os.listdir("/proc/self/fd") == before
    assert lockfile._locks == others


def number(lock: Lock) -> int:
    """Of its socket."""
    assert lock._listener is not None
    return lock._listener.fileno()


def guest(name: bytes) -> socket.socket:
    alive, connection = connect(name)
    assert alive
    assert connection is not None
    return connection
