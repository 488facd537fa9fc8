"""What the ensemble's leader decides about a write, before anybody has agreed to it: the transaction, or the refusal.

It looks at the tree as it will be once all that was proposed before has been applied. A refused write is a transaction
too: it takes a zxid, and changes nothing. The checks stand in the order of the servers' own, since the first that fails
is the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from . import acl as acls
from .acl import Acl
from .codes import Error, Flag, Op, Perm, Refusal
from .jute import Malformed, Reader
from .paths import check_path, is_special, parent_for_create
from .requests import Create, Request, Versioned, read_create, read_multi, read_versioned
from .sessions import SessionTable
from .tree import Change, Tree, Txn, parent_of

__all__ = ["Preparer"]


@dataclass(frozen=True, slots=True)
class _Coming:
    """A node as it will be."""

    zxid: int
    version: int
    cversion: int
    aversion: int
    owner: int
    children: int
    acl: Acl


class Preparer:
    """See the head of this file."""

    def __init__(self, tree: Tree, sessions: SessionTable) -> None:
        self._tree = tree
        self._sessions = sessions
        self._coming: dict[str, _Coming | None] = {}  # None: it will be gone
        self._newest: dict[str, int] = {}  # the zxid that left it so

    def prepare(self, request: Request, zxid: int, wall: int) -> Txn:
        """The transaction for a write, or its refusal."""
        error, changes = 0, tuple[Change, ...]()
        try:
            changes = tuple(self._changes(request, zxid))
        except Refusal as refusal:
            error = refusal.code
        except Malformed:
            error = Error.MARSHALLING
        return Txn(zxid, wall, request.session, request.cxid, request.op, changes, error)

    def applied(self, zxid: int) -> None:
        """The tree itself shows this transaction now."""
        for path in [path for path, newest in self._newest.items() if newest <= zxid]:
            del self._coming[path], self._newest[path]

    # ------------------------------------------------------------------ inside

    def _changes(self, request: Request, zxid: int) -> Iterator[Change]:
        reader, op = Reader(request.body), request.op
        if op == Op.MULTI:
            yield from self._multi(request, zxid, read_multi(reader))
        elif op in (Op.CREATE, Op.CREATE2):
            yield self._create(request, zxid, read_create(op, reader))
        elif op == Op.CREATE_SESSION:
            timeout = reader.integer()
            self._sessions.track(request.session, timeout)
            self._sessions.set_owner(request.session, request.owner)
            yield (op, timeout)
        elif op == Op.CLOSE:
            yield (op, tuple(self._closing(request.session, zxid)))
        else:
            yield self._versioned(request, zxid, read_versioned(op, reader))

    def _multi(self, request: Request, zxid: int, operations: list[Create | Versioned]) -> list[Change]:
        before, newest = dict(self._coming), dict(self._newest)
        changes: list[Change] = []
        for index, operation in enumerate(operations):
            try:
                changes.append(
                    self._create(request, zxid, operation)
                    if isinstance(operation, Create)
                    else self._versioned(request, zxid, operation)
                )
            except Refusal as refusal:
                self._coming, self._newest = before, newest
                rest = len(operations) - index - 1
                untouched = [(Op.ERROR, Error.OK)] * index
                return [*untouched, (Op.ERROR, refusal.code), *[(Op.ERROR, Error.RUNTIME_INCONSISTENCY)] * rest]
        return changes

    def _create(self, request: Request, zxid: int, create: Create) -> Change:
        path = create.path
        if create.flags not in Flag.KNOWN:
            raise Refusal(Error.BAD_ARGUMENTS)
        if create.flags not in Flag.SIMULATED:
            raise Refusal(Error.UNIMPLEMENTED)
        self._sessions.check(request.session, request.owner)
        above = parent_for_create(path)
        acl = acls.fixed(create.acl, request.identities)
        parent = self._find(above)
        acls.require(Perm.CREATE, parent.acl, request.identities)
        if create.flags & Flag.SEQUENCE:
            path += f"{parent.cversion:010d}"
        check_path(path)
        if self._look(path) is not None:
            raise Refusal(Error.NODE_EXISTS)
        if parent.owner:
            raise Refusal(Error.NO_CHILDREN_FOR_EPHEMERALS)
        owner = request.session if create.flags & Flag.EPHEMERAL else 0
        cversion = parent.cversion + 1
        self._set(above, replace(parent, zxid=zxid, cversion=cversion, children=parent.children + 1))
        self._set(path, _Coming(zxid, 0, 0, 0, owner, 0, acl))
        return (create.op, path, create.data, acl, owner, cversion)

    def _versioned(self, request: Request, zxid: int, asked: Versioned) -> Change:
        self._sessions.check(request.session, request.owner)
        path, op = asked.path, asked.op
        if op == Op.DELETE:
            return self._delete(request, zxid, asked)
        check_path(path)
        acl = acls.fixed(asked.acl, request.identities) if op == Op.SET_ACL else ()
        node = self._find(path)
        perm = {Op.SET: Perm.WRITE, Op.SET_ACL: Perm.ADMIN, Op.CHECK: Perm.READ}[op]
        acls.require(perm, node.acl, request.identities)
        version = _next(node.aversion if op == Op.SET_ACL else node.version, asked.version)
        if op == Op.CHECK:
            return (op,)
        if op == Op.SET_ACL:
            self._set(path, replace(node, zxid=zxid, aversion=version, acl=acl))
            return (op, path, acl, version)
        self._set(path, replace(node, zxid=zxid, version=version))
        return (op, path, asked.data, version)

    def _delete(self, request: Request, zxid: int, asked: Versioned) -> Change:
        path = asked.path
        above = parent_for_create(path)
        if is_special(path):
            raise Refusal(Error.BAD_ARGUMENTS)
        parent = self._find(above)
        acls.require(Perm.DELETE, parent.acl, request.identities)
        node = self._find(path)
        _next(node.version, asked.version)
        if node.children:
            raise Refusal(Error.NOT_EMPTY)
        self._set(above, replace(parent, zxid=zxid, children=parent.children - 1))
        self._set(path, None, zxid)
        return (asked.op, path)

    def _closing(self, session: int, zxid: int) -> list[str]:
        paths = dict.fromkeys(self._tree.ephemerals(session))
        for path, coming in self._coming.items():
            if coming is None:
                paths.pop(path, None)
            elif coming.owner == session:
                paths[path] = None
        for path in paths:
            parent = self._look(parent_of(path))
            if parent is not None:
                self._set(parent_of(path), replace(parent, zxid=zxid, children=parent.children - 1))
            self._set(path, None, zxid)
        self._sessions.close(session)
        return list(paths)

    # ------------------------------------------------------------------ what will be there

    def _look(self, path: str) -> _Coming | None:
        path = "" if path == "/" else path
        if path in self._coming:
            return self._coming[path]
        node = self._tree.get(path)
        if node is None:
            return None
        return _Coming(0, node.version, node.cversion, node.aversion, node.owner, len(node.children or ()), node.acl)

    def _find(self, path: str) -> _Coming:
        coming = self._look(path)
        if coming is None:
            raise Refusal(Error.NO_NODE)
        return coming

    def _set(self, path: str, coming: _Coming | None, zxid: int = 0) -> None:
        path = "" if path == "/" else path
        self._coming[path] = coming
        self._newest[path] = coming.zxid if coming is not None else zxid


def _next(current: int, expected: int) -> int:
    if expected not in (-1, current):
        raise Refusal(Error.BAD_VERSION)
    return current + 1
