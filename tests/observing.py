"""Who looks on at an `ephemeral` election on scripted sessions, and what it is answered."""

from typing import Any

from scripted import Sessions, got, node

from aioha.elections.protocol import Leader
from aioha.elections.zookeeper.ephemeral_observer import EphemeralObserver
from aioha.elections.zookeeper.ground import Ground
from aioha.record import Record
from aioha.settings import Settings
from aioha.wire.errors import NoNode

__all__ = ["LED", "LOOK", "RECORD", "SYNC", "WATCHING", "observer", "seen"]

RECORD = Record(number=3, identity="last", token_base=5).encode()
SYNC, LOOK = "sync /e", ["exists /e", "get /e", "get /e.aioha", "get /e.aioha/ended"]
WATCHING = ["exists /e watch", *LOOK[1:]]
LED = Leader("last", b"data", 105, 12.5)


def seen(czxid: int = 100, written: int = 100, data: bytes | None = b"data", record: Any = None) -> list[Any]:
    """Replies to one look."""
    taken = got(RECORD, 2, mzxid=written) if record is None else record
    return [node(czxid, owner=8), got(data, czxid, owner=8, since=12.5), taken, NoNode()]


def observer(*sessions: Any, **options: Any) -> EphemeralObserver:
    settings = Settings(identity="me", **options)
    return EphemeralObserver(Ground("/e", settings).names, settings, Sessions(*sessions))  # type: ignore[arg-type]
