"""One candidate in one election: the front door.

An `Elector` connects, campaigns, and hands out terms. What a term rests on is the election's business (`elections`), how it
is held and ended the campaign's (`campaign`); work that is led without being asked each time (`work=`) is in `background`.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from . import watchdog
from .background import Background
from .campaign import Campaign, Campaigns
from .elections import Election, Leader, SessionView, from_where
from .errors import ElectionError, LeadershipLost, TermEnded
from .host import finish
from .observe import Observation
from .settings import Options, Settings
from .standing import Event, Standing, after
from .steps import Steps
from .term import Term, Work
from .where import parse

__all__ = ["Elector", "Work"]

log = logging.getLogger("aioha")

T = TypeVar("T")
JITTER_SHARE = 1 / 40  # of the session timeout: the spread of campaigns after a loss
LEAVE_BOUND = 5.0  # seconds that the end of the block waits for releases still under way


class Elector:
    """One candidate in one election, as an async context manager.

    where: where the election is held, see `where`. work: run in the background while the block lasts, once elected.
    options: see `Settings`; they win over options in `where`.

    Raises `ValueError` for a malformed `where` or options that do not fit together. Entering connects and raises
    `Unavailable` within `connect_timeout`, `SessionFailed` or `LayoutMismatch`; leaving ends the work, waits until it
    has ended, and resigns.
    """

    def __init__(self, where: str, work: Work[Any] | None = None, **options: Unpack[Options]) -> None:
        parsed = parse(where)
        settings = Settings.resolve(parsed, **options)
        self._set_up(parsed.election, settings, work, from_where(parsed, settings))

    @classmethod
    def holding(cls, election: Election, place: str, settings: Settings, work: Work[Any] | None) -> "Elector":
        """An elector on an election made elsewhere (`Session.elector`)."""
        elector = cls.__new__(cls)
        elector._set_up(place, settings, work, election)  # noqa: SLF001 - our own
        return elector

    def _set_up(self, place: str, settings: Settings, work: Work[Any] | None, election: Election) -> None:
        if work is not None and not callable(work):
            raise TypeError(f"work must be an async function that takes the term, got {work!r}")
        self.place = place
        self.clock = settings.clock
        self.election = election
        self.settings = settings
        self._work = work
        self._standing = Standing.OUT
        self._campaign: Campaign | None = None
        self._open = False
        self._yields = False  # we resigned: the others go first
        self._leaver: asyncio.Task[Any] | None = None  # the task that leaves the block
        self._background: Background | None = None
        self._releases: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"<Elector {self.identity} of {self.place}: {self._standing.value}>"

    # ------------------------------------------------------------------ the block

    async def __aenter__(self) -> Self:
        if self._open:
            raise ElectionError(f"{self.place}: this elector is in use; make another one")
        await self.election.open()
        self._open = True
        watchdog.acquire()
        self._background = Background(self, self._work) if self._work is not None else None
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        background = self._background
        self._leaver = asyncio.current_task()
        interrupted = await background.stop() if background is not None else None
        closing = asyncio.ensure_future(self._close())
        interrupted = await finish(closing, float("inf")) or interrupted
        if background is not None:
            background.uncancel_owner()
            if background.failure is not None:
                raise background.failure
        if interrupted is not None:
            raise interrupted
        closing.result()

    # ------------------------------------------------------------------ what it is

    @property
    def identity(self) -> str:
        """This candidate's name in the election."""
        return self.settings.identity

    @property
    def standing(self) -> Standing:
        """Where this candidate stands; `is_leading` also asks the clock."""
        return self._standing

    @property
    def is_leading(self) -> bool:
        """The work of our term may run at this very moment, by the lease clock. No round trip."""
        return self._campaign is not None and self._campaign.may_work

    @property
    def session(self) -> SessionView | None:
        """The ZooKeeper session: `state`, `server`, `timeout`, `id`. None on `local`."""
        return self.election.session

    # ------------------------------------------------------------------ taking part

    def campaign(self) -> Campaign:
        """`async with elector.campaign() as term:` waits to be elected, then holds the term while the body runs.

        The body is cancelled when the term ends, and the block then raises `LeadershipLost` or `LeadershipResigned`.
        """
        return Campaign(self)

    def campaigns(self) -> Campaigns:
        """`async for campaign in elector.campaigns()`: one after another, each to be entered with `async with`."""
        return Campaigns(self)

    async def lead(self, work: Work[T]) -> T:
        """Campaign, run `work(term)` as leader, and campaign again whenever the term ends before the work does.

        Returns what the work returns; raises what it raises, unwrapped.
        """
        task = asyncio.current_task()
        assert task is not None
        cancels = task.cancelling()
        while True:
            campaign = Campaign(self)
            try:
                async with campaign as term:
                    return await Steps(_awaitable(work, term), campaign.stop_if_over)
            except TermEnded as ended:
                if ended is not campaign.raised:
                    raise
                if task.cancelling() > cancels:  # somebody wants us to end, and the work took that for the term's end
                    raise asyncio.CancelledError from None
                if isinstance(ended, LeadershipLost):  # as all others may have lost something now: do not come in step
                    await asyncio.sleep(random.uniform(0, self.settings.session_timeout * JITTER_SHARE))

    async def resign(self) -> None:
        """Give the term up, if we lead; the others go first then. From the work itself, or a fence hook, it returns at
        once, and that is then cancelled; from another task it returns when the store knows.
        """
        campaign = self._campaign
        if campaign is None or not campaign.holding:
            return
        campaign.resign()
        await campaign.gone()

    # ------------------------------------------------------------------ looking on

    async def leader(self) -> Leader | None:
        """Who leads now, in one round trip. Raises `Unavailable` within 5 s, `SessionFailed`, `LayoutMismatch`."""
        self._check_open()
        return await self.election.leader()

    def observe(self) -> Observation:
        """`async for leader in elector.observe()`: who leads now, and each time it is another; None for nobody."""
        self._check_open()
        return Observation(self.election)

    # ------------------------------------------------------------------ for a campaign (Candidacy), and background work

    def begin(self, campaign: Campaign) -> bool:
        """A campaign starts. Returns whether the others go first."""
        self._check_open()
        if self._campaign is not None:
            raise ElectionError(f"{self.place}: this elector is campaigning already; one campaign at a time")
        self._campaign = campaign
        self.happened(Event.JOIN)
        log.info("%s: standing by as %s", self.place, self.identity)
        yields, self._yields = self._yields, False
        return yields

    def let_others_go_first(self) -> None:
        """In the next campaign."""
        self._yields = True

    def happened(self, event: Event) -> None:
        before, self._standing = self._standing, after(self._standing, event)
        if before is not self._standing and log.isEnabledFor(logging.DEBUG):  # asked first: the work waits for this
            log.debug("%s: %s", self.place, self._standing.value)

    def end(self, campaign: Campaign, *, resigned: bool) -> None:
        """A campaign is over."""
        if self._campaign is campaign:
            self._campaign = None
        self._yields = resigned

    def keep(self, release: "asyncio.Future[None]") -> None:
        """A release goes on in the background; the end of the block waits for it a little."""
        if not release.done():
            self._releases.add(release)
            release.add_done_callback(self._releases.discard)

    # ------------------------------------------------------------------ leaving

    async def _close(self) -> None:
        was_open, self._open = self._open, False
        campaign = self._campaign
        if campaign is not None and campaign.task is not None and campaign.task is not self._leaver:
            campaign.task.cancel("the elector's block ends")  # by hand, in another task: its work ends first
            await campaign.left()
        if self._releases:
            await asyncio.wait(self._releases, timeout=LEAVE_BOUND)
        try:
            await self.election.close()
        finally:
            if was_open:  # whoever leaves twice has come once
                watchdog.release()
        if self._releases:  # with the session gone there is nothing left to release
            await asyncio.wait(self._releases, timeout=LEAVE_BOUND)

    def _check_open(self) -> None:
        if not self._open:
            raise ElectionError(f"{self.place}: not connected; use it inside `async with Elector(...)`")


def _awaitable(work: Work[T], term: Term) -> Awaitable[T]:
    started = work(term)
    if not hasattr(started, "__await__"):
        name = getattr(work, "__qualname__", repr(work))
        raise TypeError(f"work must be an async function (async def); {name} returned {started!r}")
    return started
