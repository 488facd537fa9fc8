"""Small families of processes, for tests: started, told apart by their numbers, and ended whatever happens."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from commands import PATIENCE

from aioha import descendants
from aioha.descendants import Process

BIRTH_OF_NOBODY = 1  # a tick at which only the kernel's own threads began

# A root that adopts, starts what `BODY` says, tells the numbers it was given, and waits for its end.
ROOT = """
import ctypes, os, signal, sys, threading, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
def tell(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def stay():
    while True: signal.pause()
"""


@contextmanager
def tree_of(body: str, count: int, env: dict[str, str] | None = None) -> Iterator[tuple[int, list[int]]]:
    """A root process and the `count` numbers that it and its offspring told; all of it ended in the end."""
    root = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", f"{ROOT}\n{body}\nstay()"],
        stdout=subprocess.PIPE,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    assert root.stdout is not None
    told: list[int] = []
    try:
        while len(told) < count:
            line = root.stdout.readline()
            assert line, f"the root ended; told so far: {told}"
            told += map(int, line.split())
        yield root.pid, told
    finally:
        below = descendants.descendants(root.pid)
        root.kill()
        root.wait(PATIENCE)
        for one in below:
            descendants.kill(one)
        root.stdout.read()  # its end: nobody holds it any more
        root.stdout.close()


def pids(found: set[Process]) -> set[int]:
    return {one.pid for one in found}


def until(condition: Callable[[], bool], what: str) -> None:
    """Other processes change in their own time, and the kernel has no event for it."""
    due = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < due, what
        time.sleep(0.002)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().split()[2]


def known(pid: int) -> Process:
    one = descendants.process(pid)
    assert one is not None
    return one
