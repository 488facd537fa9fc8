"""The store's part of a fenced transaction: one `multi` that begins with what only this term passes.

Two checks fence it. The record's: every takeover moves its version on, so that a transaction of an older term fails
however late it arrives. The leader's node's: it is gone from the moment the term is released, also before anybody
takes over, and software that takes the path without a record makes a node of its own.

A `multi` is all or nothing, so its reply decides: carried out, or not and by whose check. Without a reply the outcome
is unknown, and stays the caller's to find out: nothing is sent a second time but what is known not to have been done.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ElectionError, Fenced, Unavailable
from ...wire import requests
from ...wire.errors import (
    BadVersion,
    ConnectionLoss,
    NoAuth,
    NodeExists,
    NoNode,
    NotEmpty,
    ResponseError,
    SessionExpired,
    SessionMoved,
)
from ..protocol import Operation
from .znodes import PASSING, stat_or_none

if TYPE_CHECKING:
    from .grant import SessionGrant

__all__ = ["Fence"]

# jute.maxbuffer as the servers have it unless raised. They answer a larger request by hanging up, again and again for
# as long as it is repeated; that would cost more than this transaction.
LARGEST = 0xFFFFF


class Fence:
    """Commits transactions of one term; see the head of this file. `acl`: of the nodes that they create."""

    def __init__(self, grant: "SessionGrant", acl: Sequence[Any] | None) -> None:
        self._grant = grant
        self._acl = acl
        self._loop = asyncio.get_running_loop()
        self._version = grant.node_version  # of the leader's node: others may set its data, and it is ours all the same

    async def commit(self, operations: Sequence[Operation], check: Callable[[], None]) -> bool:
        """See `Grant.commit`."""
        if asyncio.get_running_loop() is not self._loop:
            raise ElectionError(f"{self._grant.path}: a transaction belongs to its elector's event loop; this is another")
        wanted = [self._request(each) for each in operations]
        while True:
            mine = [*self._grant.checks, requests.check(self._grant.node, self._version)]
            transaction = requests.multi(*mine, *wanted)
            _check_size(transaction, operations)
            sent = await self._sent(transaction, check)
            if sent is None:
                return False
            failed = requests.failure(await self._reply(sent))
            if failed is None:
                return True
            index, error = failed
            if isinstance(error, SessionMoved | SessionExpired):  # says nothing of the term; attaching again will
                raise Unavailable(f"{self._grant.path}: nothing was written: the servers answered {error}")
            if index >= len(mine):
                number = index - len(mine) + 1
                operation = operations[index - len(mine)]
                reason = _reason(operation, error)
                raise Fenced(f"nothing was written: operation {number}, {operation}: {reason}", number) from None
            if index < len(mine) - 1 or not isinstance(error, NoNode | BadVersion):
                self._grant.refuted(error)
                return False
            if not await self._node_is_ours():
                return False

    def _request(self, operation: Operation) -> requests.Request:
        path, data, version = operation.path, operation.data, operation.version
        match operation.kind:
            case "create":
                return requests.create(path, data, acl=self._acl)
            case "set_data":
                return requests.set_data(path, data, version)
            case "delete":
                return requests.delete(path, version)
            case "check":
                return requests.check(path, version)

    async def _sent(self, transaction: requests.Request, check: Callable[[], None]) -> "asyncio.Future[Any] | None":
        """Send it as soon as a server is attached; None if the session is dead."""
        session = self._grant.session
        while True:
            check()  # no await between this and the bytes
            if session.state.is_dead:
                return None
            try:
                return session.send(transaction)
            except ConnectionError:
                await self._wait({asyncio.ensure_future(session.attached())})

    async def _reply(self, sent: "asyncio.Future[Any]") -> Any:
        """Raises `Unavailable` if there is none while the lease lasts."""
        why = "the lease ended before the reply came"
        while not sent.done() and self._grant.usable > 0:
            await self._wait({sent})
        if sent.done():
            try:
                return sent.result()
            except ConnectionLoss:
                why = f"the connection was lost before the reply came ({self._grant.session.why})"
            except ResponseError as error:
                why = f"the servers answered {error}"
        raise Unavailable(
            f"{self._grant.path}: a transaction of token {self._grant.token} may or may not have been carried out: {why}; "
            f"to find out, `await term.confirm()` and then read what it writes"
        )

    async def _wait(self, awaited: "set[asyncio.Future[Any]]") -> None:
        """A little, as a loop's timer does not count suspend, and not beyond the lease."""
        patience = max(0.0, min(self._grant.usable, self._grant.session.heartbeat.pace))
        try:
            await asyncio.wait(awaited, timeout=patience)
        finally:
            for each in awaited:
                if isinstance(each, asyncio.Task) and not each.cancel() and not each.cancelled():
                    each.exception()  # the session's death is heard of elsewhere

    async def _node_is_ours(self) -> bool:
        """The check of the leader's node did not pass: it is gone, or another's, or somebody has set its data."""
        grant = self._grant
        try:
            stat = await stat_or_none(grant.session.exists(grant.node, grant.node_event))
        except PASSING:
            return True  # not known; nothing was written, so trying again is safe, and asks again
        grant.compare(stat)
        if stat is None or (stat.czxid, stat.owner) != (grant.czxid, grant.session.id):
            return False
        self._version = stat.version
        return True


def _reason(operation: Operation, error: ResponseError) -> str:
    """Why the servers refused it, in our words."""
    if isinstance(error, BadVersion):
        return f"version is not {operation.version}"
    if isinstance(error, NoNode):
        return "its parent does not exist" if operation.kind == "create" else "it does not exist"
    if isinstance(error, NoAuth):
        return "no permission; check the ACL" + (" of its parent" if operation.kind in ("create", "delete") else "")
    if isinstance(error, NodeExists):
        return "it exists already"
    return "it has children" if isinstance(error, NotEmpty) else f"the servers answered {error}"


def _check_size(transaction: requests.Request, operations: Sequence[Operation]) -> None:
    size = requests.size(transaction)
    if size > LARGEST:
        largest = max(operations, key=lambda each: len(each.data) + len(each.path))
        raise ValueError(
            f"transaction: {size} bytes are more than the {LARGEST} that ZooKeeper's servers take in one request "
            f"({len(operations)} operations; the largest, {largest}, has {len(largest.data)} bytes of data)"
        )
