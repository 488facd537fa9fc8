"""An alarm by the lease's clock, which goes on while the host is suspended; the timers of a loop stand still then.

Linux has timers of that kind (`timerfd`), and a loop hears of them as of any other descriptor: it is told at once when its
host wakes up. Elsewhere, for a clock that is not the host's own, or when no descriptor is left, the clock is looked at now
and then. A clock of another kind may bring alarms of its own: `alarm(ring)`, as `Alarm` here.
"""

import asyncio
import ctypes
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

from .clock import Clock, boottime

__all__ = ["Alarm", "alarm"]

NEVER = float("inf")
ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class Alarm(Protocol):
    """Calls `ring`, on the loop in which it was made, when the clock shows what was set; or earlier: ask the clock."""

    def set(self, at: float, glance: float) -> None:
        """In place of what was set before. `at`: `inf` for never. `glance`: seconds, the most between looks at the clock
        where there must be looks.
        """

    def close(self) -> None:
        """It does not ring any more, and is not set again."""


def alarm(clock: Clock, ring: Callable[[], None]) -> Alarm:
    """A new one, not set."""
    own: Callable[[Callable[[], None]], Alarm] | None = getattr(clock, "alarm", None)
    if own is not None:
        return own(ring)
    if clock is boottime and _timerfd_create is not None:
        descriptor = _timerfd_create(time.CLOCK_BOOTTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor >= 0:
            try:
                return _Kernel(descriptor, ring)
            except NotImplementedError:  # a loop without descriptors
                os.close(descriptor)
    return _Looking(clock, ring)


class _Looking:
    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float, glance: float) -> None:
        self.close()
        if at < NEVER:
            self._timer = self._loop.call_later(max(0.0, min(at - self._clock(), glance)), self._ring)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class _Kernel:
    def __init__(self, descriptor: int, ring: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(descriptor, self._due)

    def set(self, at: float, glance: float) -> None:
        if self._descriptor < 0:
            return
        nanoseconds = 0 if at == NEVER else max(round(at * 1e9), 1)  # 0: off
        value = _Timespec(*divmod(nanoseconds, 10**9))
        _timerfd_settime(self._descriptor, ABSOLUTE, ctypes.byref(_Setting(_Timespec(0, 0), value)), None)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            if not self._loop.is_closed():
                self._loop.remove_reader(descriptor)
            os.close(descriptor)

    def _due(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:  # set anew since
            return
        self._ring()


def _of_libc(name: str) -> Any:
    """None where the kernel has no such timers, or counts time in another width than `c_long`'s."""
    if not hasattr(time, "CLOCK_BOOTTIME") or ctypes.sizeof(ctypes.c_long) != 8:
        return None
    return getattr(ctypes.CDLL(None), name, None)


_timerfd_create, _timerfd_settime = _of_libc("timerfd_create"), _of_libc("timerfd_settime")
