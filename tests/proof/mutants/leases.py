"""Planted bugs of the lease: believed too long, or not asked for. See `aioha.lease` for what is right."""

import asyncio
from dataclasses import replace
from typing import Any, cast

from aioha.elections import Grant
from aioha.elections.zookeeper.grant import SessionGrant
from aioha.heartbeat import Heartbeat
from aioha.lease import Anchor, Lease
from aioha.tenure import Tenure
from aioha.wire import requests
from aioha.wire.connection import Connection

from .mutant import Change, Mutant

__all__ = ["LEASES"]

_acknowledged, _attached, _anchor, _prove = Lease.acknowledged, Lease.attached, Lease.anchor, Heartbeat.prove
_init = Tenure.__init__


# ---------------------------------------------------------------------- ping lease


def _every_reply_proves(self: Lease, sent: float, replied: float) -> None:
    self._prove(sent)


async def _only_ping(self: Heartbeat, connection: Connection) -> None:
    await connection.send(requests.ping())


# ---------------------------------------------------------------------- times


def _count_from_the_reply(self: Lease, sent: float, replied: float) -> None:
    _acknowledged(self, replied, replied)


async def _proved_from_now(
    self: Heartbeat, connection: Connection, anchor: Anchor | None, write: "asyncio.Future[Any]", path: str
) -> Any:
    reply = await _prove(self, connection, anchor, write, path)
    if anchor is not None and requests.failure(reply) is None and connection.lost is None:
        self._lease.proved(Anchor(self._clock(), needs_relay=False))
    return reply


def _without_relay(self: Lease, now: float, *, enough: float = float("inf")) -> Anchor | None:
    anchor = _anchor(self, now, enough=enough)
    return None if anchor is None else replace(anchor, needs_relay=False)


def _every_attach_proves(self: Lease, sent: float, timeout: float, *, created: bool) -> None:
    _attached(self, sent, timeout, created=True)


# ---------------------------------------------------------------------- the work's share


class _Hasty:
    """A grant whose work needs no time to end."""

    stop_grace = 0.0

    def __init__(self, grant: Grant) -> None:
        self._grant = grant

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grant, name)


def _of_a_hasty_grant(self: Tenure, grant: Grant, *args: Any, **options: Any) -> None:
    _init(self, cast("Grant", _Hasty(grant)), *args, **options)


LEASES = (
    Mutant(
        "ping-lease",
        "heartbeats are pings, and every one that is answered proves the lease",
        ("I3", "I1"),
        (Change(Lease, "acknowledged", _every_reply_proves), Change(Heartbeat, "_prove_stakes", _only_ping)),
    ),
    Mutant(
        "every-reply-proves",
        "writes are heartbeats as they should be, but the reply to any request proves the lease",
        ("I3", "I1"),
        (Change(Lease, "acknowledged", _every_reply_proves),),
    ),
    Mutant(
        "from-the-reply",
        "the lease is counted from the reply to a, not from its sending",
        ("I3", "I1"),
        (Change(Lease, "acknowledged", _count_from_the_reply),),
    ),
    Mutant(
        "from-the-proof",
        "the lease is counted from the reply that proves it",
        ("I3", "I1"),
        (Change(Heartbeat, "prove", _proved_from_now),),
    ),
    Mutant("no-gap", "no gap between a's reply and b", ("I3", "I1"), (Change(Lease, "gap", property(lambda self: 0.0)),)),
    Mutant(
        "no-relay",
        "b's reply proves the lease also where c is needed",
        ("I3", "I1"),
        (Change(Lease, "anchor", _without_relay),),
    ),
    Mutant(
        "reattach-proves",
        "a re-attach proves the lease, without a write",
        ("I3", "I1"),
        (Change(Lease, "attached", _every_attach_proves),),
    ),
    Mutant(
        "no-lease-at-the-start",
        "work starts when the predecessor is heard to be gone, however late that is told",
        ("I3",),
        (Change(SessionGrant, "_is_worth_starting", lambda self: True),),
    ),
    Mutant(
        "no-time-to-stop",
        "the work is told to end when the lease is over, not `stop_grace` before",
        ("I3", "I5"),
        (Change(Tenure, "__init__", _of_a_hasty_grant),),
    ),
    Mutant(
        "no-timer",
        "nothing looks at the clock while the work waits",
        ("I3", "I1"),
        (Change(Tenure, "_set_alarm", lambda self: None),),
    ),
)
