"""What many seeds come to: a summary of each that travels between processes, and the report of all."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from aioha.testing.checks import Violation

from .play import Outcome

__all__ = ["Summary", "Tally"]

MOST_LINES = 5  # violations shown of one seed


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one seed. Durations are seconds."""

    seed: int
    virtual: float
    spent: float
    terms: int
    worst_gap: float
    bound: float
    injected: Counter[str]
    wrote: int
    refused: int
    transactions: int
    violations: tuple[Violation, ...]

    @classmethod
    def of(cls, outcome: Outcome) -> "Summary":
        return cls(
            outcome.scene.seed,
            outcome.virtual,
            outcome.spent,
            outcome.terms,
            outcome.worst_gap,
            outcome.scene.bound,
            outcome.injected,
            outcome.wrote,
            outcome.refused,
            outcome.transactions,
            tuple(outcome.violations),
        )


@dataclass(slots=True)
class Tally:
    """Sums of summaries."""

    seeds: int = 0
    virtual: float = 0.0
    spent: float = 0.0
    terms: int = 0
    wrote: int = 0
    refused: int = 0
    transactions: int = 0
    injected: Counter[str] = field(default_factory=Counter[str])
    failed: list[Summary] = field(default_factory=list[Summary])
    worst: Summary | None = None  # the longest gap
    closest: Summary | None = None  # the longest as a share of its bound
    invariants: Counter[str] = field(default_factory=Counter[str])

    def add(self, each: Summary) -> None:
        self.seeds += 1
        self.virtual += each.virtual
        self.spent += each.spent
        self.terms += each.terms
        self.wrote += each.wrote
        self.refused += each.refused
        self.transactions += each.transactions
        self.injected += each.injected
        if each.violations:
            self.failed.append(each)
            self.invariants.update({violation.invariant for violation in each.violations})
        if self.worst is None or each.worst_gap > self.worst.worst_gap:
            self.worst = each
        if self.closest is None or each.worst_gap / each.bound > self.closest.worst_gap / self.closest.bound:
            self.closest = each

    def lines(self, elapsed: float) -> Iterator[str]:
        """The report. elapsed: seconds on the wall."""
        yield f"{self.seeds} seeds, {self.virtual / 3600:.1f} virtual hours, {self.terms} terms, in {elapsed:.0f} s"
        yield f"speed: {self.virtual / max(self.spent, 1e-9):.0f} times real time on one core"
        yield f"faults: {sum(self.injected.values())}"
        for name, count in sorted(self.injected.items(), key=lambda item: (-item[1], item[0])):
            yield f"  {count:8d}  {name}"
        yield f"writes: {self.wrote} accepted, {self.refused} refused; {self.transactions} fenced transactions committed"
        if self.worst is not None and self.closest is not None:
            yield f"longest gap in calm: {_gap(self.worst)}; nearest to its bound: {_gap(self.closest)}"
        yield f"violations: {len(self.failed)} seeds" + (f" ({_counted(self.invariants)})" if self.failed else "")


def _gap(summary: Summary) -> str:
    share = summary.worst_gap / summary.bound
    return f"{summary.worst_gap:.2f} s, {share:.0%} of its bound of {summary.bound:.2f} s (seed {summary.seed})"


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counter.items()))
