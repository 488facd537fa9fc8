"""What a person sees of the demo: lines of what happens and, on a terminal, a live picture below them.

Without a terminal, and on a dumb one, the lines are all there is: no control codes. rich honours NO_COLOR by itself.
"""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from ..report import BROKEN_PIPE, Failure, printable
from .account import Account, Handover
from .crew import Crew
from .drawing import ASCII, BLOCKS, COLOURS, axis, big, close_up, lane, milliseconds

__all__ = ["View"]

NARROW = 60  # columns below which a lane has its row for itself
STAMP = 10  # columns of the time before a line
STATUS = 26  # columns of the text before a lane


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        self.quiet = True
        raise Failure(BROKEN_PIPE)


class View:
    """Shows one demo. `with` it: the cursor comes back however the block ends."""

    def __init__(self, names: Sequence[str], scale: float) -> None:
        live = sys.stdout.isatty()
        self._console = (
            _Console(highlight=False)
            if live
            else _Console(highlight=False, force_terminal=False, color_system=None, width=80)
        )
        self._live = (
            Live(console=self._console, auto_refresh=False, transient=True)
            if live and not self._console.is_dumb_terminal
            else None
        )
        self._glyphs = BLOCKS if self._console.encoding.lower().startswith("utf") else ASCII
        self._colours = dict(zip(names, COLOURS, strict=False))
        self._scale = scale  # seconds that the lanes hold; doubled when that is not enough
        self._start = time.monotonic_ns()
        self._crew: Crew | None = None
        self._last: tuple[str, float] | None = None
        self._waiting: tuple[str, float] | None = None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(Text(), refresh=False)
            self._live.stop()

    def curtain(self, crew: Crew) -> None:
        """The candidates are about to be started: time 0 of the pictures."""
        self._crew, self._start, self._waiting = crew, time.monotonic_ns(), None

    def say(self, text: str, style: str = "", at: int | None = None) -> None:
        """A line of what happens, at a moment (CLOCK_MONOTONIC ns) or now."""
        seconds = ((time.monotonic_ns() if at is None else at) - self._start) / 1e9
        first, *rest = Text(printable(text), style).wrap(self._console, max(20, self._console.width - STAMP))
        self._print(Text(f"{seconds:6.2f} s  ", "dim").append(first), *(Text(" " * STAMP).append(line) for line in rest))
        self.refresh()

    def wait(self, text: str) -> None:
        """Something slow has begun; `handed_over` ends it."""
        self._waiting = (text, time.monotonic())
        self.say(text, "dim")

    def handed_over(self, handover: Handover) -> None:
        cause = "kill -9" if handover.before.how == "killed" else "resigning"
        self._waiting = None
        self._last = (f"{cause} to next work", handover.gap)
        after = handover.after
        self.say(
            f"{after.name} works, token {after.token}: {milliseconds(handover.gap)} after the {_end(handover)}",
            "bold",
            after.start,
        )

    def refresh(self) -> None:
        """Draw the live picture anew; nothing without a terminal."""
        if self._live is not None and self._live.is_started:
            self._live.update(Group(*self._picture()), refresh=True)

    def finale(self, account: Account, names: Sequence[str]) -> None:
        """The drawn account of the whole demo, for good."""
        if self._live is not None:
            self._live.stop()
        self._crew = None
        end = max(span.end or span.last_seen for span in account.spans)
        self._print("", Text("Who led when", "bold"), *self._lanes(account, names, end, (end - self._start) / 1e9))
        self._print("", Text("The handovers close up, each to its own scale", "bold"))
        for handover in account.handovers():
            self._print(*self._close_up(handover))

    def verdict(self, text: str, good: bool) -> None:
        mark, style = ("ok", "bold green") if good else ("NOT SO", "bold red")
        self._console.print(Text(f"{text}: ").append(mark, style))

    def _print(self, *rows: RenderableType) -> None:
        for row in rows:
            self._console.print(row)

    def _picture(self) -> list[RenderableType]:
        if self._crew is None:
            return [self._wait_line()] if self._waiting else []
        now = time.monotonic_ns()
        while (now - self._start) / 1e9 > self._scale:
            self._scale *= 1.5
        rows: list[RenderableType] = [Text(), *self._live_lanes(self._crew, now)]
        if self._waiting is not None:
            rows += [Text(), self._wait_line()]
        elif self._last is not None:
            caption, gap = self._last
            rows += [Text(), *big(gap, self._glyphs), Text(caption, "yellow")]
        return rows

    def _wait_line(self) -> Text:
        text, since = self._waiting or ("", 0.0)
        return Text(f"{time.monotonic() - since:5.1f} s  ", "bold yellow").append(text, "yellow")

    def _live_lanes(self, crew: Crew, now: int) -> list[RenderableType]:
        return self._lanes(crew.account, list(crew.standing), now, self._scale, crew)

    def _lanes(
        self, account: Account, names: Sequence[str], now: int, seconds: float, crew: Crew | None = None
    ) -> list[RenderableType]:
        narrow = self._console.width < NARROW
        indent = STATUS if crew is not None and not narrow else 6
        width = max(10, self._console.width - indent - 1)
        column = max(1.0, seconds * 1e9 / width)
        rows: list[RenderableType] = []
        for name in names:
            colour = self._colours[name]
            bar = lane(account, name, colour, self._start, column, width, now, self._glyphs)
            row = self._label(crew, name, colour, short=narrow) if crew is not None else Text(f" {name} ", colour)
            row.truncate(indent, pad=True)
            rows.append(row.append(bar))
        rows.append(Text(" " * indent).append(axis(column, width)))
        return rows

    def _label(self, crew: Crew, name: str, colour: str, *, short: bool) -> Text:
        standing, span = crew.standing[name], crew.account.working(name)
        if span is not None and standing == "leading":
            return Text(f"{self._glyphs.leader} {name} ", f"bold {colour}").append(
                "" if short else f"leads, token {span.token}" if span.token < 10**6 else f"leads, {span.token}"
            )
        mark = self._glyphs.killed if standing == "killed" else self._glyphs.standby
        return Text(f"{mark} {name} ", "red" if standing == "killed" else "").append("" if short else standing, "dim")

    def _close_up(self, handover: Handover) -> list[Text]:
        before, after = handover.before.name, handover.after.name
        width = max(20, min(60, self._console.width - 7))
        first, second = close_up(handover, (self._colours[before], self._colours[after]), width, self._glyphs)
        return [
            Text(f"  {_end(handover)} of {before}, {after} works after {milliseconds(handover.gap)}"),
            Text(f" {before}  ", self._colours[before]).append(first),
            Text(f" {after}  ", self._colours[after]).append(second),
        ]


def _end(handover: Handover) -> str:
    return "kill -9" if handover.before.how == "killed" else "resignation"
