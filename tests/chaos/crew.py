"""The candidates of a chaos run: a place for each, in which a process runs, and another one when it has ended.

Every death is told, and by whom. A killed process's work ends with its last word (see `judge`): nobody saw more of it.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from aioha.testing.history import Kind

from .account import Account
from .candidate import Orders
from .groups import Group
from .network import Host

__all__ = ["UNASKED", "Crew", "Place", "Surroundings"]

HERE = Path(__file__).parent
UNASKED = "ended unasked, with status "
PATIENCE = 30.0  # seconds until a process that was told to end has ended


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all candidates are told: where the election is, the store's socket, the nodes to write; where files go."""

    where: str
    store: Path
    writes: str
    facts: Path
    logs: Path


class Place:
    """One candidate after another on one host. who: the present one, `NAME.NUMBER`."""

    def __init__(
        self,
        host: Host,
        group: Group,
        options: dict[str, Any],
        surroundings: Surroundings,
        account: Account,
        trouble: Callable[[str], None],
    ) -> None:
        self.host = host
        self.group = group
        self.options = options
        self.who = ""
        self._number = 0
        self._surroundings = surroundings
        self._account = account
        self._trouble = trouble
        self._process: asyncio.subprocess.Process | None = None
        self._ordered = ""  # how the present process was told to end
        self._frozen = False
        self._throttled = False

    def __repr__(self) -> str:
        return self.who

    @property
    def guarded(self) -> bool:
        return bool(self.options.get("guardian"))

    @property
    def told_to_end(self) -> bool:
        """The present process; who leads may be known a moment longer than it does."""
        return bool(self._ordered)

    # ------------------------------------------------------------------ life

    async def keep(self) -> None:
        """Until cancelled; then the process is told to end, and is waited for."""
        while True:
            process = await self._start()
            try:
                await process.wait()
            except asyncio.CancelledError:
                await self._part(process)
                raise
            finally:
                self._account.tell(Kind.DIED, self.who, note=self._how(process))
                self._frozen = False

    async def _start(self) -> asyncio.subprocess.Process:
        self._number += 1
        around = self._surroundings
        self.who = f"{self.host.name}.{self._number}"
        orders = Orders(
            who=self.who,
            where=around.where,
            facts=str(around.facts / f"{self.who}.jsonl"),
            store=str(around.store),
            writes=around.writes,
            groups=self.group.procs,
            options=self.options,
        )
        self._ordered = ""
        paths = os.pathsep.join([str(HERE.parent), str(HERE.parent.parent)])
        with (around.logs / f"{self.who}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.host.inside,
                sys.executable,
                "-m",
                "chaos.candidate",
                orders.line(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C in a terminal is for the show, which then ends us in order
            )
        return self._process

    async def _part(self, process: asyncio.subprocess.Process) -> None:
        self.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            self._trouble(f"{self.who} did not end within {PATIENCE:g} s of SIGTERM")
            process.kill()
            await process.wait()

    def _how(self, process: asyncio.subprocess.Process) -> str:
        status = process.returncode
        ended = (0, -signal.SIGTERM)  # the latter before it could do anything about it
        if self._ordered == "kill" or (self._ordered == "terminate" and status in ended):
            return self._ordered
        return f"{UNASKED}{status}"

    # ------------------------------------------------------------------ faults

    def kill(self) -> None:
        self._ordered = "kill"
        self._account.tell(Kind.DIED, self.who, note="kill")
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._ordered = self._ordered or "terminate"
        self._signal(signal.SIGTERM)

    def resign(self) -> None:
        self._signal(signal.SIGUSR1)

    def stop(self) -> None:
        """The process alone, by SIGSTOP; its guardian goes on."""
        self._freezes("stopped")
        self._signal(signal.SIGSTOP)

    def freeze(self) -> None:
        """With its guardian, by the control group."""
        self._freezes("frozen")
        self.group.freeze(True)

    def throttle(self, share: float) -> None:
        """It runs now and then: as good as frozen most of the time."""
        self._throttled = True
        self._account.tell(Kind.FROZE, self.who, note="throttled")
        self.group.throttle(share)

    def heal(self) -> None:
        if self._throttled:
            self.group.throttle(None)
            self._throttled = False
            self._account.tell(Kind.THAWED, self.who)
        if self._frozen:
            self._account.tell(Kind.THAWED, self.who)  # first: from here on what it does is judged
            self._frozen = False
        self.group.freeze(False)
        self._signal(signal.SIGCONT)

    def _freezes(self, how: str) -> None:
        self._frozen = True
        self._account.tell(Kind.FROZE, self.who, note=how)  # first: it cannot know how far it came

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class Crew:
    """All places. `async with` they are kept."""

    def __init__(self, places: list[Place]) -> None:
        self.places = places
        self._keepers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._keepers = [asyncio.create_task(place.keep(), name=place.host.name) for place in self.places]
        return self

    async def __aexit__(self, *_: object) -> None:
        for place, keeper in zip(self.places, self._keepers, strict=True):
            place.heal()
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for place in self.places:
            place.group.remove()

    def of(self, who: str | None) -> Place | None:
        return next((place for place in self.places if place.who == who), None)

    def heal(self) -> None:
        for place in self.places:
            place.heal()
