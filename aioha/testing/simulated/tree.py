"""The znodes of one server, and what a committed transaction does to them. All servers apply the same ones in one order.

What may be done is decided beforehand, once, by the ensemble's leader (`prepare`); here nothing is refused any more.
"""

import copy
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from . import acl as acls
from .acl import Acl
from .codes import Event, Op, Perm

__all__ = ["Change", "Result", "Tree", "Txn", "Znode", "parent_of"]

_STAT = struct.Struct(">qqqqiiiqiiq")
READ_ONLY: Acl = (acls.Entry(Perm.READ, "world", "anyone"),)

# What a transaction consists of, by its first item:
#   (Op.CREATE or CREATE2, path, data, acl, owner, parent's cversion)  (Op.DELETE, path)  (Op.SET, path, data, version)
#   (Op.SET_ACL, path, acl, version)  (Op.CHECK,)  (Op.ERROR, code)  (Op.CREATE_SESSION, timeout)  (Op.CLOSE, paths)
Change = tuple[Any, ...]


@dataclass(slots=True)
class Txn:
    """One zxid's worth of change, asked for by `session` as request `cxid`. A refusal changes nothing.

    All servers have the same object; nothing in it changes but `is_known`: some server has applied it.
    """

    zxid: int
    time: int  # wall clock, ms
    session: int
    cxid: int
    op: int
    changes: tuple[Change, ...]
    error: int = 0  # of the whole
    is_known: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """Of one change, for the reply."""

    op: int
    path: str = ""
    stat: bytes = b""
    error: int = 0


@dataclass(slots=True)
class Znode:
    """`cversion` counts children created; what is shown counts changes of either kind."""

    data: bytes | None
    acl: Acl
    owner: int
    zxid: int
    time: int
    mzxid: int
    mtime: int
    pzxid: int
    version: int = 0
    cversion: int = 0
    aversion: int = 0
    children: dict[str, None] | None = None

    def stat(self) -> bytes:
        data, children = len(self.data or b""), len(self.children or ())
        shown = self.cversion * 2 - children
        return _STAT.pack(
            self.zxid, self.mzxid, self.time, self.mtime, self.version, shown, self.aversion, self.owner, data, children,
            self.pzxid,
        )  # fmt: skip


def parent_of(path: str) -> str:
    """The root's name is empty, as in the servers."""
    return path.rpartition("/")[0]


class Tree:
    """See the head of this file. `zxid`: of the last transaction applied. `sessions`: their timeouts in ms."""

    def __init__(self) -> None:
        self.zxid = 0
        self.sessions: dict[int, int] = {}
        self._nodes: dict[str, Znode] = {"": _first(acls.OPEN)}
        self._ephemerals: dict[int, dict[str, None]] = {}
        for path, data, acl in (
            ("/zookeeper", b"", acls.OPEN),
            ("/zookeeper/quota", b"", acls.OPEN),
            ("/zookeeper/config", b"", READ_ONLY),
        ):
            self._nodes[path] = _first(acl, data)
            self._adopt(path)
        self._nodes["/zookeeper/config"].aversion = -1  # so it is

    def configure(self, config: bytes) -> None:
        """What /zookeeper/config shows: the ensemble's members."""
        self._nodes["/zookeeper/config"].data = config
        self._nodes["/zookeeper/config"].version = -1

    def get(self, path: str) -> Znode | None:
        return self._nodes.get("" if path == "/" else path)

    def children(self, path: str) -> list[str]:
        """In an order that means nothing, as on real servers."""
        node = self.get(path)
        assert node is not None
        return sorted(node.children or (), key=lambda name: (crc32(name.encode()), name))

    def ephemerals(self, session: int) -> list[str]:
        return list(self._ephemerals.get(session, ()))

    def copy(self) -> "Tree":
        return copy.deepcopy(self)

    # ------------------------------------------------------------------ transactions

    def apply(self, txn: Txn) -> tuple[list[Result], list[tuple[int, str]]]:
        """What to answer, and what to tell watchers, in order."""
        events: list[tuple[int, str]] = []
        results = [self._change(txn, change, events) for change in txn.changes]
        self.zxid = txn.zxid
        return results, events

    def _change(self, txn: Txn, change: Change, events: list[tuple[int, str]]) -> Result:
        op = change[0]
        if op in (Op.CREATE, Op.CREATE2):
            _, path, data, acl, owner, cversion = change
            self._create(txn, path, data, acl, owner, cversion)
            events += ((Event.CREATED, path), (Event.CHILDREN, parent_of(path) or "/"))
            return Result(op, path, self._nodes[path].stat())
        if op == Op.DELETE:
            self._delete(txn.zxid, change[1])
            events += ((Event.DELETED, change[1]), (Event.CHILDREN, parent_of(change[1]) or "/"))
            return Result(op)
        if op == Op.SET:
            return self._set(txn, change, events)
        if op == Op.SET_ACL:
            node = self.get(change[1])
            assert node is not None
            _, _, node.acl, node.aversion = change
            return Result(op, stat=node.stat())
        if op == Op.CREATE_SESSION:
            self.sessions[txn.session] = change[1]
        elif op == Op.CLOSE:
            self.sessions.pop(txn.session, None)
            for path in change[1]:
                if path in self._nodes:
                    self._delete(txn.zxid, path)
                    events += ((Event.DELETED, path), (Event.CHILDREN, parent_of(path) or "/"))
        return Result(op, error=change[1] if op == Op.ERROR else 0)

    def _set(self, txn: Txn, change: Change, events: list[tuple[int, str]]) -> Result:
        _, path, data, version = change
        node = self.get(path)
        assert node is not None
        node.data, node.version, node.mzxid, node.mtime = data, version, txn.zxid, txn.time
        events.append((Event.DATA, path))
        return Result(change[0], stat=node.stat())

    def _create(self, txn: Txn, path: str, data: bytes | None, acl: Acl, owner: int, cversion: int) -> None:
        self._nodes[path] = Znode(data, acl, owner, txn.zxid, txn.time, txn.zxid, txn.time, txn.zxid)
        if owner:
            self._ephemerals.setdefault(owner, {})[path] = None
        parent = self._adopt(path)
        if cversion > parent.cversion:
            parent.cversion, parent.pzxid = cversion, txn.zxid

    def _adopt(self, path: str) -> Znode:
        parent = self._nodes[parent_of(path)]
        if parent.children is None:
            parent.children = {}
        parent.children[path.rpartition("/")[2]] = None
        return parent

    def _delete(self, zxid: int, path: str) -> None:
        node = self._nodes.pop(path)
        if node.owner:
            owned = self._ephemerals[node.owner]
            del owned[path]
            if not owned:
                del self._ephemerals[node.owner]
        parent = self._nodes[parent_of(path)]
        assert parent.children is not None
        del parent.children[path.rpartition("/")[2]]
        parent.pzxid = max(parent.pzxid, zxid)

    def walk(self) -> Iterator[tuple[str, Znode]]:
        """Every node, parents first; for those who look on."""
        return iter(sorted(self._nodes.items()))


def _first(acl: Acl, data: bytes = b"") -> Znode:
    return Znode(data, acl, 0, 0, 0, 0, 0, 0)
