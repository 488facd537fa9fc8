"""One campaign: wait to be elected, then hold the term while the block's body runs, and end both in order.

No scope encloses the body: it runs in the task that entered the block, and `tenure` cancels that task when the term
ends. At the exit the body has ended; only then, shielded and bounded, the term is released.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol, cast

from .clock import Clock
from .elections import Election, Grant
from .errors import ElectionError, Fenced, LeadershipResigned, TermEnded
from .host import finish
from .settings import Settings
from .standing import Event
from .tenure import Tenure
from .term import Term
from .threshold import Threshold

__all__ = ["Campaign", "Campaigns", "Candidacy"]

log = logging.getLogger("aioha")

# What the exit waits for a release at most, of the lease and in seconds; it then goes on in the background.
RELEASE_SHARE, SHORTEST_RELEASE, LONGEST_RELEASE = 1 / 4, 0.5, 5.0


class Candidacy(Protocol):
    """What a campaign needs of its elector."""

    place: str
    clock: Clock
    election: Election
    settings: Settings

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
        self.task: asyncio.Task[object] | None = None  # the one that entered the block
        self._candidacy = candidacy
        self._tenure: Tenure | None = None
        self._grant: Grant | None = None  # elected, and not released yet
        self._threshold: Threshold | None = None
        self._resignation = asyncio.Event()  # asked for before the work began
        self._gone = asyncio.Event()
        self._left = asyncio.Event()

    # ------------------------------------------------------------------ the block

    async def __aenter__(self) -> Term:
        if self.task is not None:
            raise ElectionError("a campaign can be entered once; take a new one from elector.campaign()")
        self.task = cast("asyncio.Task[object]", asyncio.current_task())
        candidacy = self._candidacy
        yielding = candidacy.begin(self)
        try:
            grant = await self._elected(yielding)
        except BaseException:
            candidacy.happened(Event.WITHDRAW)
            candidacy.end(self, resigned=False)
            self._gone.set()
            self._left.set()
            raise
        # From here to the body there is no await: what was true at the last look at the clock is still true.
        tenure = self._tenure = Tenure(
            grant,
            self.task,
            candidacy.place,
            candidacy.clock,
            candidacy.happened,
            exit_when_stuck=candidacy.settings.on_stuck == "exit",
        )
        return Term(grant, candidacy.place, candidacy.clock, tenure.ending, self._resign_term)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tenure is not None
        assert self._grant is not None
        ending, cancelled_by_others = self._tenure.close()
        interrupted = await self._release(self._grant)
        self._candidacy.happened(Event.LEFT)
        self._candidacy.end(self, resigned=isinstance(ending, LeadershipResigned))
        self._left.set()
        if interrupted is not None:
            raise interrupted from _failure(error, ending)
        if ending is None or (cancelled_by_others and isinstance(error, asyncio.CancelledError)):
            return
        self._raise_ending(ending, error)

    # ------------------------------------------------------------------ what the elector and the term ask

    @property
    def holding(self) -> bool:
        """Elected, and not released yet."""
        return self._grant is not None

    @property
    def may_work(self) -> bool:
        """The body may run at this moment, by the clock."""
        return self._tenure is not None and self._tenure.may_work

    def stop_if_over(self) -> bool:
        """Ask the clock now. True if that has just ended the term: the task is cancelled by then."""
        return self._tenure is not None and self._tenure.stop_if_over()

    def resign(self) -> None:
        """Give the term up, or what was won and is not worked on yet. Returns at once."""
        self._resignation.set()
        if self._tenure is not None:
            self._tenure.resign()

    async def gone(self) -> None:
        """Wait until the store knows that the term is over. Not from the work or a fence hook: that waits for their end."""
        task = asyncio.current_task()
        if task is not self.task and (self._threshold is None or task is not self._threshold.task):
            await self._gone.wait()

    async def left(self) -> None:
        """Wait until the block has been left; its release may still be under way."""
        await self._left.wait()

    # ------------------------------------------------------------------ being elected

    async def _elected(self, yielding: bool) -> Grant:
        candidacy = self._candidacy
        threshold = self._threshold = Threshold(candidacy.place, candidacy.clock, candidacy.settings, self._resignation)
        while True:
            self._resignation.clear()
            self._grant = grant = await candidacy.election.win(yielding=yielding)
            try:
                if await threshold.cross(grant):
                    return grant
            except BaseException:
                await self._release(grant)
                raise
            yielding = self._resignation.is_set() or threshold.failed
            interrupted = await self._release(grant)
            self._gone = asyncio.Event()
            if interrupted is not None:
                raise interrupted
            await threshold.back_off()

    # ------------------------------------------------------------------ leaving

    async def _resign_term(self) -> None:
        if self._tenure is not None and self.holding:
            self.resign()
            await self.gone()

    async def _release(self, grant: Grant) -> asyncio.CancelledError | None:
        """Returns the cancellation that arrived meanwhile, to be raised when everything is in order."""
        release, gone = asyncio.ensure_future(grant.release()), self._gone  # first of all: others wait for it
        release.add_done_callback(lambda _: gone.set())
        bound = max(SHORTEST_RELEASE, min(grant.lease * RELEASE_SHARE, LONGEST_RELEASE))
        try:
            interrupted = await finish(release, bound)
        finally:
            if self._tenure is not None:
                self._tenure.dismiss()
        self._candidacy.keep(release)
        self._grant = None
        return interrupted

    def _raise_ending(self, ending: TermEnded, error: BaseException | None) -> None:
        if error is None or isinstance(error, asyncio.CancelledError):
            self.raised = ending
            raise ending from None
        if _says_that_it_is_over(error):  # from `check()`, or a transaction: a loss, not a failure
            self.raised = ending
            raise ending from error
        error.add_note(f"(raised while the work was ending: {ending})")


class Campaigns(AsyncIterator[Campaign]):
    """An endless supply of campaigns of one elector."""

    def __init__(self, candidacy: Candidacy) -> None:
        self._candidacy = candidacy

    async def __anext__(self) -> Campaign:
        return Campaign(self._candidacy)


def _failure(error: BaseException | None, ending: TermEnded | None) -> BaseException | None:
    """What the body has failed with; None: it has not, it was told to end."""
    if error is None or isinstance(error, asyncio.CancelledError):
        return None
    return None if ending is not None and _says_that_it_is_over(error) else error


def _says_that_it_is_over(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(_says_that_it_is_over(each) for each in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return isinstance(error, TermEnded) or (isinstance(error, Fenced) and error.operation is None)
