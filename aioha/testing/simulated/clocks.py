"""What a host's own clocks show. They may run faster or slower than true time, and part when the host is suspended:
`monotonic`, by which its timers run, stands still then, and `boottime` goes on.
"""

import math

__all__ = ["HostClock"]


class HostClock:
    """Both clocks of one host. All methods take or give true time, the loop's own; a reading is what the host sees."""

    def __init__(self, now: float) -> None:
        self.rate = 1.0
        self.is_suspended = False
        self._since = self._monotonic = self._boottime = now

    def monotonic(self, now: float) -> float:
        return self._monotonic if self.is_suspended else self._monotonic + (now - self._since) * self.rate

    def boottime(self, now: float) -> float:
        return self._boottime + (now - self._since) * self.rate

    def when_boottime(self, reading: float) -> float:
        """True time of a reading, past or future, as if the rate had always been and would remain what it is."""
        return self._since + (reading - self._boottime) / self.rate

    def when_alarm(self, reading: float, now: float) -> float:
        """As `when_monotonic`, by `boottime`: a host that wakes up finds due what has passed meanwhile."""
        if self.is_suspended:
            return math.inf
        due = max(now, self.when_boottime(reading))
        while self.boottime(due) < reading:
            due = math.nextafter(due, math.inf)
        return due

    def when_monotonic(self, reading: float, now: float) -> float:
        """True time, not before `now`, at which a timer set for that reading is due; `inf` while suspended.

        The clock does show that reading then, whatever the rounding: else a timer would find itself early, for ever.
        """
        if self.is_suspended:
            return math.inf
        due = max(now, self._since + (reading - self._monotonic) / self.rate)
        while self.monotonic(due) < reading:
            due = math.nextafter(due, math.inf)
        return due

    def change(self, now: float, *, rate: float | None = None, suspended: bool | None = None) -> None:
        """From now on."""
        self._monotonic, self._boottime, self._since = self.monotonic(now), self.boottime(now), now
        if rate is not None:
            self.rate = rate
        if suspended is not None:
            self.is_suspended = suspended
