"""One election on trial: servers, candidates of your service, faults, and what happened. The same on both kinds of servers.

`RealTrial` and `SimulatedTrial` say how each fault is done. Here is decided what a test may ask for, in which words, and
what is told: every fault is a fact, so that the checkers know what excuses whom, and since when nothing is wrong.
"""

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from .candidate import AnyServer, Candidate, Service, name_of
from .history import Fact, History, Kind
from .recording import RECORD, Record, assert_no_overlap, story

__all__ = ["Trial"]

LONGEST_END = 60.0  # seconds that a candidate may take to end when it is cancelled


class Trial(ABC):
    """See the head of this file. To be entered with `async with`; the decorators of `aioha.testing.fixtures` do that.

    clock: seconds; of the history, and of `timeout`. takeover: what `assert_no_overlap` takes, at the end of the block;
    None: how long nobody works is not judged.
    """

    look = 0.01  # seconds between two looks at a condition that no fact announces
    lateness = 0.0  # see `assert_no_overlap`

    def __init__(self, clock: Callable[[], float], takeover: float | None = None) -> None:
        self.clock = clock
        self.history = History(clock)
        self.takeover = takeover
        self.candidates: dict[str, Candidate] = {}
        self._faults: set[tuple[str, str]] = set()  # (what, whom)
        self._calm = False
        self._changed = asyncio.Event()
        self.history.listeners.append(self._heard)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """All candidates leave. If the body has not failed, what they raised is raised, and the history is judged."""
        try:
            await self._mend()
            for candidate in self.candidates.values():
                if not candidate.is_dead:
                    await self._stop(candidate)
        finally:
            await self._close()
        failures = self._failures()
        if kind is None:
            if failures:
                raise failures[0]
            assert_no_overlap(self.history, takeover=self.takeover, lateness=self.lateness)

    # ------------------------------------------------------------------ candidates

    def start(self, name: str, service: Service) -> Candidate:
        """Run `service(where)`, one copy of yours, as a candidate of that name. Returns at once.

        It runs until `stop`, `kill` or the end of the trial cancels it, or it ends by itself. For what is judged, and
        for `leader`, its work must be `recorded(work)`. A name is used once: whoever comes back is another process.
        """
        where = self._join(name)

        async def copy() -> None:
            RECORD.set(Record(self.history, name))
            await self._run(service, where)

        return self._take(Candidate(name, where), self._spawn(name, copy()))

    async def stop(self, candidate: Candidate) -> None:
        """It leaves in good order, as on SIGTERM; returns when it has."""
        await self._stop(candidate)
        self._judge_calm()

    async def leader(self, *, besides: Candidate | Collection[Candidate] = (), timeout: float = 60.0) -> Candidate:
        """The candidate that works, waiting for one; not one of `besides` (the leader so far, say).

        Raises `TimeoutError` with what has happened, and what a candidate raises meanwhile.
        """
        besides = (besides,) if isinstance(besides, Candidate) else besides
        await self._wait(lambda: bool(self._working(besides)), timeout, "no candidate works", math.inf)
        return max(self._working(besides), key=lambda candidate: candidate.token)

    async def until(self, condition: Callable[[], object], *, timeout: float = 60.0, what: str = "not yet so") -> None:
        """Wait until `condition()`. Raises `TimeoutError` with what has happened, and what a candidate raises meanwhile."""
        await self._wait(condition, timeout, what, self.look)

    async def _wait(self, condition: Callable[[], object], timeout: float, what: str, look: float) -> None:
        due = self.clock() + timeout
        while not condition():
            for failure in self._failures():
                raise failure
            left = due - self.clock()
            if left <= 0:
                candidates = list(self.candidates.values())
                raise TimeoutError(f"{what} within {timeout:g} s: {candidates}\n{story(self.history)}")
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, look)):
                    await self._changed.wait()

    # ------------------------------------------------------------------ servers

    @property
    @abstractmethod
    def servers(self) -> Sequence[AnyServer]:
        """All of the ensemble."""

    @abstractmethod
    async def leading_server(self) -> AnyServer:
        """The one that leads the ensemble, waiting for one."""

    @abstractmethod
    def server_of(self, candidate: Candidate) -> AnyServer | None:
        """The one that a candidate is connected to. None: none, or more than one at this moment."""

    # ------------------------------------------------------------------ faults

    async def partition(self, whom: Candidate | AnyServer, *others: AnyServer) -> None:
        """Nothing passes between them any more, and nobody is told. others: servers; none given: all of them."""
        if isinstance(whom, Candidate):
            await self._cut(whom, others or self.servers)
        else:
            await self._cut_server(whom, others or [server for server in self.servers if server is not whom])
        self._begins("partition", whom)

    async def freeze(self, whom: Candidate | AnyServer) -> None:
        """SIGSTOP: its connections stay open and are silent."""
        await self._freeze(whom)
        if isinstance(whom, Candidate):
            whom.is_frozen = True
            self.history.add(Kind.FROZE, whom.name)
        self._begins("freeze", whom)

    async def thaw(self, whom: Candidate | AnyServer) -> None:
        """SIGCONT."""
        if isinstance(whom, Candidate):
            whom.is_frozen = False
            self.history.add(Kind.THAWED, whom.name)
        await self._thaw(whom)
        self._ends("freeze", whom)

    async def kill(self, whom: Candidate | AnyServer) -> None:
        """SIGKILL. A server comes back with `heal`; a candidate does not: start another one."""
        if isinstance(whom, Candidate):
            await self._kill(whom)
            whom.is_dead = True
            self.history.add(Kind.DIED, whom.name)
            for fault in [(what, of) for what, of in self._faults if of == whom.name]:
                self._faults.discard(fault)
            self._happens("kill", whom)
        else:
            await self._kill_server(whom)
            self._begins("kill", whom)

    async def expire_session(self, candidate: Candidate) -> None:
        """The servers end its session, which it does not know yet. Raises `RuntimeError` if it has none now."""
        await self._expire(candidate)
        self._happens("expire_session", candidate)

    async def heal(self) -> None:
        """End all faults: links pass on again, who was frozen goes on, servers that were killed serve. Waits for that."""
        await self._mend()
        await self._revive()
        self._faults.clear()
        self._judge_calm()

    # ------------------------------------------------------------------ how it is done

    @abstractmethod
    def _where(self, name: str) -> str: ...
    @abstractmethod
    def _spawn(self, name: str, copy: Any) -> "asyncio.Task[Any]": ...
    async def _run(self, service: Service, where: str) -> None:
        await service(where)

    @abstractmethod
    async def _cut(self, candidate: Candidate, servers: Sequence[AnyServer]) -> None: ...
    @abstractmethod
    async def _cut_server(self, server: AnyServer, others: Sequence[AnyServer]) -> None: ...
    @abstractmethod
    async def _freeze(self, whom: Candidate | AnyServer) -> None: ...
    @abstractmethod
    async def _thaw(self, whom: Candidate | AnyServer) -> None: ...
    @abstractmethod
    async def _kill(self, candidate: Candidate) -> None: ...
    @abstractmethod
    async def _kill_server(self, server: AnyServer) -> None: ...
    @abstractmethod
    async def _expire(self, candidate: Candidate) -> None: ...
    @abstractmethod
    async def _heal_links(self) -> None: ...
    @abstractmethod
    async def _revive(self) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...

    async def _mend(self) -> None:
        """What can be undone at once, and must be before candidates can leave."""
        await self._heal_links()
        everybody: list[Candidate | AnyServer] = [*self.candidates.values(), *self.servers]
        for whom in everybody:
            if ("freeze", name_of(whom)) in self._faults:
                await self.thaw(whom)

    async def _stop(self, candidate: Candidate) -> None:
        if candidate.task is not None and not candidate.task.done():
            candidate.task.cancel()
            _, still = await asyncio.wait({candidate.task}, timeout=LONGEST_END)
            if still:
                raise TimeoutError(f"{candidate.name} was cancelled, and has not ended within {LONGEST_END:g} s")

    # ------------------------------------------------------------------ what is told

    def _join(self, name: str) -> str:
        if name in self.candidates:
            raise ValueError(
                f"there was a candidate {name!r} already: whoever comes back is another process, so name it anew"
            )
        return self._where(name)

    def _take(self, candidate: Candidate, task: "asyncio.Task[Any]") -> Candidate:
        self.candidates[candidate.name] = candidate
        candidate.task = task
        task.add_done_callback(self._ended)
        self._judge_calm()
        return candidate

    def _working(self, besides: Collection[Candidate]) -> list[Candidate]:
        return [each for each in self.candidates.values() if each.is_working and each not in besides]

    def _failures(self) -> list[BaseException]:
        """What candidates have raised and nobody was told yet."""
        found: list[BaseException] = []
        for candidate in self.candidates.values():
            task = candidate.task
            if task is None or not task.done() or task.cancelled() or (error := task.exception()) is None:
                continue
            candidate.task = None  # told once
            if not candidate.is_dead:  # else it was killed, and says what it likes
                candidate.is_dead = True
                error.add_note(f"raised by candidate {candidate.name}")
                found.append(error)
        return found

    def _heard(self, fact: Fact) -> None:
        candidate = self.candidates.get(fact.who)
        if candidate is not None and fact.kind in (Kind.BEGAN, Kind.ENDED, Kind.DIED):
            candidate.token = fact.token if fact.kind is Kind.BEGAN else 0
        self._changed.set()

    def _ended(self, _task: object) -> None:
        self._judge_calm()
        self._changed.set()

    def _begins(self, what: str, whom: Candidate | AnyServer) -> None:
        self._faults.add((what, name_of(whom)))
        self._disturbed(what, whom)

    def _ends(self, what: str, whom: Candidate | AnyServer) -> None:
        self._faults.discard((what, name_of(whom)))
        self._judge_calm()

    def _happens(self, what: str, whom: Candidate | AnyServer) -> None:
        self._disturbed(what, whom)
        self._judge_calm()

    def _disturbed(self, what: str, whom: Candidate | AnyServer) -> None:
        self._calm = False
        self.history.add(Kind.DISTURBED, name_of(whom), note=what)

    def _judge_calm(self) -> None:
        takes_part = any(candidate.takes_part for candidate in self.candidates.values())
        calm = takes_part and not self._faults
        if calm != self._calm:
            self._calm = calm
            self.history.add(Kind.CALM if calm else Kind.DISTURBED, note="" if takes_part else "no candidate takes part")
