"""Candidates as processes, and the history that all of them write together."""

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["Candidate", "Event", "History", "now"]

PROGRAM = Path(__file__).with_name("candidate_process.py")


def now() -> float:
    """Seconds on the clock that all candidates stamp with."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a candidate. `at` is seconds; for SERVER, `token` is `host:port`."""

    kind: str
    who: str
    token: Any
    at: float

    def ends(self, start: "Event") -> bool:
        """Whether this ends what `start` began, by the same candidate."""
        return self.kind == "KILLED" or (self.kind, self.token) == ("END", start.token)


class History:
    """What all candidates said, in the order in which it was read; `next` awaits something not said yet."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Condition()

    async def add(self, event: Event) -> None:
        async with self._more:
            self.events.append(event)
            self._more.notify_all()

    async def next(
        self, kind: str, who: str | None = None, *, after: float = 0.0, unlike: str | None = None, bound: float = 30.0
    ) -> Event:
        """The first `kind` (by `who`, not by `unlike`) stamped later than `after`."""

        def found() -> Event | None:
            fits = (
                each
                for each in self.events
                if each.kind == kind and who in (None, each.who) and each.who != unlike and each.at > after
            )
            return next(fits, None)

        async with asyncio.timeout(bound), self._more:
            await self._more.wait_for(found)
        event = found()
        assert event is not None
        return event

    def terms(self) -> list[tuple[float, float, str, int]]:
        """(start, end, who, token) of every term in order of start; the end of one that goes on is infinity."""
        terms: list[tuple[float, float, str, int]] = []
        for start in (each for each in self.events if each.kind == "START"):
            ends = (each.at for each in self.events if each.who == start.who and each.at > start.at and each.ends(start))
            terms.append((start.at, min(ends, default=float("inf")), start.who, start.token))
        return sorted(terms)

    def assert_one_at_a_time(self) -> None:
        """No two terms overlap, and tokens strictly rise."""
        terms = self.terms()
        for one, other in itertools.pairwise(terms):
            assert one[1] <= other[0], f"overlap of {one[1] - other[0]:.3f} s: {one} and {other}"
            assert one[3] < other[3], f"tokens do not rise: {one} and {other}"


class Candidate:
    """One process; `async with` kills what is left of it. Options are those of `Elector`, and of the program."""

    def __init__(self, history: History, where: str, who: str, **options: Any) -> None:
        self.who = who
        self.history = history
        self._command = [sys.executable, "-X", "dev", "-W", "error", str(PROGRAM), where, who, json.dumps(options)]
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.errors = b""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(PROGRAM.parent.parent)},
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aenter__(self) -> Self:
        await self.start()
        assert self._reading is not None
        up = asyncio.create_task(self.history.next("UP", self.who))
        await asyncio.wait({up, self._reading}, return_when=asyncio.FIRST_COMPLETED)
        if not up.done():
            up.cancel()
            await self._reading
            assert self._process is not None
            raise AssertionError(f"{self.who} ended with {await self._process.wait()}: {self.errors.decode()}")
        await up
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        errors = asyncio.create_task(self._process.stderr.read())
        while line := (await self._process.stdout.readline()).decode().split():
            kind, who, token, at = line
            await self.history.add(Event(kind, who, int(token) if token.isdigit() else token, int(at) / 1e9 or now()))
        self.errors = await errors

    def tell(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def server(self) -> str:
        """`host:port` that it is attached to."""
        return str(await self.ask("server", "SERVER"))

    async def ask(self, line: str, kind: str) -> Any:
        """Tell it `line`; what it answers with its next `kind`."""
        before = now()
        self.tell(line)
        return (await self.history.next(kind, self.who, after=before)).token

    async def dead(self, bound: float = 30.0) -> None:
        """Wait until somebody else has ended it."""
        assert self._process is not None
        async with asyncio.timeout(bound):
            await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL, whatever state it is in. What it said before is in the history afterwards."""
        if self._process is None:
            return
        if self._process.returncode is None:
            await self.kill_only()
        await self._process.wait()
        assert self._reading is not None
        await self._reading
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    async def kill_only(self) -> None:
        """SIGKILL, without waiting for those that it has left behind to close its output."""
        assert self._process is not None
        killed = now()  # before: the next one may begin before we would come to look at the clock
        self._process.kill()
        await self.history.add(Event("KILLED", self.who, 0, killed))

    async def quit(self, bound: float = 10.0) -> None:
        """Ask it to end, and insist that it does so in silence."""
        assert self._process is not None
        self.tell("quit")
        async with asyncio.timeout(bound):
            assert await self._process.wait() == 0, self.errors.decode()
        assert self._reading is not None
        await self._reading
        assert self.errors == b"", self.errors.decode()


async def until(condition: Callable[[], bool], bound: float = 30.0) -> None:
    """For what has no event to await: a look every few milliseconds, bounded."""
    async with asyncio.timeout(bound):
        while not condition():
            await asyncio.sleep(0.005)
