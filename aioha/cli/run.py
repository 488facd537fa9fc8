"""`aioha run`: CMD runs only while we lead. The order that everything here keeps: all of CMD is gone, then the release.

A term that is lost cancels the body `stop_grace` before another candidate can be elected; most of that time goes to
CMD after SIGTERM, the rest to SIGKILL and to seeing it gone. A signal to us is no such hurry: the lease goes on being
renewed while CMD ends. Either way the block is left, and the term released, only once nothing of CMD runs.
"""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from ..descendants import become_subreaper
from ..elector import Elector
from ..errors import TermEnded
from ..term import Term
from .child import Child, Guard, Unguarded
from .family import reap
from .report import LOST, Failure
from .signals import take_signals
from .spawn import NOT_EXECUTABLE, NOT_FOUND

__all__ = ["Plan", "run"]

PASSED_ON = (signal.SIGUSR1, signal.SIGUSR2)  # programs give them meanings of their own; to us they would mean death
GRACE_FOR_TERM = 0.7  # share of stop_grace that CMD has after SIGTERM; the rest is for SIGKILL to take effect

log = logging.getLogger("aioha.run")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and how to end it."""

    where: str  # without credentials: an environment is no place for a secret
    command: Sequence[str]
    once: bool
    kill_after: float
    grace: Callable[[float], float]  # stop_grace within a negotiated session timeout


async def run(elector: Elector, plan: Plan, guard: Guard | None = None) -> int:
    """Campaign, run CMD while leading, and return CMD's exit status (or `LOST`, or 128 + n if a signal came first)."""
    check_executable(plan.command[0])
    return await _Run(elector, plan, guard or Unguarded()).run()


def check_executable(name: str) -> None:
    """Raises `Failure` at once for what would else come out only when this candidate is elected, days from now."""
    if shutil.which(name):
        return
    if os.sep in name and os.path.exists(name):
        raise Failure(NOT_EXECUTABLE, f"{name}: not executable")
    raise Failure(NOT_FOUND, f"{name}: command not found")


class _Run:
    def __init__(self, elector: Elector, plan: Plan, guard: Guard) -> None:
        self._elector = elector
        self._plan = plan
        self._guard = guard
        self._child: Child | None = None
        self._signal: int | None = None  # the first that asked us to end
        self._asked = asyncio.Event()
        self._status: int | None = None  # of a CMD that ended by itself, or because we were asked to end
        self._task: asyncio.Task[int] | None = None

    async def run(self) -> int:
        become_subreaper()  # before anything is started: what loses its parent below us comes to us
        # Also ends a SIGCHLD that was inherited as ignored, which would lose CMD's exit status.
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._on_sigchld)
        self._task = asyncio.ensure_future(self._campaign())
        take_signals(self._on_signal)
        # Stopping us would leave CMD running beside the next leader.
        asyncio.get_running_loop().add_signal_handler(
            signal.SIGTSTP, log.warning, "Ctrl-Z is ignored: Ctrl-C ends CMD and resigns"
        )
        for number in PASSED_ON:
            asyncio.get_running_loop().add_signal_handler(number, self._pass_on, number)
        try:
            return await self._task
        except asyncio.CancelledError:
            if self._signal is None:
                raise
            return 128 + self._signal if self._status is None else self._status

    async def _campaign(self) -> int:
        async with self._elector as elector:
            async for campaign in elector.campaigns():
                with suppress(TermEnded):  # the campaign has said why in the log
                    async with campaign as term:
                        await self._lead(term)
                if self._status is not None:
                    return self._status
                if self._plan.once:
                    raise Failure(LOST, "the term is over, and --once says not to stand again")
        raise AssertionError("campaigns() does not end")

    async def _lead(self, term: Term) -> None:
        """The body of a term. Whatever happens, it ends after CMD."""
        grace = self._grace()  # asked now: once the term is lost there may be no session to ask
        self._child = child = Child(self._plan.command, self._environment(term), self._guard)
        log.info("term %s, token %d: started %s (pid %d)", term.number or "?", term.token, self._plan.command[0], child.pid)
        try:
            await self._exited_or_asked(child)
            if child.exited.is_set() and (left := child.left()):
                log.warning(
                    "%s has ended and left %d processes running %s: ended now, too (a daemon must stay in the foreground)",
                    self._plan.command[0],
                    len(left),
                    left[:10],
                )
            await child.end(self._plan.kill_after)
            self._conclude(child)
        except asyncio.CancelledError:
            await self._end_within(grace, child)
            raise
        finally:
            await child.destroy()
            self._child = None

    async def _exited_or_asked(self, child: Child) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (child.exited, self._asked)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _end_within(self, grace: float, child: Child) -> None:
        """The term is over. A CMD that ended only because of that has not ended the run: it is started again."""
        ended_by_itself = child.exited.is_set()
        log.warning("the term is over: ending %s (pid %d)", self._plan.command[0], child.pid)
        try:
            await child.end(grace)
        finally:  # cancelled once more at the lease's end
            await child.destroy()
            if ended_by_itself or self._asked.is_set():
                self._conclude(child)

    def _grace(self) -> float:
        """CMD's seconds between SIGTERM and SIGKILL when the term is lost."""
        session = self._elector.session
        if session is None:  # on one host nobody can lead before we release
            return self._plan.kill_after
        return min(self._plan.kill_after, GRACE_FOR_TERM * self._plan.grace(session.timeout))

    def _conclude(self, child: Child) -> None:
        self._status = child.status
        log.info("%s ended with status %d", self._plan.command[0], child.status)

    def _environment(self, term: Term) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if name != "AIOHA_TERM"}
        environment.update(AIOHA_WHERE=self._plan.where, AIOHA_IDENTITY=self._elector.identity, AIOHA_TOKEN=str(term.token))
        if term.number is not None:
            environment["AIOHA_TERM"] = str(term.number)
        return environment

    def _pass_on(self, number: int) -> None:
        if self._child is not None:
            self._child.send(number)

    def _on_sigchld(self) -> None:
        if self._child is not None:
            self._child.on_sigchld()
        else:
            reap(self._guard.pids())

    def _on_signal(self, number: int) -> None:
        again, self._signal = self._signal is not None, self._signal or number
        if self._child is not None:
            if again:
                self._child.kill()
            self._asked.set()
        elif again:  # CMD is gone or never ran: what is left to do is only courtesy
            os._exit(128 + number)
        elif self._task is not None:
            self._task.cancel()
