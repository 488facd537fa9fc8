"""Proof that a block has cleaned up: no task, file descriptor, thread or child process is left that it began."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio

__all__ = ["no_leaks"]

POLL = 0.02
POOLED = ("AnyIO worker thread", "asyncio_", "ThreadPoolExecutor")  # kept by their pools for the next call, on purpose


class no_leaks:  # noqa: N801 - read as a statement: `async with no_leaks():`
    """`async with no_leaks():` (or `with`, where no task can end meanwhile) around anything that must clean up.

    Waits for at most `timeout` seconds until all tasks of the running loop, file descriptors, threads and child
    processes that appeared in the block are gone; `AssertionError` names those that are not. Threads of thread pools
    do not count. An exception of the block passes unchecked. Linux.
    """

    def __init__(self, timeout: float = 2.0) -> None:
        self._timeout = timeout
        self._before: set[object] = set()
        self._due = 0.0

    def __enter__(self) -> Self:
        self._before = set(_alive())
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            self._due = time.monotonic() + self._timeout
            while self._wait_longer():
                time.sleep(POLL)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is None:
            self._due = time.monotonic() + self._timeout
            while self._wait_longer():  # noqa: ASYNC110 - nothing announces that a descriptor is gone
                await anyio.sleep(POLL)

    def _wait_longer(self) -> bool:
        left = [thing for thing in _alive() if thing not in self._before]
        if left and time.monotonic() > self._due:
            raise AssertionError("left behind: " + "; ".join(sorted(map(str, left))))
        return bool(left)


def _alive() -> Iterator[object]:
    """Everything that can leak, each as something hashable that says in words what it is."""
    yield from _tasks()
    yield from _descriptors()
    yield from (thread for thread in threading.enumerate() if not thread.name.startswith(POOLED))
    yield from _children()


def _tasks() -> Iterator[object]:
    with contextlib.suppress(RuntimeError):  # no loop runs here
        yield from asyncio.all_tasks() - {asyncio.current_task()}


def _descriptors() -> Iterator[object]:
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that lists the directory
            yield f"fd {number} -> {os.readlink(f'/proc/self/fd/{number}')}"


def _children() -> Iterator[object]:
    """Child processes, dead ones that nobody has waited for included."""
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            name, _, rest = (directory / "stat").read_text("utf-8", "replace").rpartition(")")
            if int(rest.split()[1]) == os.getpid():
                yield f"child process {name})"
