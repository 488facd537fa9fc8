"""Stopping a process whose work ticks (`candidate_process.py` with `ticks`) where no step of its work is under way.

A process that is stopped in the middle of a step goes on with it after the thaw, and nothing can hold that back.
"""

import asyncio
import signal
import time
from collections.abc import Callable

import psutil
from candidates import Candidate, History, now

__all__ = ["stop", "stopped_between_steps"]

TICK = 0.02  # seconds from step to step
BOUND = 30.0


def stop(candidate: Candidate) -> None:
    """SIGSTOP; returns when it stands still."""
    candidate.signal(signal.SIGSTOP)
    while psutil.Process(candidate.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.001)


async def stopped_between_steps(history: History, who: str, stop: Callable[[], None], go: Callable[[], None]) -> float:
    """When it stood still. `stop` returns when it does; both are tried until the moment is right."""
    async with asyncio.timeout(BOUND):
        while True:
            stop()
            stopped = now()
            await asyncio.sleep(0.05)  # what it has said is read meanwhile
            ticks = [each.at for each in history.events if (each.kind, each.who) == ("TICK", who)]
            if ticks and stopped - ticks[-1] < 0.9 * TICK:  # the next step was not due yet
                return stopped
            go()
            await history.next("TICK", who, after=stopped)
