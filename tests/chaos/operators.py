"""People with a ZooKeeper shell, by kazoo and not by our own code: who watches the leader's node, and who meddles."""

import contextlib
import logging
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Self

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, ConnectionLoss, NoNodeError

from aioha.clock import boottime
from aioha.testing.simulated.sessions import password_of

__all__ = [
    "Observer",
    "Vanished",
    "Write",
    "client",
    "delete",
    "make_parents",
    "overwrite",
    "steal",
    "writes",
]

logging.getLogger("kazoo").setLevel(logging.CRITICAL)
PATIENCE = 30
RUBBISH = (
    b"",
    b"{",
    b"\xff\xfe\x00",
    b"[1,2,3]",
    b'{"number":"seven"}',
    b'{"number":-1}',
    b'{"stop_grace":1e9}',
    b"x" * 5000,
)


@contextlib.contextmanager
def client(servers: str, **options: Any) -> Generator[Any]:
    kazoo = KazooClient(servers, timeout=10.0, **options)
    kazoo.start(timeout=PATIENCE)
    try:
        yield kazoo
    finally:
        kazoo.stop()
        kazoo.close()


@dataclass(frozen=True, slots=True)
class Vanished:
    """A leader's node was there and is gone: not later than `at`."""

    czxid: int
    at: float


class Observer:
    """Sees leader's nodes vanish, a little later than they do. `with` it runs, in kazoo's threads."""

    def __init__(self, servers: str, path: str) -> None:
        self.vanished: list[Vanished] = []
        self._path = path
        self._seen = 0
        self._client = KazooClient(servers, timeout=10.0)

    def __enter__(self) -> Self:
        self._client.add_listener(self._listen)
        self._client.start(timeout=PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop()
        self._client.close()

    def _listen(self, state: str) -> None:
        if state == KazooState.CONNECTED:  # its watches are gone
            self._client.handler.spawn(self._look)

    def _look(self, event: Any = None) -> None:
        if event is not None and event.type == "NONE":
            return
        with contextlib.suppress(Exception):  # connection lost: looked at again when there is one
            stat = self._client.exists(self._path, watch=self._look)
            now, czxid = boottime(), 0 if stat is None else stat.czxid
            if self._seen not in (0, czxid):
                self.vanished.append(Vanished(self._seen, now))
            self._seen = czxid


def make_parents(servers: str, *paths: str) -> None:
    with client(servers) as kazoo:
        for path in paths:
            kazoo.ensure_path(path)


def delete(servers: str, path: str) -> int:
    """The leader's node by hand; its czxid, or 0 if nobody led."""
    with client(servers) as kazoo, contextlib.suppress(NoNodeError, BadVersionError):
        stat = kazoo.exists(path)
        if stat is not None:
            kazoo.delete(path, version=stat.version)
            return int(stat.czxid)
    return 0


def overwrite(servers: str, path: str, choice: float) -> None:
    """The record, by rubbish."""
    with client(servers) as kazoo, contextlib.suppress(NoNodeError):
        kazoo.set(f"{path}.aioha", RUBBISH[int(choice * len(RUBBISH))])


def steal(servers: str, path: str) -> int:
    """Attach to the leader's session and close it, knowing no more than everybody can see. The czxid of its node, or 0."""
    with client(servers) as kazoo:
        stat = kazoo.exists(path)
    if stat is None:
        return 0
    stolen = {"client_id": (stat.ephemeralOwner, password_of(stat.ephemeralOwner))}
    with contextlib.suppress(ConnectionLoss, kazoo.handler.timeout_exception), client(servers, **stolen):
        pass  # leaving closes it
    return int(stat.czxid)


@dataclass(frozen=True, slots=True)
class Write:
    """A transaction that was carried out, and when among all that ever were."""

    token: int
    zxid: int


def writes(servers: str, parent: str) -> list[Write]:
    with client(servers) as kazoo:
        names = kazoo.get_children(parent)
        asked = [(name, kazoo.exists_async(f"{parent}/{name}")) for name in names]
        found = [Write(int(name.partition("-")[0]), reply.get(timeout=PATIENCE).czxid) for name, reply in asked]
    return sorted(found, key=lambda write: write.zxid)
