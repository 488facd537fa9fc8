"""Our turn in a queue: what is known of the term before when it comes, the term that we get, and how that is accounted for.

The record is written when we lead already: it fences nothing here, our member node does. Nobody waits for it, but where
names do not tell whose a member is: who comes next must know that one of ours has led. What a standby may know beforehand
is in `studied`.
"""

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ...clock import Clock, wall_time
from ...ended import MOST_UNFENCED, Ended, brief, newest
from ...guardian.guarded import Guardian
from ...heartbeat import Stake
from ...record import Record
from ...session import ZooKeeperSession
from ...settings import Settings
from ...wire.errors import NoAuth, NoNode
from ..protocol import Leader
from .accounting import ANY_VERSION, Accounting
from .forerunners import Forerunners, is_unrecorded
from .grant import SessionGrant
from .ground import Ground
from .ledger import Ledger, LedgerView, longest_grace, unrecorded
from .oldterms import OldTerms
from .place import Place
from .studied import Ahead, Known, Studied
from .succession import Succession
from .znodes import PASSING

__all__ = ["Turn"]

log = logging.getLogger("aioha")

EARLIER = 3  # round trips that whoever is next may hear of our end earlier: nothing is committed in front of a term
SLOWER = 1.25  # how much longer a round trip may take by now, and a record that was worked out before still be right
STUMBLE = 0.05  # seconds, jittered, after a lost connection
NOTHING = LedgerView(Record(), -1, 0, Ended())


@dataclass(frozen=True, slots=True)
class _Plan:
    """Our term, as it follows from what is known of those before it."""

    place: Place
    before: Ahead | None
    known: Known
    accounting: Accounting
    version: int  # of the record, to be written over
    grant: SessionGrant  # that has not begun
    is_written_first: bool  # nobody may work before the record says so
    trips: tuple[float, float]  # seconds, that the record reckons with

    def fits(self, place: Place, before: Ahead | None, known: Known) -> bool:
        """It is about these, and the link is as quick as it was."""
        is_about = self.place is place and self.before is before and self.known is known
        (to_server, to_leader), then = place.session.hearing.trips, self.trips
        return is_about and to_server <= SLOWER * then[0] and to_leader <= SLOWER * then[1]


class Turn:
    """One candidate's turns. `give_up` begins the release of a term."""

    def __init__(
        self,
        ground: Ground,
        settings: Settings,
        give_up: "Callable[[SessionGrant, Accounting], asyncio.Future[None]]",
        guardian: Guardian | None,
    ) -> None:
        self.now: Clock = settings.clock
        self._ground = ground
        self._settings = settings
        self._payload = settings.payload
        self._give_up = give_up
        self._guardian = guardian
        self._succession = Succession(ground, settings)
        self._studied: Studied | None = None
        self._foreseen: _Plan | None = None  # what follows if the leader ends cleanly
        self.forerunners = Forerunners()
        self._prepared = 0  # for which session
        self._withdraw: Callable[[], Coroutine[Any, Any, None]] | None = None  # how, if a record may say that we led

    def reaches(self, session: ZooKeeperSession, enough: float) -> bool:
        """Whether the lease leaves the work so many seconds."""
        return session.lease.deadline - self._settings.grace_within(session.timeout) - self.now() >= enough

    # ------------------------------------------------------------------ before it comes

    async def prepare(self, session: ZooKeeperSession, check: Callable[[], Awaitable[None]]) -> None:
        """Before we join for the first time: `check` the path, and make sure of the record. It must be older than our place
        in line: how far tokens may have been lifted is told from that, should it become unreadable. Raises `ResponseError`.
        """
        if self._prepared != session.id:
            await check()
            await self._ground.prepare(session)
            self._prepared = session.id

    def is_of(self, before: Ahead) -> bool:
        """What was studied is about the term of this member, which goes on."""
        return self._studied is not None and self._studied.is_of(before)

    @property
    def has_news(self) -> bool:
        """What was studied has changed since."""
        return self._studied is not None and self._studied.has_changed

    def forget(self, session: ZooKeeperSession) -> None:
        """What was studied is worth nothing any more."""
        if self._studied is not None:
            session.forget(self._studied.on_event)
            self._studied = self._foreseen = None

    async def study(self, session: ZooKeeperSession, wake: Callable[[], None]) -> None:
        """Read what is written of the leader's term, and hear of it when that changes. Raises `ResponseError`."""
        self.forget(session)
        if not self._ground.keeps_record:
            return
        studied = Studied(self._ground.names, wake)
        try:
            view = await studied.read(session)
        except NoNode:
            await self._ground.prepare(session)
            return
        except NoAuth as error:
            self._ground.do_without_record(error)
            return
        self._studied = studied
        if view.unreadable is None:
            self._succession.saw_token(view.token)

    def foresee(self, place: Place, before: Ahead) -> None:
        """The leader, who is all that is before us, will most likely end cleanly: work out now what our term is then."""
        studied = self._studied
        if studied is not None and studied.closed is not None and place.czxid is not None and studied.is_of(before):
            self._foreseen = self._plan(place, place.czxid, before, studied.closed)

    # ------------------------------------------------------------------ when it comes

    async def lead(self, place: Place, stake: Stake, heard: Ahead | None = None) -> SessionGrant | None:
        """Lead: nobody is ahead. None: look again. `heard`: this member was, and it was heard in order that it has gone.

        Raises `ResponseError`, `ConnectionError`, `SessionFailed`.
        """
        session, plan = place.session, self._foreseen
        known = await self._known(session, heard)
        if known is None or place.czxid is None:
            return None
        if plan is None or not plan.fits(place, heard, known):
            before, perhaps = (heard, ()) if heard is not None else (self.forerunners.led, self.forerunners.perhaps)
            plan = self._plan(place, place.czxid, before, known, perhaps)
        self.forget(session)
        plan.accounting.begin(plan.version)
        if plan.is_written_first or not place.is_watched:
            # Should we be cancelled meanwhile.
            self._withdraw = functools.partial(plan.accounting.withdraw, plan.grant.ended_mark, owes=plan.grant.settle > 0)
            may_begin = await self._may_begin(plan)
            self._withdraw = None
            if not may_begin:
                return None
        return await self._begun(plan, stake)

    async def _may_begin(self, plan: _Plan) -> bool:
        """It is decided whether our record is written, as nobody may write it behind another one of ours; and our node, to
        which something may have happened, is watched.
        """
        place = plan.place
        written = await plan.accounting.is_written()
        if plan.is_written_first and not written:
            return False
        while not place.is_watched and not place.session.state.is_dead:
            try:
                return await place.watch_again()
            except PASSING:
                await asyncio.sleep(random.uniform(0, STUMBLE))
                with contextlib.suppress(*PASSING):
                    await place.session.attached()
        return place.is_watched

    def withdraw(self, place: Place) -> "Coroutine[Any, Any, None]":
        """Leave the line, where no term has begun; it takes until nothing of ours is left, or the session is dead."""
        leave, self._withdraw = self._withdraw, None
        return place.leave_quietly() if leave is None else leave()

    def _plan(self, place: Place, czxid: int, before: Ahead | None, known: Known, perhaps: Iterable[Ahead] = ()) -> _Plan:
        """`czxid`: of our place. `before` has led, these perhaps, and may have left no record."""
        (view, ended), session = known, place.session
        if view.unreadable is not None:  # whose it was is lost: the one's before us, or of whoever was last
            token = (czxid - 1 if before is None else before.stat.czxid) + view.record.token_base
            view = replace(view, record=replace(view.record, token=token))
        last, unfenced, settle = view.predecessor(ended), view.unfenced(ended), view.settle(ended)
        is_kept, base = view is not NOTHING, view.record.token_base
        if before is not None and is_unrecorded(view, before):
            last = unrecorded(before.data, before.stat.czxid + base)
            unfenced = newest((last, *unfenced))
        # Of those of ours nobody could say how long their work may be ending still.
        ours = [each for each in (before, *perhaps) if each is not None and each.is_ours]
        silent = [each.stat.czxid + base for each in ours if is_unrecorded(view, each)]
        record = self._succession.record(session, view, ended, czxid - 1, earlier=EARLIER)
        token = czxid + (record.token_base if is_kept else 0)
        record = replace(record, token=token, unfenced=newest(map(brief, unfenced)))
        if silent and is_kept:
            settle = max(settle, longest_grace(session))
            record = replace(record, owed_token=max(silent), owed_grace=settle)
        # How far our token is lifted nobody could know, should we die before this is written; nor, by some names, that it
        # was one of ours that led: who finds no record of that member then knows that it had not begun.
        is_lifted = record.token_base != view.record.token_base or view.unreadable is not None
        is_written_first = is_kept and (is_lifted or not place.tells_whose)
        accounting = Accounting(self._ground, place, record if is_kept else None)
        grant = SessionGrant(
            session,
            self._settings.clock,
            path=self._ground.path,
            node=place.path,
            node_version=ANY_VERSION,
            czxid=czxid,
            token=token,
            number=record.number if is_kept else None,
            predecessor=last,
            settle=settle,
            old_terms=OldTerms(self._ground, ended, unfenced),
            stop_grace=self._settings.grace_within(session.timeout),
            checks=[accounting.check],
            has_seat=False,
            no_transactions=None,
            acl=self._ground.acl,
            give_up=lambda grant: self._give_up(grant, accounting),
            guardian=self._guardian,
            last_will=accounting.will,
        )
        return _Plan(place, before, known, accounting, view.version, grant, is_written_first, session.hearing.trips)

    async def _begun(self, plan: _Plan, stake: Stake) -> SessionGrant:
        grant, settings = plan.grant, self._settings
        grant.stop_grace = settings.grace_within(grant.session.timeout)  # servers may have granted less meanwhile
        plan.place.heard = grant.node_event
        grant.begin(Leader(settings.identity, self._payload, grant.token, wall_time()), stake, is_watched=True)
        plan.accounting.foresee_end(grant)
        refusal = self._succession.refusal(grant.token)
        if refusal is not None:
            await grant.release()
            raise refusal
        if settings.fence is not None and len(grant.unfenced) == MOST_UNFENCED:
            log.warning("%s: %d terms to fence, and no more are remembered", self._ground.path, MOST_UNFENCED)
        return grant

    async def _known(self, session: ZooKeeperSession, heard: Ahead | None) -> Known | None:
        """What is known of the terms before, asking only where it was not heard. None: look again."""
        if not self._ground.keeps_record:
            return NOTHING, Ended()
        known = self._studied.after(heard) if heard is not None and self._studied is not None else None
        return known if known is not None else await self._read(session)

    async def _read(self, session: ZooKeeperSession) -> Known | None:
        """All that is written of the terms before; None: nothing may be, look again."""
        try:
            view = await Ledger(session, self._ground.names).read()
        except NoAuth as error:
            self._ground.do_without_record(error)
            return None
        if view is None:  # deleted by hand: what we know of who was before us is not to be lost with it
            await self._ground.prepare(session)
            return (LedgerView(Record(), 0, 0, Ended()), Ended()) if self._ground.keeps_record else None
        if view.unreadable is not None:
            await self._ground.keep_aside(session, view.unreadable)
        else:
            self._succession.saw_token(view.token)
        return view, view.ended
