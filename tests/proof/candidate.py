"""One candidate that comes and goes: production code, unchanged, in a process of its own, which somebody starts again."""

import asyncio
import random
import traceback
from typing import TYPE_CHECKING, Any

from aioha import Elector, Predecessor, SessionFailed, Term, TermEnded, Unavailable
from aioha.testing.checks import ROUNDING
from aioha.testing.history import Kind

from . import work
from .scene import LONGEST_HOOK, Plan

if TYPE_CHECKING:
    from .stage import Stage

__all__ = ["Candidate"]

EXPECTED = (work.Boom, Unavailable, SessionFailed)


class _HookFailed(Exception):
    """On purpose."""


class Candidate:
    """See the head of this file. `name`: in the history. Each of its processes runs on a host of its own."""

    def __init__(self, stage: "Stage", plan: Plan) -> None:
        self.name = plan.name
        self.plan = plan
        self.czxid = self.token = 0  # of its newest term
        self.working = False
        self.elector: Elector | None = None
        self.task: asyncio.Task[None] | None = None
        self.host = ""
        self.restarts_after = 0.0  # seconds
        self._stage = stage
        self._rng = random.Random(f"work {stage.scene.seed} {plan.name}")
        self._process = 0
        self._disowned = 0  # token of a term that was taken from it while it was frozen
        self._leaving = self._stopping = False
        self._hook_failures = 0
        self._restart: asyncio.TimerHandle | None = None
        self._job: work.Job | None = None
        self._resigning: asyncio.Task[None] | None = None

    # ------------------------------------------------------------------ its process

    @property
    def is_up(self) -> bool:
        return self.task is not None and not self.task.done()

    @property
    def session_id(self) -> int:
        session = self.elector.session if self.elector is not None else None
        return session.id if session is not None else 0

    @property
    def server(self) -> str:
        """Name of the server that it is attached to; empty: none."""
        session = self.elector.session if self.elector is not None else None
        return ((session.server if session is not None else None) or "").partition(":")[0]

    @property
    def takes_its_time(self) -> bool:
        """Its work does not end at once when it is told to."""
        return self._job is not None and bool(self._job.cleanup or self._job.ignores)

    @property
    def lease_deadline(self) -> float:
        """As it believes, in virtual time."""
        session: Any = self.elector.session if self.elector is not None else None
        return session.current.lease.deadline if session is not None and session.current is not None else float("-inf")

    def start(self) -> None:
        """A new process on a new host, unless one is up."""
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self.is_up or self._leaving:
            return
        self._process += 1
        self._stopping = False
        self.host = f"{self.name}-{self._process}"
        self.elector = None
        with self._stage.simulation.on(self.host):
            self.task = asyncio.create_task(self._run(self._process), name=self.host)
        self.task.add_done_callback(self._ended, context=self._stage.context)

    def start_later(self, seconds: float) -> None:
        if self._restart is None and not self._leaving:
            self._restart = self._stage.later(seconds, self._start_now)

    def _start_now(self) -> None:
        self._restart = None
        self.start()

    def crash(self) -> None:
        """Its process is gone, and its work with it."""
        self._stage.history.add(Kind.DIED, self.name)
        self._stage.simulation.network.crash(self.host)
        self._stage.crashed.append(self.host)
        self.working = False
        self.task = self.elector = None

    def leave(self) -> "asyncio.Task[None] | None":
        """Stop for good."""
        self._disowned = 0  # token of a term that was taken from it while it was frozen
        self._leaving = True
        self.stop()
        return self.task

    def resign(self) -> None:
        """As an operator asks it to."""
        if self.elector is not None:
            with self._stage.simulation.on(self.host):
                self._resigning = asyncio.create_task(self.elector.resign(), name=f"{self.host} resigns")

    def stop(self) -> None:
        """As SIGTERM does."""
        if self.task is not None:
            self._stopping = True
            self.task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if task is not self.task:
            return  # of a host that has crashed
        if not task.cancelled():
            self._stage.ensemble.note(f"{self.name} ends: {task.exception()!r}")
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, EXPECTED):
            where = "".join(traceback.format_tb(error.__traceback__, -4))
            self._stage.violated("I7", f"{self.name} ends with {error!r}\n{where}")
        self.start_later(self._stage.restart_pause(self._rng))

    async def _run(self, process: int) -> None:
        stage, plan = self._stage, self.plan
        where = stage.where(plan.only)
        options = dict(plan.options)
        if stage.scene.hooks:
            options["fence"] = self._fence
        name, clock = f"{plan.name}-{process}", stage.clock_for(self)
        done = asyncio.Event()

        async def work(term: Term) -> None:
            await self._work(process, term)
            done.set()

        if plan.style == "background":
            async with Elector(where, work, identity=name, clock=clock, **options) as self.elector:
                await done.wait()
            return
        async with Elector(where, identity=name, clock=clock, **options) as self.elector:
            while plan.style == "campaign" and not done.is_set():
                try:
                    async with self.elector.campaign() as term:
                        await work(term)
                except TermEnded:
                    continue
            if plan.style == "lead":
                await self.elector.lead(work)

    # ------------------------------------------------------------------ its work

    async def _fence(self, predecessor: Predecessor) -> None:
        await asyncio.sleep(self._rng.uniform(0, LONGEST_HOOK))
        if self._stage.hooks_fail and self._hook_failures < 2:
            self._hook_failures += 1
            raise _HookFailed
        self._hook_failures = 0
        self._stage.fenced.add(predecessor.token)

    def disown(self) -> None:
        """Its work is over for everybody but itself: only what it commits is still judged."""
        self._stage.history.add(Kind.ENDED, self.name, token=self.token)
        self._disowned = self.token

    async def _work(self, process: int, term: Term) -> None:
        stage, rng = self._stage, self._rng
        grant: Any = term._grant
        self.czxid, self.token = grant.czxid, term.token
        stage.settled = max(stage.settled, grant.settle)
        self._tell(process, Kind.BEGAN, term, grant)
        self.working = True
        stage.truth.began(self, grant.session.id, grant.czxid)
        job = self._job = work.draw(rng, stage.scene.timeout, grant.stop_grace, fenced=grant.no_transactions is None)
        host, main, clock = self.host, stage.context, stage.clock_of(self.host)
        self._look_at_fencing(term)
        self._look_at_number(term)

        def step() -> None:
            self._tell(process, Kind.STEPPED, term)

        def write(delay: float) -> None:
            if delay:
                stage.loop.call_later(delay, stage.store.write, self.name, term.token, context=main)
            elif host == self.host:
                stage.store.write(self.name, term.token)

        def hurried(since: float) -> None:
            early = clock() < min(since + grant.stop_grace, grant.deadline) - ROUNDING
            if early and not self._stopping:
                stage.violated("I5", f"{self.name}: work that was ending in time was cancelled once more")

        try:
            await work.work(term, job, work.Hands(step, write, hurried, clock, rng, grant.czxid))
        finally:
            if process == self._process:
                self.working = False
            self._tell(process, Kind.ENDED, term, grant)

    def _look_at_number(self, term: Term) -> None:
        """I8: the record numbers terms, each takeover from the one before it, unless somebody wrote there by hand."""
        stage, number = self._stage, term.number
        if number is None:
            return
        # Who leads a queue writes its number when it has begun; one who dies before that leaves it to the next.
        least = stage.number if stage.is_queue else stage.number + 1
        if stage.rubbished in ("", "ended") and number < least:
            stage.violated("I8", f"{self.name} begins term {number}, and term {stage.number} has begun before")
        stage.number = number

    def _look_at_fencing(self, term: Term) -> None:
        """No work before a hook has returned for whoever led before and did not end cleanly."""
        before = term.predecessor
        if not self._stage.scene.hooks or before is None or before.ended_cleanly or not before.identity:
            return
        if before.token not in self._stage.fenced:
            self._stage.violated("I2", f"{self.name} begins, and nobody has fenced the term of token {before.token}")

    def _tell(self, process: int, kind: Kind, term: Term, grant: Any = None) -> None:
        is_alive = process == self._process and self.task is not None
        if is_alive and term.token != self._disowned:  # what a dead process does is no history any more
            until = self._stage.virtual(self.host, grant.deadline) if grant is not None else None
            self._stage.history.add(kind, self.name, token=term.token, until=until)
