"""What candidates do while they lead: steps, writes to a store that fences, fenced transactions, and ways to end."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

from aioha import Fenced, Term, TermEnded, Unavailable
from aioha.testing.history import History, Kind

__all__ = ["COUNTER", "Boom", "Hands", "Job", "Store", "draw", "work"]

STEP = 0.01, 0.07  # of the session timeout, between steps
COUNTER = "/counter"  # what transactions write to
IN_FLIGHT = 0.1  # of all writes: how many are under way for a while, and arrive even if their writer is dead by then


class Boom(Exception):
    """Work that fails."""


@dataclass(frozen=True, slots=True)
class Job:
    """How the work of one term goes. `ends`: "", "returns", "raises" or "resigns", after `length` seconds.

    cleanup: seconds that it takes to end once cancelled. ignores: it goes on after the first cancellation, for so long at
    most. transactions: share of steps that write to ZooKeeper. pause: seconds between steps, at least and at most.
    """

    ends: str
    length: float
    cleanup: float
    ignores: float
    transactions: float
    pause: tuple[float, float]


def draw(rng: random.Random, timeout: float, stop_grace: float, *, fenced: bool) -> Job:
    """A job for a term whose work has `stop_grace` seconds to end."""
    ends = rng.choices(("", "returns", "raises", "resigns"), (70, 10, 8, 12))[0]
    cleanup = rng.choice((0.0, 0.0, rng.uniform(0, 0.9))) * stop_grace
    ignores = timeout * rng.uniform(0.1, 0.5) if rng.random() < 0.08 else 0.0
    transactions = rng.choice((0.0, 0.02, 0.1)) if fenced else 0.0
    pause = STEP[0] * timeout, STEP[1] * timeout
    return Job(ends, rng.uniform(0.1, 8.0) * timeout, cleanup, ignores, transactions, pause)


class Store:
    """Takes a write if nobody with a greater token has written yet: what fencing tokens are for."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._highest = 0

    def write(self, who: str, token: int) -> None:
        accepted = token >= self._highest
        self._highest = max(self._highest, token)
        self._history.add(Kind.WROTE if accepted else Kind.REFUSED, who, token=token)


@dataclass(frozen=True, slots=True)
class Hands:
    """What the work of one term touches. `step()`: it does something. `write(delay)`: to the store, arriving so many seconds
    later. `hurried(since)`: its cleanup, which began then by `clock`, was cancelled too.
    """

    step: Callable[[], None]
    write: Callable[[float], None]
    hurried: Callable[[float], None]
    clock: Callable[[], float]
    rng: random.Random
    czxid: int


async def work(term: Term, job: Job, hands: Hands) -> None:
    """The work of one term, from its beginning to its end."""
    loop = asyncio.get_running_loop()
    end = loop.time() + job.length if job.ends else float("inf")
    try:
        while loop.time() < end:
            await _one(term, job, hands)
    except asyncio.CancelledError:
        if job.ignores:
            end = loop.time() + job.ignores
            while loop.time() < end:
                await _one(term, job, hands)
        elif job.cleanup:
            await _clean_up(job, hands)
        raise
    if job.ends == "raises":
        raise Boom
    if job.ends == "resigns":
        await term.resign()
        await asyncio.sleep(float("inf"))


async def _clean_up(job: Job, hands: Hands) -> None:
    since = hands.clock()
    try:
        await asyncio.sleep(job.cleanup)
    except asyncio.CancelledError:
        hands.hurried(since)
        raise


async def _one(term: Term, job: Job, hands: Hands) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time() + hands.rng.uniform(*job.pause)
    await asyncio.sleep(due - loop.time())
    hands.step()
    hands.write(hands.rng.expovariate(1.0) if hands.rng.random() < IN_FLIGHT else 0.0)
    thawed = loop.time() > due + job.pause[1]  # and believes what it believed before: just then it must be refused
    if job.transactions and (hands.rng.random() < job.transactions or thawed):
        try:
            async with term.transaction() as t:
                t.set_data(COUNTER, b"%d" % hands.czxid)
        except (Fenced, Unavailable, TermEnded):
            pass  # the term is over, and the next step finds out, or the outcome is unknown: to be judged by zxids
