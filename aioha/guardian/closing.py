"""Closing the session of a process that has died: on whichever server answers first.

The servers are asked one after another, each `HEDGE` seconds after the one before, or at once when that one refused,
and nobody is given up meanwhile: a frozen server costs 0.15 s. (A candidate asks one at a time, since a late answer
would move its session; here it may move, it is only to be closed.) Once a server has the session it is told which
terms have ended, which lets the next leaders begin, and a little later to close it, for whatever else the session owned:
servers write one transaction after another to their disks, and that of the next leader shall not have to wait for ours.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Session: TypeAlias = tuple[int, bytes, float, tuple[str, str] | None]  # id, password, timeout, user and password
    # What must stand (node, version), what to delete (the same), and what to write (node, data): see `facts.TERM`.
    Term: TypeAlias = tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...], tuple[tuple[str, bytes], ...]]

__all__ = ["close_session"]

HEDGE = 0.15  # seconds
PATIENCE = 2.0  # seconds for one server to say something
PAUSE = 0.05  # seconds between rounds
AFTERWARDS = 0.1  # seconds between the end of terms and the close
_AUTH, _CLOSE, _MULTI, _DELETE, _SET_DATA, _CHECK = 100, -11, 14, 2, 5, 13
_AUTH_XID, _CLOSE_XID = -4, 0x7FFFFFFF
_FAILED = -1  # type of a result in the answer to a multi that was not carried out
_SESSION_EXPIRED, _SESSION_MOVED = -112, -118
NEVER = float("inf")
_HEADER = struct.Struct(">iqi")  # xid, zxid, error
_GREETING = struct.Struct(">iiq")  # protocol, timeout, session


def close_session(
    session: Session,
    servers: Sequence[tuple[str, int]],
    terms: Sequence[Term],
    until: float,
    clock: Callable[[], float],
) -> str:
    """Try until it is closed, or the session must have expired by itself (`until`). Returns what happened, for people.

    Blocks. `terms`: those whose work has ended with the process.
    """
    attempts: list[_Attempt] = []
    poll = select.poll()
    turn, next_at = 0, clock()
    while (now := clock()) < until:
        if now >= next_at:
            server = servers[turn % len(servers)]
            turn += 1
            next_at = now + (HEDGE if turn % len(servers) else PATIENCE)
            begun = _begin(server, session, terms, now + PATIENCE)
            if begun is None:
                next_at = now + _pause_after(turn, len(servers))
            else:
                attempts.append(begun)
                poll.register(begun.socket, begun.interest)
        for attempt in attempts:
            attempt.close_if_due(now)
            poll.modify(attempt.socket, attempt.interest)
        wait = min([next_at, until, *(min(attempt.until, attempt.close_at) for attempt in attempts)]) - clock()
        ready = dict(poll.poll(max(wait, 0.0) * 1000))
        for attempt in list(attempts):
            outcome = attempt.advance(now) if attempt.socket.fileno() in ready else None
            if outcome in ("closed", "expired"):
                for each in attempts:
                    each.socket.close()
                host, port = attempt.server
                return f"session {session[0]:#x} closed on {host}:{port}" if outcome == "closed" else "its session was over"
            if outcome == "failed" or clock() >= attempt.until:
                poll.unregister(attempt.socket)
                attempt.socket.close()
                attempts.remove(attempt)
                next_at = min(next_at, clock() + _pause_after(turn, len(servers)))
            elif outcome == "goes on" and attempt.greeted:
                # While it gets on with it, another one would only take the session away.
                next_at, attempt.until = max(next_at, clock() + HEDGE), clock() + PATIENCE
    return f"no server closed session {session[0]:#x}; it expires by itself"


def _pause_after(turn: int, servers: int) -> float:
    return 0.0 if turn % servers else PAUSE


def _begin(server: tuple[str, int], session: Session, terms: Sequence[Term], until: float) -> _Attempt | None:
    try:
        return _Attempt(server, session, terms, until)
    except OSError:  # it cannot be reached from here: IPv6 is switched off, say; or no descriptor is left
        return None


class _Attempt:
    """One server, from the connect to the answer to the close. Raises `OSError`."""

    def __init__(self, server: tuple[str, int], session: Session, terms: Sequence[Term], until: float) -> None:
        self.server = server
        self.until = until
        self.socket = _connecting(server)
        # In one piece: a server reads on once the session is there.
        releases = [_release(xid, term) for xid, term in enumerate(terms, 1)]
        self._unsent = b"".join([_greeting(session), _introduction(session), *releases])
        self._terms = terms
        self._unanswered = len(terms)  # ends of terms
        self._unread = b""
        self._connected = False
        self.greeted = False  # the session is there
        self.close_at = NEVER  # when it is time to close it

    @property
    def interest(self) -> int:
        return select.POLLIN | (select.POLLOUT if self._unsent else 0)

    def close_if_due(self, now: float) -> None:
        if now >= self.close_at:
            self.close_at = NEVER
            self._unsent += _frame(struct.pack(">ii", _CLOSE_XID, _CLOSE))

    def advance(self, now: float) -> str:
        """Do what can be done now. Returns "goes on", "failed", "closed", "expired" (there is no such session)."""
        try:
            if not self._connected:
                if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return "failed"
                self._connected = True
            self._send()
            data = self.socket.recv(65536)
            if not data:
                return "failed"
            self._unread += data
            outcome = None
            while outcome is None and (frame := self._next_frame()) is not None:
                outcome = self._take(frame, now)
            self._send()
        except BlockingIOError:
            return "goes on"
        except (OSError, struct.error):
            return "failed"
        return outcome or "goes on"

    def _send(self) -> None:
        if self._unsent:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]

    def _next_frame(self) -> bytes | None:
        end = 4 + int.from_bytes(self._unread[:4], "big") if len(self._unread) >= 4 else 4
        if len(self._unread) < end:
            return None
        frame, self._unread = self._unread[4:end], self._unread[end:]
        return frame

    def _take(self, frame: bytes, now: float) -> str | None:
        if not self.greeted:
            _, timeout, session = _GREETING.unpack_from(frame)
            if not session or timeout <= 0:
                return "expired"
            self.greeted = True
            if not self._unanswered:
                self.close_at = now
            return None
        xid, _, error = _HEADER.unpack_from(frame)
        if error == _SESSION_EXPIRED:
            return "expired"
        if error == _SESSION_MOVED:  # to a server that answered our earlier question only now: ask that one's answer
            return "failed"
        if xid == _CLOSE_XID:
            return "closed"
        if 0 < xid <= len(self._terms):
            answered: int = xid
            self._take_end(self._terms[answered - 1], frame[_HEADER.size :], now)
        return None

    def _take_end(self, term: Term, answer: bytes, now: float) -> None:
        self._unanswered -= 1
        if int.from_bytes(answer[:4], "big", signed=True) == _FAILED:
            # Its node may have been deleted by hand, with nobody after it yet: then at least the end is to be noted.
            self._unsent += _mark(term)
        if not self._unanswered:
            self.close_at = now + AFTERWARDS


def _connecting(server: tuple[str, int]) -> socket.socket:
    """Raises `OSError`."""
    connecting = socket.socket(socket.AF_INET6 if ":" in server[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = connecting.connect_ex(server)
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, os.strerror(error))
    except OSError:
        connecting.close()
        raise
    return connecting


# ---------------------------------------------------------------------- the wire format


def _greeting(session: Session) -> bytes:
    number, password, timeout, _ = session
    # The last zxid seen is given as 0: a server that is behind can close a session as well as any other.
    return _frame(struct.pack(">iqiq", 0, 0, round(timeout * 1000), number), _buffer(password), b"\0")


def _introduction(session: Session) -> bytes:
    """Who we are, if that matters: to be said on every connection."""
    if session[3] is None:
        return b""
    user, password = session[3]
    secret = f"{user}:{password}".encode()
    return _frame(struct.pack(">iii", _AUTH_XID, _AUTH, 0), _text("digest"), _buffer(secret))


def _release(xid: int, term: Term) -> bytes:
    """What the candidate itself would have sent: all or nothing, and nothing once somebody else has taken over."""
    checks, deletes, writes = term
    return _multi(
        xid,
        *(_operation(_CHECK, _text(node) + struct.pack(">i", version)) for node, version in checks),
        # What is written is heard of before what is gone, by who takes over on that.
        *(_operation(_SET_DATA, _text(node) + _buffer(data) + struct.pack(">i", -1)) for node, data in writes),
        *(_operation(_DELETE, _text(node) + struct.pack(">i", version)) for node, version in deletes),
    )


def _mark(term: Term) -> bytes:
    checks, _, writes = term
    return _release(0, (checks, (), writes))  # nobody waits for the answer


def _multi(xid: int, *operations: bytes) -> bytes:
    return _frame(struct.pack(">ii", xid, _MULTI), *operations, struct.pack(">i?i", -1, True, -1))


def _operation(kind: int, body: bytes) -> bytes:
    return struct.pack(">i?i", kind, False, -1) + body


def _frame(*parts: bytes) -> bytes:
    return _buffer(b"".join(parts))


def _text(text: str) -> bytes:
    return _buffer(text.encode())


def _buffer(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data
