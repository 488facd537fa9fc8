"""Where a candidate stands, as one table: (standing, event) -> standing. A missing pair is a bug, and raises.

    OUT -join-> STANDBY -work-> LEADING <-doubt/sure-> DOUBTFUL
                  |                 \\________________/
               withdraw                     | stop (lost or resigned: the work is being ended)
                  v                         v
                 OUT <---------left----- RESIGNING

Knows no clock, no socket, no asyncio. `is_leading` is LEADING or DOUBTFUL, and the lease clock has the last word.
"""

from enum import Enum

__all__ = ["Event", "Standing", "after"]


class Standing(Enum):
    """Where this candidate stands in its election."""

    __hash__ = object.__hash__  # `Enum`'s own is Python, on the way to the work

    OUT = "out"
    STANDBY = "standby"
    LEADING = "leading"
    DOUBTFUL = "doubtful"
    RESIGNING = "resigning"

    @property
    def may_work(self) -> bool:
        """The work of a term runs in this standing."""
        return self in (Standing.LEADING, Standing.DOUBTFUL)


class Event(Enum):
    """What can happen to a candidate."""

    __hash__ = object.__hash__

    JOIN = "join"  # a campaign begins
    WITHDRAW = "withdraw"  # it ends before its work began
    WORK = "work"  # granted, settled, nobody left to fence: the work begins
    DOUBT = "doubt"  # the connection is gone; the lease is not over
    SURE = "sure"  # the same session is attached again
    STOP = "stop"  # the term is over or given up: the work is told to end
    LEFT = "left"  # the work has ended and the release is done or in hand


_TABLE: dict[tuple[Standing, Event], Standing] = {
    (Standing.OUT, Event.JOIN): Standing.STANDBY,
    (Standing.STANDBY, Event.WITHDRAW): Standing.OUT,
    (Standing.STANDBY, Event.WORK): Standing.LEADING,
    (Standing.LEADING, Event.DOUBT): Standing.DOUBTFUL,
    (Standing.DOUBTFUL, Event.SURE): Standing.LEADING,
    (Standing.LEADING, Event.SURE): Standing.LEADING,
    (Standing.DOUBTFUL, Event.DOUBT): Standing.DOUBTFUL,
    (Standing.LEADING, Event.STOP): Standing.RESIGNING,
    (Standing.DOUBTFUL, Event.STOP): Standing.RESIGNING,
    (Standing.RESIGNING, Event.LEFT): Standing.OUT,
}


def after(standing: Standing, event: Event) -> Standing:
    """The next standing. Raises `LookupError` for a pair that cannot happen."""
    try:
        return _TABLE[standing, event]
    except KeyError:
        raise LookupError(f"{event.name} cannot happen in {standing.name}") from None
