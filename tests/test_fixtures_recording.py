"""What `recorded` tells of a work, and what `assert_no_overlap` says of a history."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from aioha.testing import assert_no_overlap, recorded
from aioha.testing.history import Fact, History, Kind, read
from aioha.testing.recording import FILE, story

TERM = SimpleNamespace(token=7, leader=SimpleNamespace(identity="a"))


def counting() -> Callable[[], float]:
    ticks = itertools.count(1)
    return lambda: float(next(ticks))


def kinds(history: History) -> list[str]:
    return [fact.kind.value for fact in history]


async def ticking(term: object) -> str:
    for _ in range(3):
        await asyncio.sleep(0)
    return "done"


async def test_beginning_and_end_are_told_and_the_value_passes() -> None:
    history = History(counting())
    assert await recorded(ticking, history)(TERM) == "done"
    assert list(history) == [Fact(1.0, Kind.BEGAN, "a", 7), Fact(2.0, Kind.ENDED, "a", 7)]


async def test_a_step_is_news_only_if_something_else_was_told_meanwhile() -> None:
    history = History(counting())

    async def work(term: object) -> None:
        await asyncio.sleep(0)  # no news
        history.add(Kind.FROZE, "b")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    await recorded(work, history)(TERM)
    assert kinds(history) == ["began", "froze", "stepped", "ended"]


async def test_what_is_done_under_a_cancellation_is_no_step() -> None:
    history, cleaned = History(counting()), False

    async def work(term: object) -> None:
        nonlocal cleaned
        try:
            await asyncio.sleep(60)
        finally:
            history.add(Kind.BEGAN, "b", token=8)
            await asyncio.sleep(0)
            cleaned = True

    task = asyncio.create_task(recorded(work, history)(TERM))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned
    assert kinds(history) == ["began", "began", "ended"]


async def test_a_timeout_of_the_works_own_is_a_step() -> None:
    history = History(counting())

    async def work(term: object) -> None:
        history.add(Kind.FROZE, "b")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        history.add(Kind.THAWED, "b")
        await asyncio.sleep(0)

    await recorded(work, history)(TERM)
    assert kinds(history).count("stepped") == 1


async def test_what_the_work_raises_passes() -> None:
    history = History(counting())

    async def work(term: object) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await recorded(work, history)(TERM)
    assert kinds(history) == ["began", "ended"]


async def test_further_arguments_pass() -> None:
    async def work(term: object, port: int, *, name: str) -> str:
        return f"{name}:{port}"

    assert await recorded(work, History(counting()))(TERM, 80, name="x") == "x:80"


async def test_without_anybody_who_keeps_the_record_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"start the candidate with `trial\.start`"):
        await recorded(ticking)(TERM)


async def test_a_program_tells_all_its_steps_to_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "c1.jsonl"
    monkeypatch.setenv(FILE, str(path))
    await recorded(ticking)(TERM)
    assert [(fact.who, fact.kind.value) for fact in read([path])] == [
        ("c1", "began"),
        *[("c1", "stepped")] * 4,
        ("c1", "ended"),
    ]


OVERLAP = [Fact(1.0, Kind.BEGAN, "a", 1), Fact(2.0, Kind.BEGAN, "b", 2), Fact(3.0, Kind.ENDED, "a", 1)]


def test_an_overlap_is_shown_with_what_happened_before() -> None:
    with pytest.raises(AssertionError) as raised:
        assert_no_overlap(OVERLAP)
    first, *rest = str(raised.value).splitlines()
    assert first == "I1 at 2.000000: b begins (token 2) and a still works"
    assert [line.split() for line in rest[1:]] == [
        ["1.000000", "a", "began", "(token", "1)"],
        ["2.000000", "b", "began", "(token", "2)"],
    ]


def test_nothing_is_wrong_with_one_after_another() -> None:
    assert_no_overlap([OVERLAP[0], Fact(2.0, Kind.ENDED, "a", 1), Fact(3.0, Kind.BEGAN, "b", 2)])
    assert_no_overlap([])


def test_how_long_nobody_works_is_judged_if_asked_for() -> None:
    facts = [Fact(0.0, Kind.CALM), Fact(9.0, Kind.BEGAN, "a", 1)]
    assert_no_overlap(facts)
    assert_no_overlap(facts, takeover=10.0)
    with pytest.raises(AssertionError, match=r"nobody has worked for 9\.000 s"):
        assert_no_overlap(facts, takeover=8.0)


def test_an_end_that_is_told_late_is_no_overlap_if_nothing_was_done_meanwhile() -> None:
    assert_no_overlap(OVERLAP, lateness=1.0)
    with pytest.raises(AssertionError, match="a still works"):
        assert_no_overlap(OVERLAP, lateness=0.9)
    began, other, ended = OVERLAP
    with pytest.raises(AssertionError, match="a still works"):
        assert_no_overlap([began, other, Fact(2.5, Kind.STEPPED, "a", 1), ended], lateness=1.0)
    with pytest.raises(AssertionError, match="a still works"):
        assert_no_overlap([began, other], lateness=1.0)


def test_a_long_story_is_cut() -> None:
    lines = story([Fact(float(n), Kind.CALM) for n in range(100)]).splitlines()
    assert lines[0] == "... 60 before"
    assert len(lines) == 41
