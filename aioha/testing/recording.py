"""What the work of candidates does, told as facts while it does it: put `recorded(work)` where `work` stood.

Decides whose history is told, and which steps of the work are news. A step is news only if something else was told since
the work's last fact: what `checks` finds depends on the order of facts alone, and a year of ticks would fill the memory.
(A process of its own does not know what others do, and tells all its steps.)
What is done under a cancellation is no step but the end, which `finally` may take its time for.
"""

import asyncio
import functools
import os
import time
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

from .checks import Bounds, check
from .history import Fact, History, Kind

__all__ = ["FILE", "RECORD", "Record", "assert_no_overlap", "monotonic", "recorded", "story"]

T = TypeVar("T")
W = TypeVar("W", bound=Callable[..., Awaitable[Any]])
FILE = "AIOHA_HISTORY"  # of a candidate that is a process of its own: where its facts go
SHOWN = 40  # facts before a violation


class Record(NamedTuple):
    """Where a candidate's facts go, and under which name. `is_alone`: what others do is not told there."""

    history: History
    who: str
    is_alone: bool = False


RECORD: ContextVar[Record | None] = ContextVar("aioha record of a candidate", default=None)


def monotonic() -> float:
    """The clock of histories of real candidates: one for all processes of a host, and the one that leases live on."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def recorded(work: W, history: History | None = None) -> W:
    """`work`, an async function of a term, whose beginning, steps and end are told to a history.

    In a candidate of a `Trial` the trial's; in a program that a trial has started, too (it goes through the file that
    AIOHA_HISTORY names). Anywhere else give one; there the candidate's identity is its name.
    Raises `RuntimeError` when the work begins and nobody is there to be told.
    """

    @functools.wraps(work)
    async def told(term: Any, *args: Any, **given: Any) -> Any:
        record = RECORD.get() if history is None else Record(history, term.leader.identity)
        record = record or _of_this_process(term.leader.identity)
        record.history.add(Kind.BEGAN, record.who, token=term.token)
        try:
            return await _Stepping(work(term, *args, **given), record, term.token)
        finally:
            record.history.add(Kind.ENDED, record.who, token=term.token)

    return cast("W", told)


def assert_no_overlap(history: Iterable[Fact], *, takeover: float | None = None, lateness: float = 0.0) -> None:
    """At no time have two worked at once, tokens have risen, and no store that fences has taken a stale write.

    takeover: seconds within which somebody must work again, counted from the last leader's end and while nothing is
    wrong; None: not judged. lateness: so long after another's beginning an end may be told, if the work has taken no step
    in between: a busy machine runs what ends it, and who tells of it, when it likes. 0 in virtual time.
    Raises `AssertionError` with what is wrong, and what happened before.
    """
    facts = _in_time(history, lateness)
    violations = check(facts, Bounds(takeover))
    if violations:
        until = violations[0].at
        raise AssertionError(
            "\n".join([*map(str, violations[:10]), "what happened:", story([f for f in facts if f.at <= until])])
        )


def _in_time(history: Iterable[Fact], lateness: float) -> list[Fact]:
    """Ends that are told late, and not too late, stand where the next work begins."""
    facts: list[Fact] = []
    last: dict[str, int] = {}  # where each work was last seen to act
    for fact in history:
        if fact.kind in (Kind.BEGAN, Kind.STEPPED):
            last[fact.who] = len(facts)
        if fact.kind is Kind.ENDED and lateness:
            since = last.get(fact.who, len(facts)) + 1
            later = (i for i in range(since, len(facts)) if facts[i].kind is Kind.BEGAN)
            place = next((i for i in later if fact.at - facts[i].at <= lateness), None)
            if place is not None:
                facts.insert(place, replace(fact, at=facts[place].at))
                last = {who: i + (i >= place) for who, i in last.items()}
                continue
        facts.append(fact)
    return facts


def story(facts: Iterable[Fact]) -> str:
    """The last of them, a line each."""
    told = list(facts)
    lines = [f"{f.at:14.6f}  {f.who:12} {f.kind}{f' (token {f.token})' if f.token else ''} {f.note}".rstrip() for f in told]
    return "\n".join(([f"... {len(lines) - SHOWN} before"] if len(lines) > SHOWN else []) + lines[-SHOWN:])


@functools.cache
def _file(path: str) -> History:
    return History(monotonic, Path(path).open("a", encoding="utf-8"))  # as long as the process


def _of_this_process(identity: str) -> Record:
    path = os.environ.get(FILE)
    if not path:
        raise RuntimeError(
            f"the work of {identity} is recorded, and nobody keeps the record: start the candidate with `trial.start`, "
            f"or give a history: recorded(work, History(time.monotonic))"
        )
    return Record(_file(path), Path(path).stem, is_alone=True)


class _Stepping(Generic[T]):
    """Await it in place of the work."""

    def __init__(self, work: Awaitable[T], record: Record, token: int) -> None:
        self._work = work
        self._record = record
        self._token = token

    def __await__(self) -> Generator[Any, Any, T]:
        return _Steps(self._work, self._record, self._token)


class _Steps(Generator[Any, Any, T]):
    def __init__(self, work: Awaitable[T], record: Record, token: int) -> None:
        self.gi_yieldfrom = work  # so that the stack of a task can be read through this
        self._steps = work.__await__()
        self._record = record
        self._token = token
        self._told = len(record.history.facts)
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._cancelling = task.cancelling()

    def send(self, value: Any) -> Any:
        self._step()
        return self._steps.send(value) if hasattr(self._steps, "send") else next(self._steps)

    def throw(self, *args: Any) -> Any:
        self._step()
        return self._steps.throw(*args)

    def close(self) -> None:
        self._steps.close()

    def _step(self) -> None:
        facts = self._record.history.facts
        if (self._record.is_alone or len(facts) != self._told) and self._task.cancelling() <= self._cancelling:
            self._record.history.add(Kind.STEPPED, self._record.who, token=self._token)
            self._told = len(facts)
