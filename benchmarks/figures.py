"""Samples in, medians and tables out. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Figure", "percentile", "table"]


@dataclass(frozen=True, slots=True)
class Figure:
    """What one system showed in one scenario on one store. `samples` are in `unit`."""

    scenario: str
    store: str
    system: str
    unit: str
    samples: Sequence[float]
    yardstick: str = ""  # the system that the ratio is to
    notes: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def median(self) -> float:
        return statistics.median(self.samples) if self.samples else float("nan")

    def as_json(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"n": len(self.samples)}
        if self.samples:
            figures |= {"median": self.median, "p99": percentile(self.samples, 0.99), "max": max(self.samples)}
        return {**asdict(self), **figures, "samples": [round(sample, 4) for sample in self.samples]}


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of all do not exceed: with few samples p99 is the maximum."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """Figures as a markdown table; the ratio is that of medians, to the yardstick of the same scenario and store."""
    rows = [["scenario", "store", "system", "median", "p99", "max", "unit", "n", "ratio", "notes"]]
    medians = {(each.scenario, each.store, each.system): each.median for each in figures}
    for each in figures:
        base = medians.get((each.scenario, each.store, each.yardstick))
        ratio = f"{each.median / base:.2f}" if base else ""
        cells = [_short(each.median), _short(percentile(each.samples, 0.99)), _short(max(each.samples))]
        notes = ", ".join(f"{key} {value}" for key, value in each.notes.items())
        rows.append([each.scenario, each.store, each.system, *cells, each.unit, str(len(each.samples)), ratio, notes])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}" if value >= 100 else f"{value:.2f}"
