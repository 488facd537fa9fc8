"""Standing by in a queue: what to watch, and when it is certain that our turn has come.

A standby watches the member before it, and the one before that, so that it knows when nobody but the leader is ahead. Then
it proves its lease as a leader does, learns what the record says of the leader, and, when that one goes, leads on the event
alone, with no further round trip. Whatever it has not heard in order it looks up again: after a lost connection, when
somebody else leaves, and each session timeout in any case.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import Any

from ...heartbeat import Stake
from ...wire import requests
from ...wire.errors import NoAuth, NoNode, ResponseError
from .accounting import ANY_VERSION
from .dialects import Dialect
from .grant import WORTH_STARTING, SessionGrant
from .ground import Ground
from .lookout import Lookout
from .place import Place
from .queue_observer import insist_on
from .studied import Ahead
from .turn import Turn
from .znodes import PASSING, commit_something, explain_refusal, stat_or_none

__all__ = ["Standby"]

NEVER = float("inf")
UNKNOWN = -1
STUMBLE = 0.05  # seconds, jittered, after a lost connection
SETTLING = 0.05  # seconds until who has just begun to lead will have written the record


@dataclass(slots=True)
class _Line:
    """Who is ahead of us: how many, the one before us, and the one before that."""

    ahead: int
    before: Ahead | None = None
    further: Ahead | None = None


class Standby:
    """One wait in one queue, on one session."""

    def __init__(self, lookout: Lookout, place: Place, turn: Turn, ground: Ground, dialect: Dialect) -> None:
        self._lookout = lookout
        self._place = place
        place.heard = lookout.on_event
        self._turn = turn
        self._ground = ground
        self._dialect = dialect
        self._session = place.session
        self._stake: Stake | None = None

    async def wait(self) -> SessionGrant | None:
        """Until we lead; None: the session is dead. Raises `SessionFailed`, `LayoutMismatch`."""
        try:
            while not self._session.state.is_dead:
                try:
                    granted = await self._round()
                except (*PASSING, NoNode):  # NoNode: the path was deleted under our hands
                    await asyncio.sleep(random.uniform(0, STUMBLE))
                    with contextlib.suppress(*PASSING):
                        await self._session.attached()
                except ResponseError as error:
                    raise explain_refusal(error, self._ground.path, self._ground.identity) from error
                else:
                    if granted is not None:
                        self._stake = None  # it is the term's now
                        return granted
            return None
        finally:
            self._turn.forget(self._session)
            self._unstake()

    async def _round(self) -> SessionGrant | None:
        """Look at the line, and wait until our turn has come or we must look again (None)."""
        self._lookout.reset()
        self._turn.forget(self._session)
        if self._place.name is None:
            await self._turn.prepare(self._session, self._refuse_strangers)
            await self._place.join()
        line = await self._look() if self._place.name is not None else None
        if line is None:
            return None
        if line.before is None:
            return await self._turn.lead(self._place, self._proving())
        self._turn.forerunners.saw(line.ahead, [each for each in (line.further, line.before) if each is not None])
        if not await self._has_come(line, line.before):
            return None
        return await self._turn.lead(self._place, self._proving(), line.before)

    async def _has_come(self, line: _Line, before: Ahead) -> bool:
        """Wait until the leader has gone, being the only one ahead; False: look again."""
        lookout, now = self._lookout, self._turn.now
        study_at, look_at = (self._next_in_line() if line.ahead == 1 else NEVER), now() + self._session.timeout
        while now() < look_at:
            await lookout.wait(max(min(study_at, look_at) - now(), 0.0))
            is_nearer = self._is_nearer(line, before)
            if lookout.moved or lookout.has_changed(self._place.path):
                return False
            if lookout.has_changed(before.path):
                return line.ahead == 1 and lookout.has_gone(before.path)
            if line.further is not None and lookout.has_changed(line.further.path):
                return False
            if is_nearer:
                study_at = self._next_in_line()
            if now() >= study_at:
                study_at = NEVER
                await self._turn.study(self._session, lookout.wake)
                if line.ahead == UNKNOWN:
                    if not self._turn.is_of(before):
                        return False
                    line.ahead = 1
                    self._turn.forerunners.leads(before)
                self._turn.foresee(self._place, before)
            elif self._turn.has_news:
                study_at = now()
        return False

    def _is_nearer(self, line: _Line, before: Ahead) -> bool:
        """Whether the one before `before` has gone, which may lead now. Nobody leads while another is ahead of it."""
        further, forerunners = line.further, self._turn.forerunners
        if further is None or not (self._lookout.has_gone(before.path) or self._lookout.has_gone(further.path)):
            return False
        if self._lookout.went_first(before.path, further.path):
            forerunners.withdrew(before)
            return False
        # With more ahead than these two the record must say that `before` leads: they may have gone unheard of.
        line.ahead, line.further = 1 if line.ahead == 2 else UNKNOWN, None
        if line.ahead == 1:
            forerunners.leads(before)
        return True

    def _next_in_line(self) -> float:
        """Nobody but the leader is ahead any more. Returns when to read what it has written."""
        self._proving()
        return self._turn.now() + SETTLING

    async def _look(self) -> _Line | None:
        """Who is ahead of us; None: look again."""
        session, lookout, place, path = self._session, self._lookout, self._place, self._ground.path
        children = await self._members()
        if children is None:  # most often the server is behind, and does not know of our node yet
            await commit_something(session)
            children = await self._members()
        if children is None or place.name is None:  # deleted by hand: join again
            self._unstake()
            place.renew()
            return None
        members = self._dialect.in_order(children)
        ahead = members[: members.index(place.name)]
        if not ahead:
            return _Line(0)
        paths = [f"{path}/{name}" for name in ahead[-2:]]
        watched = [session.watching(requests.get(each, watch=True), lookout.on_event) for each in paths]
        try:
            seen = [await self._member(each, reply) for each, reply in zip(paths, watched, strict=True)]
        except NoNode:
            return None
        for each in seen:
            if each.stat.owner == session.id:  # a place of ours that could not be left: it would hold up the line for good
                await session.send(requests.delete(each.path))
                return None
        return _Line(len(ahead), seen[-1], seen[0] if len(ahead) > 1 else None)

    async def _member(self, path: str, reply: "asyncio.Future[Any]") -> Ahead:
        """One that is ahead of us; what it says of itself may not be for us to read. Raises `NoNode`."""
        try:
            got = await asyncio.shield(reply)
        except NoAuth:
            got = await self._session.exists(path, self._lookout.on_event)
        return Ahead(
            path, requests.stat_of(got), getattr(got, "data", None) or b"", self._dialect.is_ours(path.rpartition("/")[2])
        )

    async def _refuse_strangers(self) -> None:
        with contextlib.suppress(NoNode):
            children: list[str] = (await self._session.send(requests.children(self._ground.path))).children
            insist_on(self._dialect, self._ground.path, children)

    async def _members(self) -> list[str] | None:
        """What is below the path, our own node too; None: that is not there."""
        session, place = self._session, self._place
        listed = session.send(requests.children(self._ground.path))
        owned = None if place.is_watched else session.exists(place.path, place.on_event)
        place.is_watched = True  # until something is heard of it, be it in front of our reading of the reply
        try:
            try:
                children: list[str] = (await asyncio.shield(listed)).children
            except NoNode:
                children = []
            stat = await stat_or_none(owned) if owned is not None else None
        except BaseException:
            place.is_watched = place.is_watched and owned is None
            raise
        if owned is not None:
            if stat is None or stat.owner != session.id:
                place.is_watched = False
                return None
            place.czxid = stat.czxid
        return children if place.name in children else None

    def _proving(self) -> Stake:
        """From now on our lease is proved as a leader's is: we may have to lead on an event."""
        if self._stake is None:
            checks = [requests.check(self._place.path, ANY_VERSION)]
            self._stake = Stake(self._ground.path, checks, lambda _: self._lookout.doubt())
            heartbeat = self._session.heartbeat
            enough = self._session.timeout * WORTH_STARTING + heartbeat.pace  # until the next one, at the latest
            heartbeat.hold(self._stake, at_once=not self._turn.reaches(self._session, enough))
        return self._stake

    def _unstake(self) -> None:
        if self._stake is not None:
            self._session.heartbeat.drop(self._stake)
            self._stake = None
