"""An alarm by the lease's clock, which goes on while the host is suspended; the timers of a loop stand still then.

Linux has timers of that kind, and a loop hears of them as of any other descriptor: it is told at once when its host wakes
up. Elsewhere, for a clock that is not the host's own, or when no descriptor is left, it is a timer of the loop, and whoever
relies on it looks at the clock now and then. A clock of another kind may bring alarms of its own: `alarm(ring)`.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from .clock import Clock, boottime

try:
    from . import timerfd
except ImportError:
    timerfd = None  # type: ignore[assignment] # an optional module

__all__ = ["Alarm", "alarm"]

NEVER = float("inf")


class Alarm(Protocol):
    """Calls `ring`, on the loop in which it was made, when the clock shows what was set; or earlier: ask the clock."""

    def set(self, at: float) -> None:
        """In place of what was set before; `inf`: never."""

    def close(self) -> None:
        """It does not ring any more, and is not set again."""


def alarm(clock: Clock, ring: Callable[[], None]) -> Alarm:
    """A new one, not set."""
    own: Callable[[Callable[[], None]], Alarm] | None = getattr(clock, "alarm", None)
    if own is not None:
        return own(ring)
    if clock is boottime and timerfd is not None:
        descriptor = timerfd.create()
        if descriptor >= 0:
            try:
                return _Kernel(descriptor, ring)
            except (NotImplementedError, OSError, RuntimeError):  # a loop without descriptors, or one that can take no more
                os.close(descriptor)
    return _Timer(clock, ring)


class _Timer:
    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        self.close()
        if at < NEVER:
            self._timer = self._loop.call_later(max(0.0, at - self._clock()), self._ring)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _Kernel:
    def __init__(self, descriptor: int, ring: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._due)

    def set(self, at: float) -> None:
        assert timerfd is not None
        if self._descriptor >= 0 and not timerfd.set_to(self._descriptor, at) and at < NEVER:
            self._loop.call_later(max(0.0, at - boottime()), self._ring_if_open)  # somebody has closed it under us

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(descriptor)
            os.close(descriptor)

    def _ring_if_open(self) -> None:
        if self._descriptor >= 0:
            self._ring()

    def _due(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:  # set anew since
            return
        self._ring()
