"""The `ephemeral` layout: one ephemeral node at the path itself, and whoever creates it leads.

A takeover is one `multi`, all or nothing: create the leader's node, take the seat, write the record at the version
that was seen. The seat is held until the work has *ended*, so that nobody works beside old work when somebody deletes
the leader's node by hand. `bidding` makes such bids; this file decides when: what a standby waits for, how who has
resigned lets the others go first, and that nothing of ours stays on the path when we leave.

Two leaner forms hold the same election where others write to the path too (`layout="mooon"`) or where no record may be
kept: the node alone, created and set in one `multi`, so that its version tells ours from one made by hand.
"""

import asyncio
import contextlib
import logging
import random

from ...errors import ElectionError
from ...host import finish
from ...session import ZooKeeperSession
from ...sessions import Sessions
from ...settings import Settings
from ...wire.errors import ResponseError
from ..protocol import Grant
from .attention import Attention
from .bidding import Bidder
from .election import ZooKeeperElection
from .grant import SessionGrant
from .ground import Ground
from .leaving import leave, release
from .ledger import View, look
from .observer import Observer
from .znodes import PASSING, explain_refusal

__all__ = ["EphemeralElection"]

log = logging.getLogger("aioha")

LONGEST_YIELD = 1.0  # seconds that who resigned lets the others go first
YIELD_SHARE = 1 / 4  # of the session timeout: the same, for short sessions
TAKING_OVER = 0.05  # seconds in which who has resigned does not even look: the others are at it
STUMBLE = 0.05  # seconds, jittered, after a connection was lost under a bid


class EphemeralElection(ZooKeeperElection):
    """Implements `Election`; see the head of this file."""

    def __init__(self, path: str, settings: Settings, sessions: Sessions, *, owns_sessions: bool = True) -> None:
        ground = Ground(path, settings)
        super().__init__(ground, settings, sessions, Observer(ground.names, settings, sessions), owns=owns_sessions)
        self._bidder = Bidder(ground, settings, self._give_up, sessions.guardian)

    # ------------------------------------------------------------------ standing by

    async def win(self, *, yielding: bool = False) -> Grant:
        if self._leaving is not None:  # a former term of ours must be off the path before we bid again
            await asyncio.shield(self._leaving)
        self._ground.begin()
        yield_until = self._settings.clock() + self._yield_bound() if yielding else None
        if yielding:
            await asyncio.sleep(min(TAKING_OVER, self._yield_bound()))
        while True:
            session = await self._sessions.live()
            stand_down = session.heartbeat.stand_ready(self.path)
            try:
                with Attention(session) as attention:
                    granted = await self._stand_by(attention, yield_until)
            except BaseException:
                await self._withdraw(session)
                raise
            finally:
                stand_down()
            if granted is not None:
                return granted

    async def _stand_by(self, attention: Attention, yield_until: float | None) -> SessionGrant | None:
        """On one session, until we win or it is dead (None)."""
        view: View | None = None
        while not attention.session.state.is_dead:
            vacant = view is not None and (view.node is None or attention.fired)
            attention.reset()
            view, granted = await self._step(attention, view if vacant and yield_until is None else None)
            if granted is not None:
                return granted
            if view is None:
                continue  # something moved under our hands: look again at once
            self._bidder.succession.saw(view)
            if view.node is not None or (view.ledger is not None and view.ledger.token > self._bidder.succession.highest):
                yield_until = None  # another leads, or has led meanwhile: we have let the others go first
            if view.node is not None or view.seat_taken or yield_until is not None:
                if view.node is not None and not attention.fired:
                    self._bidder.prepare(attention, view)
                yield_until = await self._wait(attention, yield_until)
                if not attention.fired and yield_until is None:
                    view = view if view.node is None and not view.seat_taken else None
        return None

    async def _step(self, attention: Attention, vacant: View | None) -> tuple[View | None, SessionGrant | None]:
        """Bid on what was seen vacant, or look. Returns what was seen, and the grant if we won."""
        session = attention.session
        try:
            if self._bidder.is_uncertain(session) and not self._bidder.awaits_reply(vacant):
                return await self._bidder.learn_outcome(attention)
            if vacant is not None:
                return await self._bidder.bid(attention, vacant)
            return await self._look(attention), None
        except PASSING:
            await asyncio.sleep(random.uniform(0, STUMBLE))
            with contextlib.suppress(*PASSING):
                await session.attached()
            return None, None
        except ResponseError as error:
            raise explain_refusal(error, self.path, self._settings.identity) from error

    async def _wait(self, attention: Attention, yield_until: float | None) -> float | None:
        """Until something happens. Returns until when we yield, if we still do."""
        bound, now = attention.session.timeout, self._settings.clock
        if yield_until is not None:
            bound = min(bound, max(yield_until - now(), 0.0))
        await attention.wait(bound)
        return yield_until if yield_until is not None and now() < yield_until else None

    async def _look(self, attention: Attention) -> View | None:
        session, ground = attention.session, self._ground
        view = await look(session, ground.names, keeps_record=ground.keeps_record, on_event=attention.on_event)
        if ground.keeps_record and view.ledger is None:
            await ground.prepare(session)
            return None
        if view.node is not None and view.node.owner == session.id:
            await ground.clear(session)
            return None
        return view

    def _yield_bound(self) -> float:
        return min(LONGEST_YIELD, self._sessions.timeout * YIELD_SHARE)

    # ------------------------------------------------------------------ leaving

    def _give_up(self, grant: SessionGrant) -> "asyncio.Future[None]":
        self._leaving = asyncio.ensure_future(self._remove(grant))
        return self._leaving

    async def _remove(self, grant: SessionGrant) -> None:
        names, record, acl = self._ground.names, self._ground.keeps_record, self._ground.acl
        if grant.unsettled:
            await asyncio.sleep(grant.unsettled)
        try:
            if grant.ended is None and record:
                await release(grant.session, names, checks=grant.checks, ended=grant.ended_mark, acl=acl)
            else:  # the path may be another's by now, and without a record nothing but a look could tell
                await leave(grant.session, names, record=record, ended=grant.ended_mark if record else None, acl=acl)
        except ResponseError as error:
            log.error(  # noqa: TRY400 - a diagnosis, no bug of ours
                "%s: term %d could not be released: %s", self.path, grant.token, error
            )

    async def _withdraw(self, session: ZooKeeperSession) -> None:
        """We stand by no longer; a bid may have won. Bounded: while no server is attached it goes on behind us."""
        if self._bidder.is_uncertain(session):
            self._leaving = asyncio.ensure_future(self._give_back(session))
            await finish(self._leaving, session.timeout)
        else:
            self._bidder.forget()

    async def _give_back(self, session: ZooKeeperSession) -> None:
        """Learn whether the bid has won, and end that term as cleanly as any: it has not worked, so it is not to be
        waited for, let alone fenced.
        """
        try:
            with Attention(session) as attention:
                while self._bidder.is_uncertain(session) and not session.state.is_dead:
                    try:
                        await session.attached()
                        _, won = await self._bidder.learn_outcome(attention)
                    except PASSING:
                        await asyncio.sleep(random.uniform(0, STUMBLE))
                    else:
                        if won is not None:
                            await won.release()
        except (ResponseError, ElectionError):  # it cannot be learnt: then be gone, at least
            await self._clear_quietly(session)
        finally:
            self._bidder.forget()

    async def _clear_quietly(self, session: ZooKeeperSession) -> None:
        try:
            await self._ground.clear(session)
        except ResponseError as error:
            log.error(  # noqa: TRY400 - a diagnosis, no bug of ours
                "%s: a bid of ours could not be withdrawn: %s", self.path, error
            )
