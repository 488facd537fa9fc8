"""The terms of a chaos run as one SVG that needs nothing else: a strip for each minute, a row for each candidate.

Bars are work (it belongs to one row at a time, or something is wrong), pale lines are lives, grey bars are processes that
were frozen; faults are marked above the rows, and reach through all of them where they concern everybody.
"""

from collections.abc import Iterator, Sequence
from html import escape

from aioha.testing.checks import Violation
from aioha.testing.history import Fact, Kind

from .faults import OF_CANDIDATES
from .report import Span, spans
from .show import Mark, Outcome

__all__ = ["picture"]

STRIP = 60.0  # seconds
LEFT, WIDTH, ROW, HEAD, GAP = 44, 1440, 14, 18, 16  # pixels
COLOURS = ("#2a7fb8", "#3a9a5b", "#c8861d", "#8c5fb0", "#c2506b", "#4d8f96", "#8a7a3c", "#6672b5")
STYLE = (
    "text{font:10px sans-serif;fill:#444}.mark{fill:#b33;opacity:.85}.wide{fill:#b33;opacity:.10}"
    ".frozen{fill:#555;opacity:.35}.life{stroke:#bbb}.wrong{stroke:#f0f;stroke-width:2}"
)


def picture(facts: Sequence[Fact], outcome: Outcome, violations: Sequence[Violation]) -> str:
    rows = sorted({_place(fact.who) for fact in facts if fact.kind in (Kind.BEGAN, Kind.ENDED, Kind.DIED)})
    strips = max(1, int((outcome.ended - outcome.begun) // STRIP) + 1)
    height = HEAD + len(rows) * ROW + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 10}" height="{strips * height + 24}">',
        f"<style>{STYLE}</style>",
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="4" y="14">seed {outcome.seed}; a strip is {STRIP:g} s; point at anything to read what it is</text>',
    ]
    work, frozen, lives = spans(facts), list(_frozen(facts)), list(_lives(facts))
    for number in range(strips):
        begin = outcome.begun + number * STRIP
        strip = _Strip(begin, 24 + number * height, rows)
        parts += [
            *strip.frame(number),
            *strip.marks(outcome.marks),
            *strip.bars(lives, "life"),
            *strip.work(work),
            *strip.bars(frozen, "frozen"),
            *strip.wrongs(violations),
        ]
    return "\n".join([*parts, "</svg>", ""])


class _Strip:
    """One minute, its upper edge at `top`."""

    def __init__(self, begin: float, top: int, rows: Sequence[str]) -> None:
        self._begin = begin
        self._top = top
        self._rows = rows

    def frame(self, number: int) -> Iterator[str]:
        yield f'<text x="2" y="{self._top + 10}">{int(number * STRIP)} s</text>'
        for index, row in enumerate(self._rows):
            yield f'<text x="16" y="{self._y(index) + 10}">{escape(row)}</text>'

    def marks(self, marks: Sequence[Mark]) -> Iterator[str]:
        for mark in marks:
            if (place := self._across(mark.at, mark.until)) is None:
                continue
            x, width = place
            title = f"{mark.kind}{f' with {mark.note}' if mark.note else ''}, {mark.whom} led, {mark.until - mark.at:.2f} s"
            told = f"<title>{escape(title)}</title>"
            if mark.kind not in OF_CANDIDATES:
                tall = HEAD + len(self._rows) * ROW
                yield f'<rect class="wide" x="{x}" y="{self._top}" width="{width}" height="{tall}">{told}</rect>'
                yield f'<text x="{x}" y="{self._top + 8}">{escape(mark.kind)}</text>'
            yield f'<rect class="mark" x="{x}" y="{self._top + 11}" width="{width}" height="4">{told}</rect>'

    def bars(self, bars: Sequence[Span], kind: str) -> Iterator[str]:
        for bar in bars:
            if _place(bar.who) in self._rows and (place := self._across(bar.begun, bar.ended)) is not None:
                x, width = place
                y = self._y(self._rows.index(_place(bar.who)))
                if kind == "life":
                    yield f'<path class="life" d="M{x} {y + 7}h{width}"/>'
                else:
                    told = f"<title>{escape(bar.how)}</title>"
                    yield f'<rect class="{kind}" x="{x}" y="{y + 1}" width="{width}" height="12">{told}</rect>'

    def work(self, work: Sequence[Span]) -> Iterator[str]:
        for span in work:
            if (place := self._across(span.begun, span.ended)) is not None:
                x, width = place
                index = self._rows.index(_place(span.who))
                title = f"{span.who}, token {span.token:#x}, {span.ended - span.begun:.3f} s, {span.how}"
                yield (
                    f'<rect fill="{COLOURS[index % len(COLOURS)]}" x="{x}" y="{self._y(index) + 3}" width="{width}" '
                    f'height="8"><title>{escape(title)}</title></rect>'
                )

    def wrongs(self, violations: Sequence[Violation]) -> Iterator[str]:
        for violation in violations:
            if (place := self._across(violation.at, violation.at)) is not None:
                tall = HEAD + len(self._rows) * ROW
                told = f"<title>{escape(str(violation))}</title>"
                yield f'<path class="wrong" d="M{place[0]} {self._top}v{tall}">{told}</path>'

    def _y(self, index: int) -> int:
        return self._top + HEAD + index * ROW

    def _across(self, begin: float, end: float) -> tuple[float, float] | None:
        """x and width of what of it lies in this strip."""
        if end < self._begin or begin >= self._begin + STRIP:
            return None
        left, right = max(begin, self._begin), min(end, self._begin + STRIP)
        scale = WIDTH / STRIP
        return round(LEFT + (left - self._begin) * scale, 1), max(1.0, round((right - left) * scale, 1))


def _place(who: str) -> str:
    return who.partition(".")[0]


def _frozen(facts: Sequence[Fact]) -> Iterator[Span]:
    since: dict[str, Fact] = {}
    for fact in facts:
        if fact.kind is Kind.FROZE:
            since.setdefault(fact.who, fact)
        elif fact.kind in (Kind.THAWED, Kind.DIED) and (began := since.pop(fact.who, None)) is not None:
            yield Span(fact.who, 0, began.at, fact.at, began.note)


def _lives(facts: Sequence[Fact]) -> Iterator[Span]:
    """Of candidates that have worked: from their first fact to their last."""
    first, last = dict[str, float](), dict[str, float]()
    for fact in facts:
        if fact.who:
            first.setdefault(fact.who, fact.at)
            last[fact.who] = fact.at
    for who, begun in first.items():
        yield Span(who, 0, begun, last[who], "")
