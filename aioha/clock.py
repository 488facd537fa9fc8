"""The one clock that decisions are made by: monotonic, in seconds, and counting while the host is suspended.

Leases live on this clock because the server's clock goes on while we sleep. Wall time is for people only.
"""

import time
from collections.abc import Callable

__all__ = ["Clock", "boottime", "wall_time"]

Clock = Callable[[], float]


def _suspend_counting_clock() -> Clock:
    identifier: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if identifier is None:  # macOS's CLOCK_MONOTONIC counts suspend already
        return time.monotonic
    return lambda: time.clock_gettime(identifier)  # looked up each time: a simulation puts its own in its place


boottime: Clock = _suspend_counting_clock()
wall_time: Clock = time.time
