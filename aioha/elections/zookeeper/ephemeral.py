"""The `ephemeral` layout: one ephemeral node at the path itself, and whoever creates it leads.

A takeover is one `multi`, all or nothing: create the leader's node, take the seat, write the record at the version
that was seen. The seat is held until the work has *ended*, so that nobody works beside old work when somebody deletes
the leader's node by hand. Every bid carries a look at the outcome behind it, on the same connection: the winner learns
its token from it, the losers what to wait for.

Two leaner forms hold the same election where others write to the path too (`layout="mooon"`) or where no record may be
kept: the node alone, created and set in one `multi`, so that its version tells ours from one made by hand.
"""

import asyncio
import contextlib
import logging
import random

from ...errors import SessionFailed, Unavailable
from ...host import finish
from ...record import Record
from ...session import ZooKeeperSession
from ...sessions import Sessions
from ...settings import Settings
from ...wire import requests
from ...wire.errors import BadVersion, NoAuth, NodeExists, NoNode, ResponseError
from ...wire.requests import Stat
from ..protocol import Grant, Leader
from .attention import Attention
from .grant import SessionGrant
from .leaving import OURS, leave, release
from .ledger import Ledger, LedgerView, Names, View, look
from .observer import Observer
from .znodes import PASSING, commit_something, ensure, explain_refusal, stat_or_none

__all__ = ["EphemeralElection"]

log = logging.getLogger("aioha")

LONGEST_YIELD = 1.0  # seconds that who resigned lets the others go first
YIELD_SHARE = 1 / 4  # of the session timeout: the same, for short sessions
LEARNING = 3  # round trips until the owner of a closed session knows: end of stream, connect, greeting
FIRST_LOOK_BOUND = 1.0  # seconds that entering may take beyond the connect
LEAVE_BOUND = 5.0  # seconds that the end waits for a removal once the session is closed
STUMBLE = 0.05  # seconds, jittered, after a connection was lost under a bid
LARGEST_RECORDED_DATA = 4096  # the record stays small; the leader's node has all of it
SEAT = 2  # place of the seat in the takeover; what comes from there on concerns the record


class EphemeralElection:
    """Implements `Election`; see the head of this file."""

    def __init__(self, path: str, settings: Settings, sessions: Sessions, *, owns_sessions: bool = True) -> None:
        self.path = path
        self._names = Names(path)
        self._settings = settings
        self._sessions = sessions
        self._owns_sessions = owns_sessions
        self._observer = Observer(self._names, settings, sessions)
        self._keeps_record = settings.record and settings.layout != "mooon"
        self._payload = settings.payload + (b"\0" if settings.layout == "mooon" else b"")
        self._past: set[int] = set()  # our nodes' zxids: a second term on one node would not raise the token
        self._highest = 0  # token that we have seen
        self._leaving: asyncio.Future[None] | None = None  # what of ours is being removed from the path
        self._unknown: tuple[int, LedgerView | None] | None = None  # session and view of a bid whose reply is not known

    @property
    def session(self) -> Sessions:
        return self._sessions

    async def open(self) -> None:
        self._sessions.claim(self.path)
        try:
            if self._owns_sessions:
                await self._sessions.open(self._settings.connect_timeout)
            if self._sessions.server is not None:
                self._settings.grace_within(self._sessions.timeout)
                with contextlib.suppress(Unavailable):
                    # A path that holds something else is refused before anybody campaigns.
                    await self._observer.leader(bound=FIRST_LOOK_BOUND)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        if self._owns_sessions:
            await self._sessions.close()
        if self._leaving is not None:
            await asyncio.wait({self._leaving}, timeout=LEAVE_BOUND)
        self._sessions.unclaim(self.path)

    async def leader(self) -> Leader | None:
        return await self._observer.leader()

    async def leader_after(self, last: Leader | None, *, first: bool) -> Leader | None:
        return await self._observer.leader_after(last, first=first)

    # ------------------------------------------------------------------ standing by

    async def win(self, *, yielding: bool = False) -> Grant:
        if self._leaving is not None:  # a former term of ours must be off the path before we bid again
            await asyncio.shield(self._leaving)
        yield_until = self._settings.clock() + self._yield_bound() if yielding else None
        while True:
            session = await self._sessions.live()
            try:
                with Attention(session) as attention:
                    granted = await self._stand_by(attention, yield_until)
            except BaseException:
                await self._withdraw(session)
                raise
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
            if view.node is not None:
                yield_until = None  # another leads: we have let the others go first
            if view.node is not None or view.seat_taken or yield_until is not None:
                yield_until = await self._wait(attention, yield_until)
                if not attention.fired and yield_until is None:
                    view = view if view.node is None and not view.seat_taken else None
        return None

    async def _step(self, attention: Attention, vacant: View | None) -> tuple[View | None, SessionGrant | None]:
        """Bid on what was seen vacant, or look. Returns what was seen, and the grant if we won."""
        session = attention.session
        try:
            if self._unknown is not None and self._unknown[0] == session.id:
                return await self._learn_outcome(attention)
            if vacant is not None:
                return await self._bid(attention, vacant)
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
        session = attention.session
        view = await look(session, self._names, keeps_record=self._keeps_record, on_event=attention.on_event)
        if self._keeps_record and view.ledger is None:
            await self._make_record(session)
            return None
        if view.node is not None and view.node.owner == session.id:
            await self._clear(session)
            return None
        return view

    def _yield_bound(self) -> float:
        return min(LONGEST_YIELD, self._sessions.timeout * YIELD_SHARE)

    # ------------------------------------------------------------------ bidding

    async def _bid(self, attention: Attention, view: View) -> tuple[View | None, SessionGrant | None]:
        """Try to take over what `view` showed vacant: one round trip, and one more that proves the lease."""
        session = attention.session
        heartbeat, connection = session.heartbeat, session.connection
        successor = self._successor(session, view.ledger)
        anchor = heartbeat.anchor()
        self._unknown = (session.id, view.ledger)  # until the reply is read we may own the node
        write = connection.send(requests.multi(*self._takeover(view.ledger, successor)))
        node = session.exists(self.path, attention.on_event)
        ledger = Ledger(session, self._names) if self._keeps_record else None
        failed = requests.failure(await heartbeat.prove(connection, anchor, write, self.path))
        after = View(await stat_or_none(node), await ledger.read() if ledger is not None else None)
        if failed is not None:
            self._unknown = None
            return await self._lost_bid(attention, failed, after), None
        if after.node is None or after.node.owner != session.id:
            await self._clear(session)  # deleted under our hands; what is left of ours would block the others
            self._unknown = None
            return None, None
        return None, await self._granted(session, after.node, view.ledger, after.ledger, successor)

    async def _lost_bid(self, attention: Attention, failed: tuple[int, ResponseError], after: View) -> View | None:
        """What to wait for now; None: look again. Raises what waiting would not mend."""
        (index, error), session = failed, attention.session
        if after.node is not None and after.node.owner == session.id:
            await self._clear(session)
            return None
        if index == SEAT and isinstance(error, NodeExists):  # the leader's node is gone; its work is still ending
            return await self._wait_for_seat(attention, after)
        if isinstance(error, NodeExists | BadVersion):
            return after if after.node is not None else None
        if isinstance(error, NoNode):  # parents or record are not there, or not any more
            await (self._make_record if self._keeps_record else self._make_parents)(session)
            return None
        if isinstance(error, NoAuth) and index >= SEAT:
            self._do_without_record(error)
            return None
        raise error

    async def _wait_for_seat(self, attention: Attention, after: View) -> View | None:
        session = attention.session
        seat = await stat_or_none(session.exists(self._names.seat, attention.on_event))
        if seat is None:
            return None
        if seat.owner == session.id:
            await self._clear(session)
            return None
        return View(None, after.ledger, seat_taken=True)

    async def _learn_outcome(self, attention: Attention) -> tuple[View | None, SessionGrant | None]:
        """The reply to a bid was lost. A read alone might be stale: a committed write first, then ask who owns it."""
        assert self._unknown is not None
        session, before = attention.session, self._unknown[1]
        await commit_something(session)
        view = await look(session, self._names, keeps_record=self._keeps_record, on_event=attention.on_event)
        node = view.node
        if node is None or node.owner != session.id or node.czxid in self._past:
            self._unknown = None
            return None, None
        successor = view.ledger.record if view.ledger is not None else None
        return None, await self._granted(session, node, before, view.ledger, successor)

    async def _granted(
        self,
        session: ZooKeeperSession,
        node: Stat,
        before: LedgerView | None,
        after: LedgerView | None,
        successor: Record | None,
    ) -> SessionGrant:
        token, floor = node.czxid + (successor.token_base if successor is not None else 0), self._settings.token_floor
        ended = after.ended if after is not None else 0
        grant = SessionGrant(
            session,
            self._settings.clock,
            path=self.path,
            czxid=node.czxid,
            leader=Leader(self._settings.identity, self._settings.payload, token, node.ctime),
            number=successor.number if successor is not None else None,
            predecessor=before.predecessor(ended) if before is not None else None,
            settle=before.settle(ended) if before is not None else 0.0,
            stop_grace=self._settings.grace_within(session.timeout),
            checks=[self._check(before)],
            has_seat=before is not None,
            give_up=self._give_up,
        )
        self._past.add(node.czxid)
        self._unknown = None
        if token <= max(self._highest, floor):
            await grant.release()
            raise SessionFailed(
                f"{self.path}: token {token} would not exceed {max(self._highest, floor)} (token_floor, or seen before: "
                f"was the servers' data set back?); allow a record, which lifts tokens"
            )
        self._highest = token
        return grant

    def _check(self, before: LedgerView | None) -> requests.Request:
        """Passes for this term only: a takeover moves the record on; without a record, nobody else's node is at 1."""
        if before is None:
            return requests.check(self.path, OURS)
        return requests.check(self._names.record, before.version + 1)

    def _successor(self, session: ZooKeeperSession, ledger: LedgerView | None) -> Record | None:
        if ledger is None:
            return None
        # Tokens must rise even where the servers' data was set back, or where the election moved here from elsewhere.
        base = max(ledger.record.token_base, self._settings.token_floor, max(self._highest, ledger.ended) - session.zxid)
        data = self._settings.payload if len(self._settings.payload) <= LARGEST_RECORDED_DATA else b""
        # How long our work may go on should a stranger close our session: we must first hear of it.
        grace = self._settings.grace_within(session.timeout) + session.round_trip * LEARNING
        return ledger.record.successor(self._settings.identity, data, grace, base)

    def _takeover(self, ledger: LedgerView | None, successor: Record | None) -> list[requests.Request]:
        acl = self._settings.acl
        operations = [
            requests.create(self.path, self._payload, ephemeral=True, acl=acl),
            requests.set_data(self.path, self._payload, 0),
        ]
        if ledger is not None and successor is not None:
            operations.append(requests.create(self._names.seat, self._settings.identity.encode(), ephemeral=True, acl=acl))
            operations.append(requests.set_data(self._names.record, successor.encode(), ledger.version))
        return operations

    # ------------------------------------------------------------------ leaving

    def _give_up(self, grant: SessionGrant) -> "asyncio.Future[None]":
        self._leaving = asyncio.ensure_future(self._remove(grant))
        return self._leaving

    async def _remove(self, grant: SessionGrant) -> None:
        record = self._keeps_record
        if grant.unsettled:
            await asyncio.sleep(grant.unsettled)
        try:
            if grant.ended is None:
                checks = grant.checks if record else []
                await release(grant.session, self._names, checks=checks, record=record, ended=grant.token)
            else:  # the path may be another's by now
                await leave(grant.session, self._names, record=record, ended=grant.token if record else None)
        except ResponseError as error:
            log.error(  # noqa: TRY400 - a diagnosis, no bug of ours
                "%s: term %d could not be released: %s", self.path, grant.token, error
            )

    async def _clear(self, session: ZooKeeperSession) -> None:
        """Remove what a bid or a term of ours has left, so that nobody waits for it. Raises `ResponseError`."""
        await leave(session, self._names, record=self._keeps_record)

    async def _withdraw(self, session: ZooKeeperSession) -> None:
        """We stand by no longer; a bid may have won. Bounded: while no server is attached it goes on behind us."""
        if self._unknown is not None and self._unknown[0] == session.id:
            self._leaving = asyncio.ensure_future(self._clear_quietly(session))
            await finish(self._leaving, session.timeout)
        self._unknown = None

    async def _clear_quietly(self, session: ZooKeeperSession) -> None:
        try:
            await self._clear(session)
        except ResponseError as error:
            log.error(  # noqa: TRY400 - a diagnosis, no bug of ours
                "%s: a bid of ours could not be withdrawn: %s", self.path, error
            )

    # ------------------------------------------------------------------ what must be there

    async def _make_parents(self, session: ZooKeeperSession) -> None:
        await ensure(session, self.path.rpartition("/")[0], self._settings.acl)

    async def _make_record(self, session: ZooKeeperSession) -> None:
        await self._make_parents(session)
        try:
            await ensure(session, self._names.ended, self._settings.acl)
        except NoAuth as error:
            self._do_without_record(error)

    def _do_without_record(self, error: ResponseError) -> None:
        self._keeps_record = False
        log.warning(
            "%s: no permission to keep a record at %s (%s): a plain race from now on, without term numbers, fenced "
            "transactions and the wait after an unclean end",
            self.path,
            self._names.record,
            error,
        )
