"""The account of a demo: who worked when, as each candidate's own clock readings tell. Pure: facts in, spans out.

All times are CLOCK_MONOTONIC nanoseconds, one clock for all processes of a host, read by the candidate at the moment
itself: neither pipes nor this process's own delays are in the gaps.
"""

from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Account", "Handover", "Span"]


@dataclass(slots=True)
class Span:
    """One term of one candidate: from its work's first moment to its last."""

    name: str
    token: int
    start: int
    last_seen: int  # the latest reading the work itself took
    end: int | None = None
    how: str = ""  # "killed", "resigned", "ended"; "" while it works


@dataclass(frozen=True, slots=True)
class Handover:
    """From the end of one term to the start of the next one's work."""

    before: Span
    after: Span

    @property
    def gap(self) -> float:
        """Seconds from the blow (kill) or the end of the work (else) to the next work. Negative: two at once."""
        end = self.before.last_seen if self.before.end is None else self.before.end
        return (self.after.start - end) / 1e9


class Account:
    """Collects facts and answers what they amount to."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.lives: dict[str, list[tuple[int, int | None]]] = {}  # when each candidate's process took part
        self.ticks = 0

    def joined(self, name: str, at: int) -> None:
        self.lives.setdefault(name, []).append((at, None))

    def began(self, name: str, token: int, at: int) -> None:
        self.spans.append(Span(name, token, at, at))

    def ticked(self, name: str, at: int) -> None:
        self.ticks += 1
        span = self._latest(name)
        span.last_seen = max(span.last_seen, at)

    def rested(self, name: str, at: int, how: str) -> None:
        span = self._latest(name)
        span.end, span.how = at, how
        span.last_seen = max(span.last_seen, at)

    def killed(self, name: str, at: int) -> None:
        """SIGKILL is about to be sent. Ticks that the candidate still took before it arrived are counted all the same."""
        self.left(name, at)
        if (span := self.working(name)) is not None:
            span.end, span.how = at, "killed"

    def left(self, name: str, at: int) -> None:
        if name in self.lives:
            self.lives[name][-1] = (self.lives[name][-1][0], at)

    def working(self, name: str) -> Span | None:
        """The term in which this candidate works now."""
        return next((span for span in reversed(self.spans) if span.name == name and span.end is None), None)

    def leader(self) -> Span | None:
        """The latest term whose work has not ended."""
        return next((span for span in reversed(self.in_order()) if span.end is None), None)

    def in_order(self) -> list[Span]:
        return sorted(self.spans, key=lambda span: span.start)

    def handovers(self) -> list[Handover]:
        return [Handover(before, after) for before, after in pairwise(self.in_order())]

    def overlaps(self) -> list[Handover]:
        """Handovers in which the work of the one before was seen after the next one's had begun."""
        return [handover for handover in self.handovers() if handover.before.last_seen >= handover.after.start]

    def tokens_grow(self) -> bool:
        return all(before.token < after.token for before, after in pairwise(self.in_order()))

    def _latest(self, name: str) -> Span:
        return next(span for span in reversed(self.spans) if span.name == name)
