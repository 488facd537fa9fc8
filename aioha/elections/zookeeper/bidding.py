"""Bidding for an `ephemeral` election: one transaction that takes everything over or nothing, and what becomes of it.

What travels, and when, is a `Takeover`'s; here it is decided what it writes, and what its reply means. While that reply
is not known we may own the leader's node: nothing else is done before the outcome has been learnt.
"""

import asyncio
import logging
from collections.abc import Callable

from ...ended import MOST_UNFENCED, Ended
from ...guardian import facts
from ...guardian.guarded import Guardian
from ...record import Record
from ...session import ZooKeeperSession
from ...settings import Settings
from ...wire import requests
from ...wire.errors import BadVersion, NoAuth, NodeExists, NoNode, ResponseError
from ...wire.requests import Stat
from ..protocol import Leader
from .attention import Attention
from .grant import WORTH_STARTING, SessionGrant
from .ground import Ground
from .leaving import OURS, UNRECORDED
from .ledger import LedgerView, View, look, seat_data
from .oldterms import OldTerms
from .place import Place
from .succession import Succession
from .takeover import Takeover
from .trail import Trail
from .znodes import commit_something, stat_or_none

__all__ = ["BID_SHARE", "Bidder"]

log = logging.getLogger("aioha")

BID_SHARE = 1 / 16  # of the session timeout: what a bid may take, for a lease that is chosen when it is sent
SET = 1  # place of the first write to the node in the takeover: its result shows the node
SEAT = 2  # place of the seat in the takeover; what comes from there on concerns the record


class Bidder:
    """One candidate's bids. `give_up` begins the release of a term that a bid has won."""

    def __init__(
        self,
        ground: Ground,
        settings: Settings,
        give_up: Callable[[SessionGrant], "asyncio.Future[None]"],
        guardian: Guardian | None,
    ) -> None:
        self._ground = ground
        self._settings = settings
        self._give_up = give_up
        self._guardian = guardian
        self._payload = settings.payload + (b"\0" if settings.layout == "mooon" else b"")
        self._past: set[int] = set()  # our nodes' zxids: a second term on one node would not raise the token
        self.succession = Succession(ground, settings)
        self._prepared: Takeover | None = None
        self._unknown: Takeover | None = None  # whose reply is not known

    def is_uncertain(self, session: ZooKeeperSession) -> bool:
        """The reply to a bid on this session is not known."""
        return self._unknown is not None and self._unknown.session.id == session.id

    def awaits_reply(self, view: View | None) -> bool:
        """A bid on what was seen is on its way, and `bid` will learn its outcome from the reply."""
        takeover = self._prepared
        return takeover is not None and takeover.view is view and takeover.is_sent

    def forget(self) -> None:
        """Whatever the last bid won has been removed."""
        self._unknown = self._prepared = None

    def is_proved(self, session: ZooKeeperSession) -> bool:
        """Work could begin on the reply to a bid that is sent now."""
        anchor = session.heartbeat.anchor(enough=self._enough(session))
        return anchor is not None and not anchor.needs_relay

    def prepare(self, attention: Attention, view: View, place: Place) -> None:
        """Somebody else leads: have a bid ready, and send it in the tick in which we hear that the node is gone."""
        if view.ledger is None or view.ledger.unreadable is None:  # else what stands there must be kept aside first
            takeover = self._prepared = self._takeover(attention.session, view, place)
            attention.when_gone = lambda: self._send(takeover)

    def _send(self, takeover: Takeover) -> None:
        before, self._unknown = self._unknown, takeover
        try:
            takeover.send()  # until the reply is read we may own the node
        except BaseException:
            self._unknown = before
            raise

    async def bid(self, attention: Attention, view: View, place: Place) -> tuple[View | None, SessionGrant | None]:
        """Try to take over what `view` showed vacant, leaving our place in line: one round trip."""
        session, takeover = attention.session, self._prepared
        self._prepared = None  # the next time its reply is lost
        if takeover is None or takeover.view is not view:
            if view.ledger is not None and view.ledger.unreadable is not None:
                await self._ground.keep_aside(session, view.ledger.unreadable)
            takeover = self._takeover(session, view, place)
        if not takeover.is_sent:
            self._send(takeover)
        reply = await takeover.outcome()
        failed = requests.failure(reply)
        if failed is not None:
            self._unknown = None
            return await self._lost_bid(attention, failed, takeover), None
        node = requests.stat_of(reply.responses[SET])
        takeover.leave_line()
        return None, await self._granted(session, node, view, await takeover.ended(), takeover.successor)

    async def _lost_bid(self, attention: Attention, failed: tuple[int, ResponseError], takeover: Takeover) -> View | None:
        """What to wait for now; None: look again. Raises what waiting would not mend."""
        (index, error), session = failed, attention.session
        if takeover.has_lost_place(index, error):
            return None
        if takeover.must_keep_place(index, error):
            self._ground.do_without_line(error)
            return None
        after = await self._look(attention)
        if after.node is not None and after.node.owner == session.id:
            await self._ground.clear(session)
            return None
        if self._ground.keeps_record and after.ledger is None:  # deleted by hand: a bid without one would wait for nobody
            await self._ground.prepare(session)
            return None
        if index == SEAT and isinstance(error, NodeExists):  # the leader's node is gone; its work is still ending
            return await self._wait_for_seat(attention, after)
        if isinstance(error, NodeExists | BadVersion):
            return after if after.node is not None else None
        if isinstance(error, NoNode):  # parents or record are not there, or not any more
            await self._ground.prepare(session)
            return None
        if isinstance(error, NoAuth) and index >= SEAT:
            self._ground.do_without_record(error)
            return None
        raise error

    async def _wait_for_seat(self, attention: Attention, after: View) -> View | None:
        session = attention.session
        seat = await stat_or_none(session.exists(self._ground.names.seat, attention.on_event))
        if seat is None:
            return None
        if seat.owner == session.id:
            await self._ground.clear(session)
            return None
        return View(None, after.ledger, seat_taken=True)

    async def learn_outcome(self, attention: Attention) -> tuple[View | None, SessionGrant | None]:
        """The reply to a bid was lost. A read alone might be stale: a committed write first, then ask who owns it."""
        assert self._unknown is not None
        session, takeover = attention.session, self._unknown
        await commit_something(session)
        view = await self._look(attention)
        node = view.node
        if node is None or node.owner != session.id or node.czxid in self._past:
            await self._give_up_seat(session)
            self._unknown = None
            return None, None
        # Others may have written to the record since: what the takeover wrote is what it was.
        marks = view.ledger.ended if view.ledger is not None else Ended()
        takeover.leave_line()
        return None, await self._granted(session, node, takeover.view, marks, takeover.successor)

    async def _give_up_seat(self, session: ZooKeeperSession) -> None:
        """We have lost the bid; or won it, and the leader's node was deleted by hand: our seat would keep everybody out."""
        if self._ground.keeps_record:
            seat = await stat_or_none(session.send(requests.exists(self._ground.names.seat)))
            if seat is not None and seat.owner == session.id:
                await self._ground.clear(session)

    async def _look(self, attention: Attention) -> View:
        ground = self._ground
        return await look(attention.session, ground.names, keeps_record=ground.keeps_record, on_event=attention.on_event)

    async def _granted(
        self,
        session: ZooKeeperSession,
        node: Stat,
        view: View,
        ended: Ended,
        successor: Record | None,
    ) -> SessionGrant:
        before = view.ledger
        last = before.predecessor(ended) if before is not None else None
        old_terms = OldTerms(self._ground, ended, before.unfenced(ended) if before is not None else ())
        if self._ground.names.is_folder:
            base = successor.token_base if successor is not None else 0
            found = view.breadcrumb if self._leaves_breadcrumb(view) else None
            left, ours = old_terms.left, self._settings.payload
            old_terms = Trail(self._ground, ended, left, found, ours, base, keeps_record=before is not None)
            last = old_terms.last or last
        token = node.czxid + (successor.token_base if successor is not None else 0)
        grant = SessionGrant(
            session,
            self._settings.clock,
            path=self._ground.path,
            node=self._ground.names.leader,
            node_version=OURS if before is not None else UNRECORDED,
            czxid=node.czxid,
            token=token,
            number=successor.number if successor is not None else None,
            predecessor=last,
            settle=before.settle(ended) if before is not None else 0.0,
            old_terms=old_terms,
            stop_grace=self._settings.grace_within(session.timeout),
            checks=[self._check(before)],
            has_seat=before is not None,
            no_transactions=None if before is not None else self._ground.no_transactions,
            acl=self._ground.acl,
            give_up=self._give_up,
            guardian=self._guardian,
            last_will=self._will if before is not None else _no_will,
        )
        grant.begin(Leader(self._settings.identity, self._settings.payload, token, node.ctime))
        self._past.add(node.czxid)
        self._unknown = None
        refusal = self.succession.refusal(token)
        if refusal is not None:
            await grant.release()
            raise refusal
        if self._settings.fence is not None and len(grant.unfenced) == MOST_UNFENCED:
            log.warning("%s: %d terms to fence, and no more are remembered", self._ground.path, MOST_UNFENCED)
        return grant

    def _enough(self, session: ZooKeeperSession) -> float:
        """Seconds that the lease must reach beyond the sending of a bid, for the work to begin on its reply."""
        return self._settings.grace_within(session.timeout) + session.timeout * (WORTH_STARTING + BID_SHARE)

    def _will(self, grant: SessionGrant) -> "facts.Will":
        """The same as `leaving.release`, for our guardian."""
        names = self._ground.names
        checks, deletes = ((names.record, grant.checks[0].version),), ((names.leader, OURS), (names.seat, -1))
        trail = ((names.breadcrumb, -1),) if names.is_folder else ()
        return checks, (*deletes, *trail), ((names.ended, grant.ended_mark),)

    def _check(self, before: LedgerView | None) -> requests.Request:
        """Passes for this term only: a takeover moves the record on; without one, no node of a recorded term passes, and
        none that was made by others.
        """
        if before is None:
            return requests.check(self._ground.names.leader, UNRECORDED)
        return requests.check(self._ground.names.record, before.version + 1)

    def _takeover(self, session: ZooKeeperSession, view: View, place: Place) -> Takeover:
        ledger = view.ledger
        successor = self.succession.record(session, ledger, ledger.ended, session.zxid) if ledger is not None else None
        operations = [*self._operations(view.ledger, successor), *self._breadcrumb(view)]
        return Takeover(session, self._ground.names, view, successor, operations, place, self._enough(session))

    def _operations(self, ledger: LedgerView | None, successor: Record | None) -> list[requests.Request]:
        acl, names, path, data = self._ground.acl, self._ground.names, self._ground.names.leader, self._payload
        create = requests.create(path, data, ephemeral=True, acl=acl)
        if ledger is None or successor is None:
            return [create, requests.set_data(path, b"", 0), requests.set_data(path, data, OURS)]
        return [
            create,
            requests.set_data(path, data, 0),
            requests.create(names.seat, seat_data(successor, ledger.version + 1), ephemeral=True, acl=acl),
            requests.set_data(names.record, successor.encode(), ledger.version),
        ]

    def _leaves_breadcrumb(self, view: View) -> bool:
        """The breadcrumb is another's, who did not end cleanly: it stays until that one is fenced. Of whoever still leads it
        is hoped that it will.
        """
        found = view.breadcrumb
        return view.node is None and found is not None and found.data != self._settings.payload

    def _breadcrumb(self, view: View) -> list[requests.Request]:
        """What a takeover does about it, where the layout has one."""
        path, ours, found = self._ground.names.breadcrumb, self._settings.payload, view.breadcrumb
        if not self._ground.names.is_folder or self._leaves_breadcrumb(view):
            return []
        if found is None or view.node is not None:
            return [requests.create(path, ours, acl=self._ground.acl)]
        return [requests.set_data(path, ours, found.version)]


def _no_will(grant: SessionGrant) -> None:
    """Without a record nothing but a look could tell whose the path is: the session's end must do."""
