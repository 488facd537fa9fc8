"""Leaving a path: remove what a session of ours owns there, and return only when that is certain.

Safe to repeat after a lost reply, and never touches what is another's: the fast way is pinned by the record's version,
every other way looks first who owns what, behind a committed write.
"""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.errors import NoAuth, NodeExists, NoNode
from .ledger import Names, breadcrumb_of
from .znodes import PASSING, commit_something, stat_or_none

__all__ = ["OURS", "UNRECORDED", "leave", "released", "send_release"]

STUMBLE = 0.05  # seconds, jittered
# Versions of a leader's node, by which it can be told whose kind it is without a read: ours are created and set in one
# transaction, those without a record twice, so that neither passes for the other's; one made by others is at 0.
OURS, UNRECORDED = 1, 2


def send_release(
    session: ZooKeeperSession,
    names: Names,
    *,
    checks: list[requests.Request],
    ended: bytes,
    closing: list[requests.Request],
) -> "asyncio.Future[Any] | None":
    """Send what gives up a recorded term that stands, in one round trip; `ended`: what to write now that its work has ended;
    `closing`: what else is to be done then. None: no server is attached.
    """
    operations = [
        *closing,
        requests.delete(names.leader, OURS),
        requests.delete(names.seat),
        requests.set_data(names.ended, ended),
    ]
    try:
        return session.send(requests.multi(*checks, *operations))
    except PASSING:
        return None


async def released(sent: "asyncio.Future[Any] | None") -> bool:
    """Whether that has done it."""
    try:
        return sent is not None and requests.failure(await sent) is None
    except PASSING:
        return False


async def leave(
    session: ZooKeeperSession,
    names: Names,
    *,
    record: bool,
    ended: bytes | None = None,
    breadcrumb: bytes = b"",
    acl: Sequence[Any] | None = None,
) -> None:
    """Remove whatever this session owns on the path. `ended`: what to write then; `acl`: should that node have to be made
    anew. `breadcrumb`: what ours says, where the layout has one.

    Waits while no server is attached; returns when the session is dead. Raises `NoAuth`.
    """
    mark = [] if ended is None else [requests.set_data(names.ended, ended)]
    anew = False  # the mark's node is to be made, not set
    while not session.state.is_dead:
        try:
            await session.attached()
            operations = await _what_is_ours(session, names, record=record, breadcrumb=breadcrumb)
            if not operations:
                return
            failed = requests.failure(await session.send(requests.multi(*operations, *mark)))
            if failed is None:
                continue  # and see that it is so
            index, error = failed
            if index < len(operations):
                if isinstance(error, NoAuth):
                    raise error
            elif ended is not None and isinstance(error, NoNode) and not anew:  # deleted by hand
                anew, mark = True, [requests.create(names.ended, ended, acl=acl)]
            elif ended is not None and isinstance(error, NodeExists):  # and made anew
                anew, mark = False, [requests.set_data(names.ended, ended)]
            else:  # such as the record itself is gone, its parent
                mark = []  # it is less important than to be gone
        except PASSING:
            await asyncio.sleep(random.uniform(0, STUMBLE))


async def _what_is_ours(
    session: ZooKeeperSession, names: Names, *, record: bool, breadcrumb: bytes
) -> list[requests.Request]:
    await commit_something(session)
    paths = [names.leader, names.seat] if record else [names.leader]
    replies = [session.send(requests.exists(path)) for path in paths]
    left = session.send(requests.get(names.breadcrumb)) if names.is_folder else None
    stats = [await stat_or_none(reply) for reply in replies]
    operations = [
        requests.delete(path, stat.version)
        for path, stat in zip(paths, stats, strict=True)
        if stat is not None and stat.owner == session.id
    ]
    found = await breadcrumb_of(left) if left is not None else None
    if operations and found is not None and found.data == breadcrumb:
        operations.append(requests.delete(names.breadcrumb, found.version))
    return operations
