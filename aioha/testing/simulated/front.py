"""A serving server as its clients see it: requests of one session answered in order, reads from the server's own tree.

A write or a `sync` waits here until the ensemble has agreed; later requests of the same session wait behind it, those of
others do not. What is agreed on, and how, is the role's business (`leading`, `following`).
"""

from collections import deque
from typing import TYPE_CHECKING, Protocol

from . import answers
from .codes import Error, Op, Refusal
from .jute import Malformed, integer
from .requests import Request
from .tree import Tree, Txn
from .watching import WatchTables

if TYPE_CHECKING:
    from .door import Door

__all__ = ["Front", "Role"]

UNANSWERED_ZXID = -1
STRANGERS_XID = 98


class Role(Protocol):
    """What a front needs of the server's part in the ensemble."""

    def touch(self, session: int, timeout: int) -> bool: ...
    def look_at(self, request: Request) -> None: ...
    def forward(self, request: Request) -> None: ...
    def revalidate(self, door: "Door", session: int) -> None: ...


class _Nobody:
    """Where the connection was that something was asked on."""

    def reply(self, *answer: object) -> None:
        """Nobody hears it."""

    def close(self) -> None:
        """It was."""


class Front:
    """`tree`: what reads see, and committed writes change. `next_session`: the first id it will give out."""

    def __init__(self, tree: Tree, role: Role, next_session: int) -> None:
        self.tree = tree
        self.watches = WatchTables()
        self._role = role
        self._next_session = next_session
        self._doors: dict[int, Door] = {}
        self._every: dict[Door, None] = {}
        self._lines: dict[int, deque[Request]] = {}

    # ------------------------------------------------------------------ connections

    def create_session(self, door: "Door") -> None:
        session, self._next_session = self._next_session, self._next_session + 1
        self._every[door] = None
        request = Request(session, 0, Op.CREATE_SESSION, integer(door.timeout), (), None, door)
        self._lines.setdefault(session, deque()).append(request)
        self._role.forward(request)

    def revalidate(self, door: "Door", session: int) -> None:
        self._every[door] = None
        self._role.revalidate(door, session)

    def enter(self, door: "Door") -> None:
        self._every[door] = None
        self._doors[door.session] = door

    def dismiss(self, session: int) -> None:
        """Its connection here, if any, is another's now, or nobody's."""
        door = self._doors.pop(session, None)
        if door is not None:
            door.close()

    def is_attached(self, session: int) -> bool:
        return session in self._doors

    def gone(self, door: "Door") -> None:
        self._every.pop(door, None)
        if self._doors.get(door.session) is door:
            del self._doors[door.session]
        self.watches.forget(door)

    def close(self) -> None:
        """It serves no longer: hang up on everybody."""
        for door in list(self._every):
            door.close()

    # ------------------------------------------------------------------ requests

    def submit(self, request: Request) -> None:
        door = request.connection
        if not self._role.touch(request.session, door.timeout):
            return  # a dead session's request is dropped without a word
        if request.op not in Op.KNOWN:
            door.reply(request.cxid, UNANSWERED_ZXID, Error.UNIMPLEMENTED)
            door.close()
            return
        line = self._lines.get(request.session)
        if request.op in Op.WRITES or request.op == Op.SYNC:
            if line is None:
                line = self._lines[request.session] = deque()
            line.append(request)
            self._role.forward(request)
            self._answer(request.session)
        else:
            self._role.look_at(request)
            request.is_done = True
            if line is None:
                self._answer_one(request)
            else:
                line.append(request)

    def close_late(self, session: int) -> None:
        """A stranger's request to close it is prepared only now: whoever has taken the session back here meanwhile is not
        hung up on, as it was not asked on that connection.
        """
        request = Request(session, STRANGERS_XID, Op.CLOSE, b"", (), None, _Nobody())
        self._lines.setdefault(session, deque()).append(request)
        self._role.forward(request)

    def committed(self, txn: Txn) -> None:
        """The ensemble has agreed: carry it out, tell the watchers, and answer if it was asked here."""
        results, events = self.tree.apply(txn)
        self.watches.fire(events)
        line = self._lines.get(txn.session)
        if line and line[0].cxid == txn.cxid and line[0].op == txn.op and not line[0].is_done:
            line[0].results, line[0].error, line[0].is_done = results, txn.error, True
            if any(result.error == Error.SESSION_MOVED for result in results):  # in a multi: for all of it
                line[0].error = Error.SESSION_MOVED
            self._answer(txn.session)
        elif txn.op == Op.CLOSE:
            self.dismiss(txn.session)

    def synced(self, request: Request) -> None:
        """What the leader had when it was asked has arrived here."""
        request.is_done = True
        self._answer(request.session)

    def _answer(self, session: int) -> None:
        line = self._lines.get(session)
        while line and line[0].is_done:
            self._answer_one(line.popleft())
        if line is not None and not line:
            self._lines.pop(session, None)

    def _answer_one(self, request: Request) -> None:
        door, zxid = request.connection, self.tree.zxid
        if request.error == Error.SESSION_MOVED:
            door.close()  # an error of the connection, and never answered
        elif request.op == Op.CREATE_SESSION:
            door.greeted(request.session, valid=True)
        elif request.error:
            door.reply(request.cxid, zxid, request.error)
        elif request.op == Op.PING:
            door.reply(-2, zxid, Error.OK)
        elif request.op in Op.WRITES:
            door.reply(request.cxid, zxid, Error.OK, answers.written(request.op, request.results))
            if request.op == Op.CLOSE:
                door.close()
        else:
            try:
                body = answers.read(request, self.tree, self.watches)
            except Refusal as refusal:
                door.reply(request.cxid, zxid, refusal.code)
            except Malformed:
                door.reply(request.cxid, zxid, Error.MARSHALLING)
            else:
                door.reply(request.cxid, zxid, Error.OK, body)
