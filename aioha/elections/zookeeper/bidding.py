"""Bidding for an `ephemeral` election: one transaction that takes everything over or nothing, and what becomes of it.

Behind each bid, on the same connection, travels a look at its outcome: the winner learns its token from it, the losers
what to wait for. While the reply to a bid is not known we may own the leader's node: nothing else is done before the
outcome has been learnt.
"""

import asyncio
from collections.abc import Callable

from ...errors import SessionFailed
from ...record import Record
from ...session import ZooKeeperSession
from ...settings import Settings
from ...wire import requests
from ...wire.errors import BadVersion, NoAuth, NodeExists, NoNode, ResponseError
from ...wire.requests import Stat
from ..protocol import Leader
from .attention import Attention
from .grant import SessionGrant
from .ground import Ground
from .leaving import OURS
from .ledger import Ledger, LedgerView, View, look
from .znodes import commit_something, stat_or_none

__all__ = ["Bidder"]

LARGEST_RECORDED_DATA = 4096  # the record stays small; the leader's node has all of it
LEARNING = 3  # round trips until the owner of a closed session knows: end of stream, connect, greeting
SEAT = 2  # place of the seat in the takeover; what comes from there on concerns the record


class Bidder:
    """One candidate's bids. `give_up` begins the release of a term that a bid has won."""

    def __init__(
        self, ground: Ground, settings: Settings, give_up: Callable[[SessionGrant], "asyncio.Future[None]"]
    ) -> None:
        self._ground = ground
        self._settings = settings
        self._give_up = give_up
        self._payload = settings.payload + (b"\0" if settings.layout == "mooon" else b"")
        self._past: set[int] = set()  # our nodes' zxids: a second term on one node would not raise the token
        self._highest = 0  # token that we have seen
        self._unknown: tuple[int, LedgerView | None] | None = None  # session and view of a bid whose reply is not known

    def is_uncertain(self, session: ZooKeeperSession) -> bool:
        """The reply to a bid on this session is not known."""
        return self._unknown is not None and self._unknown[0] == session.id

    def forget(self) -> None:
        """Whatever the last bid won has been removed."""
        self._unknown = None

    async def bid(self, attention: Attention, view: View) -> tuple[View | None, SessionGrant | None]:
        """Try to take over what `view` showed vacant: one round trip, and one more that proves the lease."""
        session = attention.session
        heartbeat, connection = session.heartbeat, session.connection
        successor = self._successor(session, view.ledger)
        anchor = heartbeat.anchor()
        self._unknown = (session.id, view.ledger)  # until the reply is read we may own the node
        write = connection.send(requests.multi(*self._takeover(view.ledger, successor)))
        node = session.exists(self._ground.path, attention.on_event)
        ledger = Ledger(session, self._ground.names) if self._ground.keeps_record else None
        failed = requests.failure(await heartbeat.prove(connection, anchor, write, self._ground.path))
        after = View(await stat_or_none(node), await ledger.read() if ledger is not None else None)
        if failed is not None:
            self._unknown = None
            return await self._lost_bid(attention, failed, after), None
        if after.node is None or after.node.owner != session.id:
            await self._ground.clear(session)  # deleted under our hands; what is left of ours would block the others
            self._unknown = None
            return None, None
        return None, await self._granted(session, after.node, view.ledger, after.ledger, successor)

    async def _lost_bid(self, attention: Attention, failed: tuple[int, ResponseError], after: View) -> View | None:
        """What to wait for now; None: look again. Raises what waiting would not mend."""
        (index, error), session = failed, attention.session
        if after.node is not None and after.node.owner == session.id:
            await self._ground.clear(session)
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
        session, before = attention.session, self._unknown[1]
        await commit_something(session)
        view = await look(session, self._ground.names, keeps_record=self._ground.keeps_record, on_event=attention.on_event)
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
        token = node.czxid + (successor.token_base if successor is not None else 0)
        floor = max(self._highest, self._settings.token_floor)
        ended = after.ended if after is not None else 0
        grant = SessionGrant(
            session,
            self._settings.clock,
            path=self._ground.path,
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
        if token <= floor:
            await grant.release()
            raise SessionFailed(
                f"{self._ground.path}: token {token} would not exceed {floor} (token_floor, or seen before: was the "
                f"servers' data set back?); allow a record, which lifts tokens"
            )
        self._highest = token
        return grant

    def _check(self, before: LedgerView | None) -> requests.Request:
        """Passes for this term only: a takeover moves the record on; without a record, nobody else's node is at 1."""
        if before is None:
            return requests.check(self._ground.path, OURS)
        return requests.check(self._ground.names.record, before.version + 1)

    def _successor(self, session: ZooKeeperSession, ledger: LedgerView | None) -> Record | None:
        if ledger is None:
            return None
        # Tokens must rise even where the servers' data was set back, or where the election moved here from elsewhere.
        base = max(ledger.record.token_base, self._settings.token_floor, max(self._highest, ledger.ended) - session.zxid)
        data = self._settings.payload if len(self._settings.payload) <= LARGEST_RECORDED_DATA else b""
        # How long our work may go on should a stranger close our session: we must first hear of it.
        grace = self._settings.grace_within(session.timeout) + session.round_trip * LEARNING
        # Who comes after us may have to wait for work before ours, should we end before we have waited for it.
        owed = (ledger.token, ledger.settle(ledger.ended))
        return ledger.record.successor(self._settings.identity, data, grace, base, owed)

    def _takeover(self, ledger: LedgerView | None, successor: Record | None) -> list[requests.Request]:
        acl, names = self._ground.acl, self._ground.names
        operations = [
            requests.create(self._ground.path, self._payload, ephemeral=True, acl=acl),
            requests.set_data(self._ground.path, self._payload, 0),
        ]
        if ledger is not None and successor is not None:
            operations.append(requests.create(names.seat, self._settings.identity.encode(), ephemeral=True, acl=acl))
            operations.append(requests.set_data(names.record, successor.encode(), ledger.version))
        return operations
