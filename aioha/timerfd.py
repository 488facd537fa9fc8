"""Linux's timers as descriptors, on the clock that goes on while the host is suspended.

Importing this raises `ImportError` where they cannot be had: other systems, 32 bits, a Python without ctypes.
"""

import ctypes
import os
import struct
import time

__all__ = ["create", "set_to"]

ABSOLUTE = 1  # TFD_TIMER_ABSTIME
SETTING = struct.Struct("@4l")  # interval and value, each in seconds and nanoseconds

try:
    _libc = ctypes.CDLL(None)
    _create, _settime, _clock = _libc.timerfd_create, _libc.timerfd_settime, time.CLOCK_BOOTTIME
except (OSError, TypeError, AttributeError) as error:
    raise ImportError("this system has no timerfd") from error
if struct.calcsize("l") != 8:
    raise ImportError("the kernel may count time in another width than C's long")


def create() -> int:
    """A descriptor that is readable once its timer has rung; negative if there is none left. Not set."""
    descriptor: int = _create(_clock, os.O_NONBLOCK | os.O_CLOEXEC)
    return descriptor


def set_to(descriptor: int, at: float) -> bool:
    """To a reading of the clock, in seconds, which may have passed; `inf`: never. False if that could not be done."""
    nanoseconds = 0 if at == float("inf") else max(round(max(at, 0.0) * 1e9), 1)  # 0: off
    return bool(_settime(descriptor, ABSOLUTE, SETTING.pack(0, 0, *divmod(nanoseconds, 10**9)), None) == 0)
