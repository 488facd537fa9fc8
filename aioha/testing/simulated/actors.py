"""Who acts in virtual time, who may, and what time it is for them.

An actor (a candidate's process, a server) is a name in a context variable: all that it schedules carries it. A frozen
actor's callbacks are kept, in order, until it thaws, as a stopped process finds its timers due and its sockets full. An
actor may have clocks of its own; its timers follow them.
"""

import heapq
from collections import deque
from typing import Any

from .clocks import HostClock
from .handles import ACTOR, Alarm, Handle, Post

__all__ = ["Actors"]


class Actors:
    """The actors of one loop, and what is scheduled for them: `ready` in order, `timers` as a heap by true time.

    `now`: true time. `frozen`: what is kept, by actor. `clocks`: of those actors that have their own.
    """

    def __init__(self, now: float) -> None:
        self.now = now
        self.ready: deque[Handle | Post] = deque()
        self.timers: list[tuple[float, int, Handle | Post]] = []
        self.frozen: dict[str, list[Handle | Post]] = {}
        self.clocks: dict[str | None, HostClock] = {}

    def time(self) -> float:
        """The monotonic clock of who asks."""
        return self.time_of(ACTOR.get()) if self.clocks else self.now

    def time_of(self, actor: str | None) -> float:
        """The monotonic clock of an actor."""
        clock = self.clocks.get(actor)
        return self.now if clock is None else clock.monotonic(self.now)

    def clock_of(self, actor: str) -> HostClock:
        """Made when it is first asked for; until then the actor's clocks show true time."""
        if actor not in self.clocks:
            self.clocks[actor] = HostClock(self.now)
        return self.clocks[actor]

    def set_clock(self, actor: str, **changes: Any) -> None:
        """See `HostClock.change`. What is scheduled already follows the new clock."""
        self.clock_of(actor).change(self.now, **changes)
        self.timers[:] = [(self._due(entry, actor), *entry[1:]) for entry in self.timers]
        heapq.heapify(self.timers)

    def freeze(self, actor: str) -> None:
        """Stop an actor: nothing that it has scheduled runs until `thaw`."""
        self.frozen.setdefault(actor, [])

    def suspend(self, actor: str) -> None:
        """As `freeze`, and its monotonic clock stands still: what it has scheduled is late by as much."""
        self.freeze(actor)
        self.set_clock(actor, suspended=True)

    def resume(self, actor: str) -> None:
        """Its clock goes on; it remains frozen."""
        if self.is_suspended(actor):
            self.set_clock(actor, suspended=False)

    def is_suspended(self, actor: str) -> bool:
        return actor in self.clocks and self.clocks[actor].is_suspended

    def thaw(self, actor: str) -> None:
        """Let an actor go on. What became due meanwhile runs now, in order."""
        self.resume(actor)
        self.ready.extend(self.frozen.pop(actor, ()))

    def discard(self, actor: str) -> None:
        """A frozen actor has died: it goes on, and what it had scheduled is gone."""
        self.resume(actor)
        self.frozen.pop(actor, None)

    def is_frozen(self, actor: str) -> bool:
        return actor in self.frozen

    def _due(self, entry: tuple[float, int, Handle | Post], actor: str) -> float:
        due, _, timer = entry
        if not isinstance(timer, Handle) or timer.context.get(ACTOR) != actor:
            return due
        clock = self.clocks[actor]
        when = clock.when_alarm if isinstance(timer, Alarm) else clock.when_monotonic
        return when(timer.reading, self.now)
