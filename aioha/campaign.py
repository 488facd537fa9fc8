"""One campaign: wait to be elected, then hold the term while the block's body runs, and end both in order.

Supervision is synchronous: the grant and one timer call `_judge`, which asks the clock first. The body is cancelled
as `asyncio.timeout` does it, with `Task.cancel` once, so that its `finally` may await, and once more when the time to
stop is over. No scope encloses the body. The exit asks the lease clock, not who was cancelled: the body may have
swallowed the cancellation, sat in a thread or blocked the loop. Only then, shielded and bounded, the term is released.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, cast

from .clock import Clock
from .elections import Election, Grant
from .errors import ElectionError, LeadershipLost, LeadershipResigned, TermEnded
from .host import finish
from .standing import Event
from .term import Term, lease_over, name_of

__all__ = ["Campaign", "Candidacy"]

log = logging.getLogger("aioha")

RELEASE_SHARE, SHORTEST_RELEASE, LONGEST_RELEASE = 1 / 4, 0.5, 5.0  # of the lease; seconds: what the exit waits at most
GLANCE = 1 / 16  # of the lease: a loop timer does not count suspend, so look at the clock this often


class Candidacy(Protocol):
    """What a campaign needs of its elector."""

    place: str
    clock: Clock
    election: Election
    takeover_delay: float

    def begin(self, campaign: "Campaign") -> bool: ...
    def happened(self, event: Event) -> None: ...
    def end(self, campaign: "Campaign", *, resigned: bool) -> None: ...
    def keep(self, release: "asyncio.Future[None]") -> None: ...


class Campaign:
    """An async context manager, to be entered once: gives the `Term`.

    Entering waits, unbounded, until this candidate is elected; raises `SessionFailed`, `LayoutMismatch`, and
    `ElectionError` while another campaign of the same elector is under way.
    """

    def __init__(self, candidacy: Candidacy) -> None:
        self.raised: TermEnded | None = None  # what leaving the block raised, to tell it from somebody else's
        self._candidacy = candidacy
        self._entered = False
        self._grant: Grant | None = None
        self._task: asyncio.Task[object] | None = None
        self._working = False
        self._ending: Callable[[], TermEnded] | None = None
        self._stop_by = 0.0  # when work that was told to end is told once more
        self._cancels = 0
        self._cancels_before = 0
        self._timer: asyncio.TimerHandle | None = None
        self._holding = False  # elected: from then on there is something to resign
        self._insisted = False
        self._resignation = asyncio.Event()
        self._gone = asyncio.Event()

    # ------------------------------------------------------------------ the block

    async def __aenter__(self) -> Term:
        if self._entered:
            raise ElectionError("a campaign can be entered once; take a new one from elector.campaign()")
        self._entered = True
        self._task = asyncio.current_task()
        yielding = self._candidacy.begin(self)
        try:
            grant = await self._elected(yielding)
        except BaseException:
            self._candidacy.happened(Event.WITHDRAW)
            self._candidacy.end(self, resigned=False)
            self._gone.set()
            raise
        # From here to the body there is no await: what was true at the last look at the clock is still true.
        return self._begin_work(grant)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._grant is not None
        assert self._task is not None
        grant = self._grant
        self._working = False  # nobody is cancelled by us any more
        ending = self._ending or self._found_over()
        if self._ending is None:
            self._candidacy.happened(Event.STOP)
        if self._timer is not None:
            self._timer.cancel()
        for _ in range(self._cancels):
            self._task.uncancel()
        outer = self._task.cancelling() > self._cancels_before
        interrupted = await self._release(grant, resigned=ending is not None and isinstance(ending(), LeadershipResigned))
        if interrupted is not None:
            raise interrupted
        if ending is None or (outer and isinstance(error, asyncio.CancelledError)):
            return
        self._raise_ending(ending(), error)

    # ------------------------------------------------------------------ what the elector and the term ask

    @property
    def task(self) -> "asyncio.Task[object] | None":
        """The task that entered the block."""
        return self._task

    @property
    def may_work(self) -> bool:
        """The body may run at this moment, by the clock."""
        return self._working and self._ending is None and self._found_over() is None

    def stop_if_over(self) -> bool:
        """Ask the clock now. True if that has just ended the term: the task is cancelled by then."""
        if self._working and self._ending is None:
            self._judge()
            return self._ending is not None
        return False

    @property
    def holding(self) -> bool:
        """Elected, and not released yet."""
        return self._holding

    def resign(self) -> None:
        """Give the term up, or what was won and is not worked on yet. Returns at once."""
        if self._holding:
            self._resignation.set()
        if self._working and self._ending is None:
            self._end(lambda: LeadershipResigned(f"term {self._name()} of {self._candidacy.place} was resigned"))

    async def gone(self) -> None:
        """Wait until the store knows that the term is over."""
        await self._gone.wait()

    def ending(self) -> TermEnded | None:
        """Why the term is over, if it is."""
        if self._ending is not None:
            return self._ending()
        found = self._found_over()
        if found is not None:
            return found()
        return None if self._working else TermEnded(f"term {self._name()} of {self._candidacy.place}: its work has ended")

    # ------------------------------------------------------------------ being elected

    async def _elected(self, yielding: bool) -> Grant:
        while True:
            grant = await self._candidacy.election.win(yielding=yielding)
            self._holding = True
            try:
                await self._settle(grant)
            except BaseException:
                await self._release_unused(grant)
                raise
            if grant.ended is None and not self._resignation.is_set():
                return grant
            yielding = self._resignation.is_set()
            self._resignation.clear()
            await self._release_unused(grant)

    async def _settle(self, grant: Grant) -> None:
        """Give old work that may not know yet that it is over, or that has no lease, the time to end."""
        pause = max(grant.settle, self._candidacy.takeover_delay)
        if pause > 0:
            log.info("%s: elected, %.2g s until the work starts", self._candidacy.place, pause)
            over = asyncio.Event()
            grant.listen(lambda: over.set() if grant.ended is not None else None)
            waits = {asyncio.ensure_future(over.wait()), asyncio.ensure_future(self._resignation.wait())}
            try:
                await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        await grant.ready()

    async def _release_unused(self, grant: Grant) -> None:
        release = asyncio.ensure_future(grant.release())
        interrupted = await finish(release, _release_bound(grant))
        self._candidacy.keep(release)
        self._holding = False
        gone, self._gone = self._gone, asyncio.Event()
        gone.set()
        if interrupted is not None:
            raise interrupted

    # ------------------------------------------------------------------ holding the term

    def _begin_work(self, grant: Grant) -> Term:
        assert self._task is not None
        self._grant = grant
        self._cancels_before = self._task.cancelling()
        self._working = True
        self._candidacy.happened(Event.WORK)
        log.info("%s: leading, term %s, token %d", self._candidacy.place, name_of(grant), grant.token)
        grant.listen(self._judge)
        self._judge()
        return Term(grant, self._candidacy.place, self._candidacy.clock, self.ending, self._resign_term)

    def _judge(self) -> None:
        """The term's state may have changed, or time has passed: the first question is the clock's."""
        grant = self._grant
        assert grant is not None
        if not self._working:
            return
        if self._ending is None:
            over = self._found_over()
            if over is not None:
                self._end(over)
                return
            self._candidacy.happened(Event.DOUBT if grant.doubtful else Event.SURE)
        elif self._candidacy.clock() >= min(self._stop_by, grant.deadline):
            self._insist()
            return
        self._set_timer()

    def _found_over(self) -> Callable[[], TermEnded] | None:
        """How the world has ended the term by now, asking the clock and the grant."""
        grant, place = self._grant, self._candidacy.place
        assert grant is not None
        if grant.ended is not None:
            why = f"term {name_of(grant)} of {place}: {grant.ended}"
            return lambda: LeadershipLost(why)
        now = self._candidacy.clock()
        if now >= grant.deadline - grant.stop_grace:
            lost = str(lease_over(grant, place, now))
            return lambda: LeadershipLost(lost)
        return None

    def _end(self, ending: Callable[[], TermEnded]) -> None:
        assert self._task is not None
        assert self._grant is not None
        self._ending = ending
        message = ending()
        resigned = isinstance(message, LeadershipResigned)
        log.log(logging.INFO if resigned else logging.WARNING, "%s", message)
        protected = resigned or self._grant.seated  # nobody can begin before we release: the lease decides
        self._stop_by = float("inf") if protected else self._candidacy.clock() + self._grant.stop_grace
        self._candidacy.happened(Event.STOP)
        self._cancel(str(message))
        self._set_timer()

    def _insist(self) -> None:
        """The time to stop is over and the work still runs."""
        if self._insisted:
            return
        self._insisted = True
        log.critical(
            "%s: the work of term %s still runs although its time is over; leadership is not released before it ends",
            self._candidacy.place,
            self._name(),
        )
        self._cancel("the time to stop is over")

    def _cancel(self, message: str) -> None:
        assert self._task is not None
        if self._task.cancel(message):
            self._cancels += 1

    def _set_timer(self) -> None:
        grant = self._grant
        assert grant is not None
        if self._timer is not None:
            self._timer.cancel()
        until = grant.deadline - grant.stop_grace if self._ending is None else min(self._stop_by, grant.deadline)
        if until == float("inf"):
            return
        pause = max(0.0, min(until - self._candidacy.clock(), grant.lease * GLANCE))
        self._timer = asyncio.get_running_loop().call_later(pause, self._judge)

    async def _resign_term(self) -> None:
        if self._working:
            self.resign()
            if asyncio.current_task() is not self._task:
                await self.gone()

    # ------------------------------------------------------------------ leaving

    async def _release(self, grant: Grant, *, resigned: bool) -> asyncio.CancelledError | None:
        release = asyncio.ensure_future(grant.release())
        release.add_done_callback(lambda _: self._gone.set())
        interrupted = await finish(release, _release_bound(grant))
        self._holding = False
        self._candidacy.keep(release)
        self._candidacy.happened(Event.LEFT)
        self._candidacy.end(self, resigned=resigned)
        return interrupted

    def _raise_ending(self, ending: TermEnded, error: BaseException | None) -> None:
        if error is None or isinstance(error, asyncio.CancelledError):
            self.raised = ending
            raise ending from None
        if _is_only(error, TermEnded):  # from `check()`: a loss, not a failure
            self.raised = ending
            raise ending from error
        error.add_note(f"(raised while the work was ending: {ending})")

    def _name(self) -> str:
        return name_of(self._grant) if self._grant is not None else "?"


def _release_bound(grant: Grant) -> float:
    return max(SHORTEST_RELEASE, min(grant.lease * RELEASE_SHARE, LONGEST_RELEASE))


def _is_only(error: BaseException, kind: type[BaseException]) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_is_only(each, kind) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return isinstance(error, kind)
