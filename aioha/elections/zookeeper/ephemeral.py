"""The `ephemeral` layout: one ephemeral node at the path itself, and whoever creates it leads.

A takeover is one `multi`, all or nothing: create the leader's node, take the seat, write the record at the version
that was seen. The seat is held until the work has *ended*, so that nobody works beside old work when somebody deletes
the leader's node by hand. `bidding` makes such bids, `race` decides when, and `line` who is next; this file holds them
together, and sees to it that nothing of ours stays on the path when we leave.

Two leaner forms hold the same election where others write to the path too (`layout="mooon"`) or where no record may be
kept: the node alone, created and set in one `multi`, so that its version tells ours from one made by hand.
"""

import asyncio
import logging
import random
from typing import Any

from ...errors import ElectionError, SessionFailed
from ...host import finish
from ...session import ZooKeeperSession
from ...sessions import Sessions
from ...settings import Settings
from ...wire.errors import ResponseError
from ..protocol import Grant
from .attention import Attention
from .bidding import Bidder
from .election import TAKING_OVER, ZooKeeperElection
from .ephemeral_observer import EphemeralObserver
from .grant import SessionGrant
from .ground import Ground
from .leaving import leave, released, send_release
from .line import Line
from .place import Place
from .race import Race
from .znodes import PASSING

__all__ = ["EphemeralElection"]

log = logging.getLogger("aioha")

LONGEST_YIELD = 1.0  # seconds that who resigned lets the others go first
YIELD_SHARE = 1 / 4  # of the session timeout: the same, for short sessions
STUMBLE = 0.05  # seconds, jittered, after a connection was lost under a bid


class EphemeralElection(ZooKeeperElection):
    """Implements `Election`; see the head of this file."""

    def __init__(self, path: str, settings: Settings, sessions: Sessions, *, owns_sessions: bool = True) -> None:
        ground = Ground(path, settings)
        observer = EphemeralObserver(ground.names, settings, sessions)
        super().__init__(ground, settings, sessions, observer, owns=owns_sessions)
        self._bidder = Bidder(ground, settings, self._give_up, sessions.guardian)
        self._front: int | None = None  # the place from which we took over last

    async def win(self, *, yielding: bool = False) -> Grant:
        if self._leaving is not None:  # a former term of ours must be off the path before we bid again
            await asyncio.shield(self._leaving)
        ground, settings = self._ground, self._settings
        if settings.layout == "hadoop" and settings.fence is None:
            raise SessionFailed(
                f"{self.path}: whoever leads in layout=hadoop must fence the one whose breadcrumb it finds: give the "
                f"elector fence= (docs/moving.md)"
            )
        ground.begin()
        yield_until = settings.clock() + self._yield_bound() if yielding else None
        if yielding:
            await asyncio.sleep(min(TAKING_OVER, self._yield_bound()))
        while True:
            session = await self._sessions.live()
            attention = Attention(session)
            line = Line(attention, ground, settings, self._front)
            try:
                with attention, line:  # no longer: what is heard while we withdraw would send the bid that is ready
                    granted = await Race(attention, line, self._bidder, ground, settings, yield_until).run()
                    self._front = line.front
            except BaseException:
                await self._withdraw(session, line.place)
                raise
            if granted is not None:
                return granted

    def _yield_bound(self) -> float:
        return min(LONGEST_YIELD, self._sessions.timeout * YIELD_SHARE)

    # ------------------------------------------------------------------ leaving

    def _give_up(self, grant: SessionGrant) -> "asyncio.Future[None]":
        # The path may be another's by now, or nothing but a look could tell; else it is one round trip, and begins at once.
        stands = grant.ended is None and self._ground.keeps_record
        sent = self._send_release(grant) if stands and not grant.unsettled else None
        self._leaving = asyncio.ensure_future(self._remove(grant, sent, stands=stands))
        return self._leaving

    def _send_release(self, grant: SessionGrant) -> "asyncio.Future[Any] | None":
        names, closing = self._ground.names, grant.closing()
        return send_release(grant.session, names, checks=grant.checks, ended=grant.ended_mark, closing=closing)

    async def _remove(self, grant: SessionGrant, sent: "asyncio.Future[Any] | None", *, stands: bool) -> None:
        names, record, acl = self._ground.names, self._ground.keeps_record, self._ground.acl
        if grant.unsettled:
            await asyncio.sleep(grant.unsettled)
            sent = self._send_release(grant) if stands and grant.ended is None else None
        try:
            if not await released(sent):
                mark, ours = grant.ended_mark if record else None, self._settings.payload
                await leave(grant.session, names, record=record, ended=mark, breadcrumb=ours, acl=acl)
        except ResponseError as error:
            log.error(  # noqa: TRY400 - a diagnosis, no bug of ours
                "%s: term %d could not be released: %s", self.path, grant.token, error
            )

    async def _withdraw(self, session: ZooKeeperSession, place: Place) -> None:
        """We stand by no longer; a bid may have won. Bounded: while no server is attached it goes on behind us."""
        if self._bidder.is_uncertain(session) or place.may_be_there:
            self._leaving = asyncio.ensure_future(self._give_back(session, place))
            await finish(self._leaving, session.timeout)
        else:
            self._bidder.forget()

    async def _give_back(self, session: ZooKeeperSession, place: Place) -> None:
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
                            releasing = won.release()
                            self._leaving = asyncio.current_task()  # there is more to do than that
                            await releasing
        except (ResponseError, ElectionError):  # it cannot be learnt: then be gone, at least
            await self._clear_quietly(session)
        finally:
            self._bidder.forget()
        await place.leave_quietly()

    async def _clear_quietly(self, session: ZooKeeperSession) -> None:
        try:
            await self._ground.clear(session)
        except ResponseError as error:
            log.error(  # noqa: TRY400 - a diagnosis, no bug of ours
                "%s: a bid of ours could not be withdrawn: %s", self.path, error
            )
