"""A connection that the test answers for, in virtual time: what was sent on it and when, and why it was dropped."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from aioha.testing import Op
from aioha.wire.errors import ConnectionLoss

__all__ = ["Answering", "shown"]


def shown(request: Any) -> str:
    """A request as a line: `ping`, `sync /a`, `multi(check /a 3)`."""
    op = Op(request.opcode)
    if op is Op.SYNC:
        return f"sync {request.serialize(0)[12:].decode()}"
    if op is Op.MULTI:
        return f"multi({', '.join(map(shown, request.requests))})"
    if op is Op.SET_WATCHES:
        paths = request.data_watches, request.exist_watches, request.child_watches
        return " ".join([f"watches since {request.relative_zxid} as {request.special_xid}:", *map(str, paths)])
    words: list[object] = [op.name.lower(), getattr(request, "path", ""), getattr(request, "version", "")]
    if getattr(request, "watch", False):
        words.append("watching")
    return " ".join(str(word) for word in words if word != "")


class Answering:
    """As `Connection` to who sends on it. `delay`: seconds until each answer; None: there is none. `results`: the answers
    that are not the usual ones, by the line of the request; an exception is raised.
    """

    def __init__(self, clock: Callable[[], float], server: str = "zk1:2181", delay: float | None = 0.0) -> None:
        self.server = server
        self.address = ("10.0.0.1", 2181)
        self.delay = delay
        self.results: dict[str, Any] = {}
        self.sent: list[tuple[float, str]] = []  # seconds since the connection was made
        self.aborts: list[str] = []
        self.lost: str | None = None
        self.hung_up = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.owes = True  # whether it knows that it has not answered
        self._clock = clock
        self._begun = clock()
        self._listener: Any = None
        self._pending: deque[tuple[float, asyncio.Future[Any], Any]] = deque()

    @property
    def unanswered_since(self) -> float | None:
        return self._pending[0][0] if self._pending and self.owes else None

    def listen(self, listener: Any) -> None:
        self._listener = listener

    def send(self, request: Any, then: Any = None) -> "asyncio.Future[Any]":
        if self.lost is not None:
            raise ConnectionError(self.lost)
        line, now = shown(request), self._clock()
        self.sent.append((round(now - self._begun, 6), line))
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append((now, reply, then))
        if self.delay is not None:
            asyncio.get_running_loop().call_later(self.delay, self.answer, line)
        return reply

    def answer(self, line: str) -> None:
        """The oldest request, as this one is answered."""
        if self.lost is not None:
            return
        sent, reply, then = self._pending.popleft()
        result = self.results.get(line, SimpleNamespace(responses=[]))
        error = result if isinstance(result, Exception) else None
        if self._listener is not None:
            self._listener.on_reply(sent, self._clock(), 0)
        if then is not None:
            then(error)
        if reply.done():
            return
        if error is None:
            reply.set_result(result)
        else:
            reply.set_exception(error)
            reply.exception()  # nobody need wait for it

    def abort(self, reason: str) -> None:
        self.aborts.append(reason)
        if self.lost is not None:
            return
        self.lost = reason
        self.ended.set_result(None)
        pending, self._pending = self._pending, deque()
        for _, reply, then in pending:
            if then is not None:
                then(ConnectionLoss())
            if not reply.done():
                reply.set_exception(ConnectionLoss())
                reply.exception()
        if self._listener is not None:
            self._listener.on_lost(self, reason)
