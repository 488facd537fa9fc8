"""Planted bugs of standing by and taking over: bids, what becomes of them, and the watch on who leads."""

import asyncio
from dataclasses import replace
from typing import Any

from aioha.elections.zookeeper.attention import Attention
from aioha.elections.zookeeper.bidding import SEAT, Bidder
from aioha.elections.zookeeper.ephemeral import EphemeralElection
from aioha.elections.zookeeper.grant import SessionGrant
from aioha.elections.zookeeper.ledger import LedgerView, View
from aioha.elections.zookeeper.race import Race
from aioha.elections.zookeeper.takeover import Takeover
from aioha.ended import Ended
from aioha.record import Record
from aioha.session import ZooKeeperSession
from aioha.wire import requests
from aioha.wire.connection import Connection
from aioha.wire.errors import NodeExists, ResponseError
from aioha.wire.watches import OnEvent

from .mutant import Change, Mutant

__all__ = ["TAKEOVERS"]

_lost_bid, _look, _step, _give_up = (
    Bidder._lost_bid,
    Race._look_at_leader,
    Race._step,
    EphemeralElection._give_up,
)
_wait, _operations, _granted = Attention.wait, Bidder._operations, Bidder._granted


# ---------------------------------------------------------------------- after a lost reply


async def _bid_again(self: Bidder, attention: Attention) -> tuple[View | None, SessionGrant | None]:
    assert self._unknown is not None
    takeover, self._unknown = self._unknown, None
    return await self.bid(attention, takeover.view, takeover._place)


async def _somebody_leads(
    self: Bidder, attention: Attention, failed: tuple[int, ResponseError], takeover: Takeover
) -> View | None:
    """Who it is, nobody asks."""
    if isinstance(failed[1], NodeExists):
        return await self._look(attention)
    return await _lost_bid(self, attention, failed, takeover)


async def _look_for_anybody(self: Race, on_event: OnEvent | None) -> View | None:
    view = await self._bidder._look(self._attention)
    return view if view.node is not None else await _look(self, on_event)


# ---------------------------------------------------------------------- watches


def _arm_nothing(self: ZooKeeperSession, connection: Connection) -> None:
    self._unseen_since = None


def _heedless(self: Attention) -> None:
    """Of the session's changes; its death is heard of by the watches."""


async def _without_a_net(self: Attention, bound: float) -> bool:
    return await _wait(self, bound if bound < self.session.timeout else float("inf"))


# ---------------------------------------------------------------------- a node of ours


def _keep_the_node(self: EphemeralElection, grant: SessionGrant) -> "asyncio.Future[None]":
    if grant.ended is not None or grant.usable > 0:
        return _give_up(self, grant)
    self._leaving = asyncio.get_running_loop().create_future()
    self._leaving.set_result(None)
    return self._leaving


async def _lead_on_it_again(self: Race, vacant: View | None) -> tuple[View | None, SessionGrant | None]:
    view, granted = await _step(self, vacant)
    if view is None or view.node is None or view.node.owner != self._session.id:
        return view, granted
    ledger = view.ledger
    before = None if ledger is None else replace(ledger, version=ledger.version - 1)
    self._bidder.succession.highest = 0
    successor = None if ledger is None else ledger.record
    seen = replace(view, ledger=before)
    return None, await self._bidder._granted(self._session, view.node, seen, Ended(), successor)


# ---------------------------------------------------------------------- what a takeover writes


def _at_any_version(self: Bidder, ledger: LedgerView | None, successor: Record | None) -> list[requests.Request]:
    operations = _operations(self, ledger, successor)
    if successor is not None:
        operations[-1] = requests.set_data(self._ground.names.record, successor.encode())
    return operations


def _without_a_seat(self: Bidder, ledger: LedgerView | None, successor: Record | None) -> list[requests.Request]:
    operations = _operations(self, ledger, successor)
    return operations[:SEAT] + operations[SEAT + 1 :]


async def _numbered(self: Bidder, *args: Any) -> SessionGrant:
    grant = await _granted(self, *args)
    grant.token = grant.token if grant.number is None else grant.number
    return grant


TAKEOVERS = (
    Mutant(
        "blind-retry",
        "a bid whose reply was lost is sent again, and a node that exists is somebody else's",
        ("I4",),
        (
            Change(Bidder, "learn_outcome", _bid_again),
            Change(Bidder, "_lost_bid", _somebody_leads),
            Change(Race, "_look_at_leader", _look_for_anybody),
        ),
    ),
    Mutant(
        "watch-not-armed-again",
        "watches are not set again after a reconnect, and nobody looks again then, or now and then",
        ("I4",),
        (
            Change(ZooKeeperSession, "_set_watches", _arm_nothing),
            Change(Attention, "wait", _without_a_net),
            Change(Attention, "_session_changed", _heedless),
        ),
    ),
    Mutant(
        "second-term-on-one-node",
        "a term whose lease is over leaves its node, and the next campaign takes it for elected",
        ("I2",),
        (
            Change(EphemeralElection, "_give_up", _keep_the_node),
            Change(Race, "_look_at_leader", _look_for_anybody),
            Change(Race, "_step", _lead_on_it_again),
        ),
    ),
    Mutant(
        "any-version",
        "a takeover does not check the record's version",
        ("I8", "I1"),
        (Change(Bidder, "_operations", _at_any_version),),
    ),
    Mutant(
        "no-seat",
        "nobody takes the seat: a leader's node that is deleted by hand is taken over while the work still ends",
        ("I1",),
        (Change(Bidder, "_operations", _without_a_seat),),
    ),
    Mutant(
        "token-is-a-number",
        "the token is the term's number, which starts anew with the record, and not the takeover's zxid",
        ("I2",),
        (Change(Bidder, "_granted", _numbered),),
    ),
)
