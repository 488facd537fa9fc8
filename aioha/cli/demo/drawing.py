"""Pictures of an account: lanes of who led when, handovers to scale, big numbers. Text in, rich `Text` out, no terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from .account import Account, Handover, Span

__all__ = ["ASCII", "BLOCKS", "COLOURS", "Glyphs", "axis", "big", "close_up", "lane", "milliseconds"]

COLOURS = ("bright_green", "bright_cyan", "bright_magenta")
CLOSE_UP_GAP = 0.3  # share of a close-up's width that the gap takes

_DIGITS = {
    "0": ("█▀█", "█ █", "▀▀▀"),
    "1": ("▀█ ", " █ ", "▀▀▀"),
    "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"),
    "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"),
    "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
    ".": (" ", " ", "▄"),
    ",": (" ", " ", " "),
}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What is drawn with; ASCII where the output's encoding has no more."""

    leads: str
    stands_by: str
    killed: str
    gap: str
    leader: str
    standby: str
    digits: bool


BLOCKS = Glyphs("█", "░", "╳", "·", "●", "○", digits=True)  # noqa: RUF001 - a cross it is
ASCII = Glyphs("#", ".", "X", "-", "*", "o", digits=False)


def milliseconds(seconds: float) -> str:
    """Readable at a glance: 2.31 ms, 26.4 ms, 3,412 ms."""
    value = seconds * 1000
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f} ms"


def lane(account: Account, name: str, colour: str, start: int, column: float, width: int, now: int, glyphs: Glyphs) -> Text:
    """One candidate's row: `width` columns of `column` nanoseconds each from `start` on, drawn up to `now`."""
    text = Text()
    for index in range(width):
        left, right = start + int(index * column), start + int((index + 1) * column)
        if left > now:
            break
        text.append(*_cell(account, name, colour, left, min(right, now), glyphs))
    return text


def _cell(account: Account, name: str, colour: str, left: int, right: int, glyphs: Glyphs) -> tuple[str, str]:
    killed = any(span.how == "killed" and span.end is not None and left <= span.end < right for span in _of(account, name))
    if killed:
        return glyphs.killed, "bold red"
    middle = (left + right) // 2
    if any(span.start <= middle and (span.end is None or middle < span.end) for span in _of(account, name)):
        return glyphs.leads, colour
    if any(begin <= middle and (end is None or middle < end) for begin, end in account.lives.get(name, ())):
        return glyphs.stands_by, "dim"
    return " ", ""


def _of(account: Account, name: str) -> Iterator[Span]:
    return (span for span in account.spans if span.name == name)


def axis(column: float, width: int) -> Text:
    """Seconds below the lanes, each label where its moment is."""
    step = next((step for step in (1, 2, 5, 10, 20, 60) if step * 1e9 / column >= 6), 120)
    line = [" "] * (width + 8)
    for second in range(0, int(width * column / 1e9) + 1, step):
        place = round(second * 1e9 / column)
        label = f"{second} s" if second == 0 else str(second)
        line[place : place + len(label)] = label
    return Text("".join(line)[:width].rstrip(), style="dim")


def close_up(handover: Handover, colours: Sequence[str], width: int, glyphs: Glyphs) -> tuple[Text, Text]:
    """The two candidates of a handover around its gap, as two rows, to one scale."""
    before = round(width * (1 - CLOSE_UP_GAP) / 2)
    gap = round(width * CLOSE_UP_GAP)
    first = Text(glyphs.leads * before, style=colours[0])
    if handover.before.how == "killed":
        first.append(glyphs.killed, "bold red")
    second = Text(" " * before)
    second.append(milliseconds(handover.gap).center(gap, glyphs.gap), "bold")
    second.append(glyphs.leads * (width - before - gap), colours[1])
    return first, second


def big(seconds: float, glyphs: Glyphs) -> list[Text]:
    """The number that the demo is about, three rows high."""
    label = milliseconds(seconds)
    if not glyphs.digits:
        return [Text(label, style="bold")]
    number, unit = label.split()
    rows = [" ".join(_DIGITS[char][row] for char in number if char in _DIGITS) for row in range(3)]
    rows[2] += f" {unit}"
    return [Text(row, style="bold yellow") for row in rows]
