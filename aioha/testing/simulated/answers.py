"""The bodies of replies: reads, from the tree of the server that is asked, and what writes have come to."""

from collections.abc import Sequence

from . import acl as acls
from .acl import Identity
from .codes import Error, Op, Perm, Refusal
from .jute import Reader, buffer, integer, text, texts
from .requests import Request
from .tree import Result, Tree, Znode
from .watching import WatchTables

__all__ = ["read", "written"]

_DONE, _MORE = b"\1", b"\0"
_END = integer(-1) + _DONE + integer(-1)


def written(op: int, results: Sequence[Result]) -> bytes:
    """The body of the reply to a write that was carried out."""
    if op == Op.MULTI:
        return b"".join(_one_of_many(result) for result in results) + _END
    if op == Op.CLOSE or not results:
        return b""
    return _body(results[0])


def _body(result: Result) -> bytes:
    if result.op == Op.CREATE:
        return text(result.path)
    if result.op == Op.CREATE2:
        return text(result.path) + result.stat
    return result.stat


def _one_of_many(result: Result) -> bytes:
    if result.op == Op.ERROR:
        return integer(Op.ERROR) + _MORE + integer(result.error) + integer(result.error)
    return integer(result.op) + _MORE + integer(0) + _body(result)


def read(request: Request, tree: Tree, watches: WatchTables) -> bytes:
    """The body of the reply to a read; a watch it asks for is set. Raises `Refusal`, `Malformed`."""
    reader = Reader(request.body)
    if request.op == Op.SET_WATCHES:
        zxid, data, exist, child = reader.long(), *(reader.many(reader.text) for _ in range(3))
        watches.set_again(tree, zxid, data, exist, child, request.connection)
        return b""
    path = reader.text()
    if request.op == Op.SYNC:
        return text(path)
    if request.op == Op.EXISTS:
        return _exists(request, path, tree, watches, watch=reader.boolean())
    node = tree.get(path)
    if node is None:
        raise Refusal(Error.NO_NODE)
    if request.op == Op.GET_ACL:
        return _acl(node, request.identities)
    acls.require(Perm.READ, node.acl, request.identities)
    watch = reader.boolean()
    if request.op == Op.GET:
        if watch:
            watches.watch_data(path, request.connection)
        return buffer(node.data) + node.stat()
    if watch:
        watches.watch_children(path, request.connection)
    children = texts(tree.children(path))
    return children + node.stat() if request.op == Op.CHILDREN2 else children


def _exists(request: Request, path: str, tree: Tree, watches: WatchTables, *, watch: bool) -> bytes:
    if "\0" in path:
        raise Refusal(Error.BAD_ARGUMENTS)
    if watch:
        watches.watch_data(path, request.connection)
    node = tree.get(path)
    if node is None:
        raise Refusal(Error.NO_NODE)
    return node.stat()


def _acl(node: Znode, who: Sequence[Identity]) -> bytes:
    acls.require(Perm.READ | Perm.ADMIN, node.acl, who)
    try:
        acls.require(Perm.ADMIN, node.acl, who)
    except Refusal:
        return acls.packed(acls.hidden(node.acl)) + node.stat()
    return acls.packed(node.acl) + node.stat()
