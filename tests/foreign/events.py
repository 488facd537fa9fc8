"""What all candidates of a shared election have said, in one history; and whether two of them ever led at once."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["Event", "Events", "Lead", "now"]

INFINITY = float("inf")


def now() -> float:
    """Seconds on the clock that all candidates stamp with."""
    return time.monotonic()


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a candidate; of kind KILLED, what was done to it, stamped before it was done. `at`: seconds."""

    kind: str
    who: str
    text: str
    at: float

    @classmethod
    def of(cls, line: bytes) -> "Event":
        kind, who, *text, at = line.decode().split()
        return cls(kind, who, "".join(text), int(at) / 1e9)


@dataclass(frozen=True, slots=True)
class Lead:
    """One turn of one candidate, in seconds; the end of one that goes on is infinity."""

    begin: float
    end: float
    who: str

    @property
    def goes_on(self) -> bool:
        return self.end == INFINITY

    def is_same(self, other: "Lead | None") -> bool:
        return other is not None and (self.begin, self.who) == (other.begin, other.who)


class Events:
    """Grows while candidates speak; `until` awaits what has not been said yet."""

    def __init__(self) -> None:
        self.all: list[Event] = []
        self._last: dict[tuple[str, str], Event] = {}
        self._numbers = Counter[tuple[str, str]]()
        self._leads: list[Lead] = []
        self._more = asyncio.Condition()

    async def add(self, event: Event) -> None:
        async with self._more:
            self.all.append(event)
            self._last[event.kind, event.who] = event
            self._numbers[event.kind, event.who] += 1
            if event.kind == "LEAD":
                self._leads.append(Lead(event.at, INFINITY, event.who))
            elif event.kind in ("STOP", "KILLED"):
                self._end(event)
            self._more.notify_all()

    async def until(self, condition: Callable[[], object], bound: float) -> None:
        """Raises `TimeoutError`. The condition is looked at again with every event."""
        async with asyncio.timeout(bound), self._more:
            await self._more.wait_for(condition)

    def number(self, kind: str, who: str) -> int:
        """How often this was said."""
        return self._numbers[kind, who]

    def last(self, kind: str, who: str) -> Event:
        return self._last[kind, who]

    @property
    def leads(self) -> list[Lead]:
        """Every turn, in order of their beginnings."""
        return sorted(self._leads, key=lambda lead: lead.begin)

    def _end(self, event: Event) -> None:
        for index, lead in enumerate(self._leads):
            if lead.who == event.who and lead.goes_on:
                end = max(lead.begin, event.at)  # it may have begun between our look at the clock and its death
                self._leads[index] = replace(lead, end=end)

    def assert_one_at_a_time(self) -> None:
        for one, other in itertools.pairwise(self.leads):
            assert one.end <= other.begin, f"{one} and {other} overlap by {one.end - other.begin:.6f} s\n{self}"

    def __str__(self) -> str:
        said = sorted(self.all, key=lambda each: each.at)
        begin = said[0].at if said else 0.0
        return "\n".join(f"{each.at - begin:9.4f} {each.kind:8} {each.who} {each.text}" for each in said)
