"""Moments in which the machine did not run a process: a busy machine must not be taken for a fault of what runs on it.

A thread asks for the time again and again. Where it was not scheduled for much longer than it had asked for, neither was
the process, which is then no worse than a frozen one: what it believed meanwhile is worth nothing, what it does is judged.
"""

import threading
import time

from aioha.testing.history import Kind

from .account import Account

__all__ = ["NOTE", "note_stalls"]

NOTE = "stalled"
PULSE = 0.02


def note_stalls(account: Account, who: str, longer_than: float) -> None:
    """From now on each one that is longer than so many seconds is told as FROZE and THAWED, until this process ends."""
    threading.Thread(target=_watch, args=(account, who, longer_than), daemon=True, name="stalls").start()


def _watch(account: Account, who: str, longer_than: float) -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    while True:
        time.sleep(PULSE)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if now - before - PULSE > longer_than:
            account.tell(Kind.FROZE, who, at=before + PULSE, note=NOTE)
            account.tell(Kind.THAWED, who, at=now, note=NOTE)
        before = now
