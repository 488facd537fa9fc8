"""Requests as the layers above make them, and replies as they read them. Nothing here is sent."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import ResponseError, RolledBack, RuntimeInconsistency, error_for
from .packing import Transaction
from .untyped import protocol

__all__ = [
    "Request",
    "Stat",
    "asks_for_children",
    "asks_for_existence",
    "check",
    "children",
    "close_session",
    "create",
    "delete",
    "exists",
    "failure",
    "get",
    "multi",
    "packed",
    "ping",
    "set_data",
    "size",
    "stat_of",
    "sync",
]

Request = Any  # an aiozk.protocol.Request
OPEN_TO_ALL = (protocol.UNRESTRICTED_ACCESS,)
XID = 4  # bytes in front of a request
CONTAINER_OWNER = -(1 << 63)  # ephemeralOwner of a container node; TTL nodes have the top byte 0xff


@dataclass(frozen=True, slots=True)
class Stat:
    """What the servers know of a node. `czxid`: the change that created it; `ctime`, `mtime`: wall time in seconds."""

    czxid: int
    mzxid: int
    ctime: float
    mtime: float
    version: int
    owner: int
    children: int
    changes: int = 0  # of its children: so many have come or gone

    @property
    def ever(self) -> int:
        """How many children it has had, modulo 2^31: of a line, the number that the next place gets."""
        return ((self.changes + self.children) & 0xFFFF_FFFF) >> 1

    @property
    def is_ephemeral(self) -> bool:
        """Owned by a session. Container and TTL nodes abuse the same field."""
        return self.owner != 0 and self.owner != CONTAINER_OWNER and (self.owner >> 56) & 0xFF != 0xFF


def stat_of(reply: Any) -> Stat:
    """The `Stat` in a reply that has one."""
    raw = reply.stat
    return Stat(
        czxid=raw.created_zxid,
        mzxid=raw.last_modified_zxid,
        ctime=raw.created / 1000,
        mtime=raw.modified / 1000,
        version=raw.version,
        owner=raw.ephemeral_owner,
        children=raw.num_children,
        changes=raw.child_version,
    )


def create(
    path: str, data: bytes, *, ephemeral: bool = False, sequential: bool = False, acl: Sequence[Any] | None = None
) -> Request:
    """Data is never null: Curator fails on it. `sequential`: the servers append ten digits; the reply has the `path`."""
    request = protocol.CreateRequest(path=path, data=data, acl=list(acl or OPEN_TO_ALL))
    request.set_flags(ephemeral=ephemeral, sequential=sequential)
    return request


def delete(path: str, version: int = -1) -> Request:
    return protocol.DeleteRequest(path=path, version=version)


def set_data(path: str, data: bytes, version: int = -1) -> Request:
    return protocol.SetDataRequest(path=path, data=data, version=version)


def check(path: str, version: int) -> Request:
    return protocol.CheckVersionRequest(path=path, version=version)


def exists(path: str, *, watch: bool = False) -> Request:
    return protocol.ExistsRequest(path=path, watch=watch)


def get(path: str, *, watch: bool = False) -> Request:
    return protocol.GetDataRequest(path=path, watch=watch)


def children(path: str, *, watch: bool = False) -> Request:
    return protocol.GetChildrenRequest(path=path, watch=watch)


@functools.lru_cache(maxsize=256)  # heartbeats ask again and again
def sync(path: str) -> Request:
    return Packed(protocol.SyncRequest(path=path))


def ping() -> Request:
    return _PING


def close_session() -> Request:
    return protocol.CloseRequest()


def asks_for_children(request: Request) -> bool:
    return isinstance(request, protocol.GetChildrenRequest | protocol.GetChildren2Request)


def asks_for_existence(request: Request) -> bool:
    """Such a request leaves a watch also where there is no node."""
    return isinstance(request, protocol.ExistsRequest)


def multi(*requests: Request) -> Request:
    """All or nothing. A failed one still gets a reply, not an error: ask `failure`."""
    transaction = Transaction()
    for request in requests:
        transaction.add(request)
    return transaction


class Packed:
    """A request packed ahead of time: sending it costs next to nothing."""

    def __init__(self, request: Request) -> None:
        self.opcode: int = request.opcode
        self.special_xid: int | None = request.special_xid
        self._rest: bytes = request.serialize(0)[XID:]

    def serialize(self, xid: int) -> bytes:
        return xid.to_bytes(XID, "big", signed=True) + self._rest


_PING = Packed(protocol.PingRequest())


def packed(request: Request) -> Request:
    """The same request; what is changed in it later has no effect."""
    return Packed(request)


def size(request: Request) -> int:
    """Bytes of the frame's body."""
    return len(request.serialize(0))


def failure(reply: Any) -> tuple[int, ResponseError] | None:
    """Which request of a `multi` failed first, and how; None if all were carried out."""
    for index, result in enumerate(reply.responses):
        if isinstance(result, ResponseError) and not isinstance(result, RolledBack | RuntimeInconsistency):
            return index, result
    if any(isinstance(result, ResponseError) for result in reply.responses):
        return 0, error_for(RuntimeInconsistency.error_code)
    return None
