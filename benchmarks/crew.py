"""The candidates of one election as processes, what they said, and how to make the leader go.

Every wait is bounded, every process is ended by its own pid, and one that loses its harness ends at end of input.
"""

import asyncio
import contextlib
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = ["SYSTEMS", "Candidate", "Crew", "Said", "System"]

ROOT = Path(__file__).resolve().parent.parent
QUIT_BOUND = 5.0  # seconds from SIGTERM to SIGKILL


@dataclass(frozen=True, slots=True)
class System:
    """Something to be measured. `store`: "zookeeper", "local" or "" for both. `yardstick`: ratios are to this one."""

    name: str
    program: str
    flags: tuple[str, ...] = ()
    store: str = "zookeeper"
    yardstick: bool = False
    default: bool = True


SYSTEMS = (
    System("raw-ephemeral", "raw_zookeeper", ("ephemeral",), yardstick=True),
    System("raw-sequential", "raw_zookeeper", ("sequential",)),
    System("raw-flock", "raw_flock", store="local", yardstick=True),
    System("kazoo", "kazoo_election"),
    System("aioha", "aioha_elector", store=""),
    System("aioha-plain", "aioha_elector", ("plain",), default=False),
    System("aioha-guarded", "aioha_elector", ("guarded",), store="", default=False),
)


@dataclass(frozen=True, slots=True)
class Said:
    """One line of a candidate; `at` is CLOCK_MONOTONIC in ns. See `systems.lines`."""

    event: str
    who: str
    token: int
    at: int


class Candidate:
    """One process. `killed`: when it was certainly dead, in ns, if we killed it."""

    def __init__(self, crew: "Crew", who: str, servers: str) -> None:
        self.who = who
        self.servers = servers
        self.killed: int | None = None
        self._crew = crew
        self._process: Process | None = None
        self._reader: asyncio.Task[None] | None = None

    @property
    def ended(self) -> int | None:
        """How the process has ended, if it has and we did not kill it."""
        return None if self._process is None or self.killed is not None else self._process.returncode

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        crew = self._crew
        with crew.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", f"benchmarks.systems.{crew.system.program}", *crew.system.flags),
                *(self.servers, crew.path, str(crew.timeout), self.who),
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C is for the harness, which then ends them in order
            )
        self._reader = asyncio.create_task(self._read(self._process))

    def resign(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"resign\n")

    async def kill(self) -> int:
        """SIGKILL; returns the moment before it, in ns, once the process is gone and all it said has been read."""
        assert self._process is not None
        assert self._reader is not None
        began = time.monotonic_ns()
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        self.killed = time.monotonic_ns()
        await self._reader
        return began

    async def end(self) -> None:
        """SIGTERM, and SIGKILL if that does not help. Idempotent."""
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), QUIT_BOUND)
            except (TimeoutError, asyncio.CancelledError):
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        await reader

    async def _read(self, process: Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            event, who, token, at = line.decode().split()
            self._crew.hear(Said(event, who, int(token), int(at)))


class Crew:
    """The candidates of one system for one election. A context manager: at the end no process is left.

    `timeout`: session timeout in seconds. `servers`: one connect string for each candidate, in turn.
    """

    serial = 0

    def __init__(self, system: System, servers: Sequence[str], directory: Path, *, timeout: float) -> None:
        Crew.serial += 1
        self.system = system
        self.timeout = timeout
        self.path = f"/benchmark/{Crew.serial}" if system.store != "local" and servers[0] != "local" else ""
        self.path = self.path or str(directory / f"{Crew.serial}.lock")
        self.candidates: dict[str, Candidate] = {}
        self.said: list[Said] = []
        self.dead: list[Candidate] = []
        self.log = directory / f"{Crew.serial}.log"
        self._servers = servers
        self._bell = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(each.end() for each in self.candidates.values()))

    async def add(self, who: str) -> Candidate:
        """A new process, not connected yet: see `up`."""
        number = int(who[1:])
        candidate = self.candidates[who] = Candidate(self, who, self._servers[number % len(self._servers)])
        await candidate.start()
        return candidate

    async def start(self, count: int, bound: float = 60.0) -> None:
        """So many candidates c0, c1, ..., all connected, and one of them leads."""
        for number in range(count):
            await self.add(f"c{number}")
        for who in tuple(self.candidates):
            await self.until("UP", bound, who=who)
        await self.until("LEAD", bound)

    async def until(self, event: str, bound: float, *, who: str | None = None, since: int = 0) -> Said:
        """The first such line from index `since` on. Raises `TimeoutError` after `bound` seconds."""
        due = time.monotonic() + bound
        while True:
            bell = self._bell
            for said in self.said[since:]:
                if said.event == event and who in (None, said.who):
                    return said
            since = len(self.said)
            try:
                await asyncio.wait_for(bell.wait(), max(0.0, due - time.monotonic()))
            except TimeoutError:
                raise TimeoutError(self._diagnosis(f"no {event} of {who or 'anybody'} in {bound:g} s")) from None

    @property
    def leading(self) -> str | None:
        """Who leads, as far as it was heard."""
        standing: dict[str, int] = {}
        for said in self.said:
            if said.event == "LEAD":
                standing[said.who] = said.at
            elif said.event == "STOP":
                standing.pop(said.who, None)
        for candidate in self.dead:
            if candidate.killed is not None and standing.get(candidate.who, candidate.killed) < candidate.killed:
                standing.pop(candidate.who)
        return max(standing, key=lambda who: standing[who], default=None)

    async def leader(self, bound: float) -> Candidate:
        """Who leads; waits until one does."""
        while (who := self.leading) is None:
            await self.until("LEAD", bound, since=len(self.said))
        return self.candidates[who]

    async def kill(self, candidate: Candidate) -> int:
        """See `Candidate.kill`."""
        began = await candidate.kill()
        self.dead.append(candidate)
        return began

    def _diagnosis(self, what: str) -> str:
        heard = ", ".join(f"{said.event} {said.who}" for said in self.said[-12:])
        ended = ", ".join(f"{each.who} ({each.ended})" for each in self.candidates.values() if each.ended is not None)
        log = "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-12:])
        return f"{self.system.name}: {what}; heard {heard}; ended by themselves: {ended or 'none'}; their log ends:\n{log}"

    def hear(self, said: Said) -> None:
        self.said.append(said)
        self._bell.set()
        self._bell = asyncio.Event()
