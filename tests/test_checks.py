"""The checkers themselves: each finds what it is for, and nothing where nothing is wrong."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from aioha.testing.checks import Bounds, check
from aioha.testing.history import Fact, History, Kind, read


def told(*lines: str) -> list[Fact]:
    """Each "at who kind [token] [until=...]"."""
    facts = []
    for line in lines:
        at, who, kind, *more = line.split()
        until = next((float(word[6:]) for word in more if word.startswith("until=")), None)
        token = next((int(word) for word in more if word.isdigit()), 0)
        facts.append(Fact(float(at), Kind(kind), who, token, until))
    return facts


def broken(*lines: str, takeover: float | None = None, lateness: float = 0.0) -> list[str]:
    return [each.invariant for each in check(told(*lines), Bounds(takeover, lateness))]


SAFE = [
    ("1 a began 5", "2 a ended 5", "2 b began 6", "3 b ended 6"),
    ("1 a began 5", "2 a died", "2 b began 6"),
    ("1 a began 5", "2 a froze", "3 b began 6", "4 a thawed", "4 a ended 5", "5 b ended 6"),
    ("1 a began 5", "2 a froze", "2.5 a thawed", "2.6 a stepped 5", "3 a ended 5", "3 b began 6"),
    ("1 a began 5", "2 a wrote 5", "3 a ended 5", "3 b began 6", "4 b wrote 6", "5 a refused 5"),
    ("1 a began 5 until=3", "3 a ended 5 until=3"),
    ("1 a began 5 until=3", "2 a froze", "9 a thawed", "9 a ended 5 until=3"),
    ("4 a expired until=4",),
    ("1 a began 5", "2 a ended 5", "2 a released 5", "3 a began 6"),
    ("1 a began 5", "2 a froze", "3 a released 5", "4 a thawed", "4 a ended 5"),
]

UNSAFE = [
    ("I1", ("1 a began 5", "2 b began 6")),
    ("I1", ("1 a began 5", "2 a froze", "2.1 a thawed", "2.2 a stepped 5", "3 b began 6")),
    ("I1", ("1 a began 5", "2 a froze", "3 b began 6", "4 a thawed", "4.1 a stepped 5", "4.2 a ended 5")),
    ("I2", ("1 a began 5", "2 a ended 5", "3 b began 5")),
    ("I2", ("1 a began 5", "2 a ended 5", "3 b began 4")),
    ("I2", ("1 b wrote 6", "2 a wrote 5")),
    ("I3", ("1 a began 5 until=3", "3.1 a ended 5 until=3")),
    ("I3", ("1 a began 5 until=3", "2 a froze", "9 a died", "10 a began 6 until=12", "13 a ended 6 until=12")),
    ("I3", ("1 a began 5 until=1",)),
    ("I3", ("4 a expired until=4.001",)),
    ("I3", ("3 a froze", "4 a expired until=4.001")),
    ("I5", ("1 a began 5", "2 a released 5", "3 a ended 5")),
]


@pytest.mark.parametrize("lines", SAFE)
def test_nothing_is_wrong(lines: tuple[str, ...]) -> None:
    assert broken(*lines) == []


@pytest.mark.parametrize(("invariant", "lines"), UNSAFE)
def test_found(invariant: str, lines: tuple[str, ...]) -> None:
    assert broken(*lines) == [invariant]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (("0 - calm", "9 a began 5"), []),
        (("0 - calm", "11 a began 5"), ["I4"]),
        (("0 - calm", "1 a began 5", "2 a ended 5", "13 b began 6"), ["I4"]),
        (("0 - calm", "1 a began 5", "2 a ended 5", "11 - disturbed", "40 - calm", "49 b began 6"), []),
        (("0 - calm", "1 a began 5", "2 a ended 5", "13 - disturbed", "40 - calm", "49 b began 6"), ["I4"]),
        (("0 - disturbed", "50 - calm", "61 - calm"), ["I4"]),
        (("0 - calm", "1 a began 5", "2 a froze", "13 b began 6"), ["I4"]),
        (("0 - calm", "1 a began 5", "60 - calm"), []),
    ],
)
def test_nobody_waits_too_long(lines: tuple[str, ...], found: list[str]) -> None:
    assert broken(*lines, takeover=10.0) == found
    assert broken(*lines) == []


def test_a_real_clock_is_read_a_little_late() -> None:
    assert broken("1 a began 5 until=3", "3.1 a ended 5 until=3", lateness=0.2) == []


@given(some.lists(some.tuples(some.sampled_from("abc"), some.floats(0.1, 5), some.floats(0, 5)), max_size=20))
def test_one_after_another_is_safe_and_any_overlap_is_found(turns: list[tuple[str, float, float]]) -> None:
    now, facts, spans = 0.0, list[Fact](), list[tuple[Fact, Fact]]()
    for token, (who, length, pause) in enumerate(turns, 1):
        began, ended = Fact(now, Kind.BEGAN, who, token), Fact(now + length, Kind.ENDED, who, token)
        now += length + pause
        spans.append((began, ended))
        facts += [began, ended]
    assert check(facts) == []
    for (began, ended), (next_began, next_ended) in pairwise(spans):
        if began.who != next_began.who:
            assert [each.invariant for each in check([began, next_began, ended, next_ended])] == ["I1"]


def test_a_file_tells_the_story_of_many(tmp_path: Path) -> None:
    now = iter([3.0, 1.0, 2.0])
    paths = [tmp_path / "a", tmp_path / "b"]
    with paths[0].open("w") as first, paths[1].open("w") as second:
        History(lambda: next(now), first).add(Kind.ENDED, "a", token=5, until=4.0)
        other = History(lambda: next(now), second)
        other.add(Kind.BEGAN, "b", token=4, note='a "word"')
        other.add(Kind.DIED, "b")
        first.write('{"at": 4.0, "kind": "be')
    assert read(paths) == [
        Fact(1.0, Kind.BEGAN, "b", 4, note='a "word"'),
        Fact(2.0, Kind.DIED, "b"),
        Fact(3.0, Kind.ENDED, "a", 5, 4.0),
    ]


def test_listeners_hear_every_fact() -> None:
    heard: list[Fact] = []
    history = History(lambda: 1.0)
    history.listeners.append(heard.append)
    assert [history.add(Kind.CALM)] == heard == list(history)
