"""Sessions as the ensemble's leader keeps them: whose they are, and in which tick they expire.

Expiry is by buckets, one tick wide, on the leader's own clock: a session touched at t ends with the bucket in which
t + timeout falls, so between timeout and timeout + tick later.
"""

import math
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass

from .codes import Error, Refusal
from .loop import VirtualLoop

__all__ = ["SessionTable", "first_session_id", "password_of"]


@dataclass(slots=True)
class _Session:
    timeout: int  # ms
    expires: float = 0.0
    owner: object = None
    is_closing: bool = False


class SessionTable:
    """`expired` is called for each session whose time is over, once. `phase`: of the buckets, seconds."""

    def __init__(
        self, loop: VirtualLoop, context: Context, tick: float, phase: float, expired: Callable[[int], None]
    ) -> None:
        self._loop = loop
        self._context = context
        self._tick = tick
        self._phase = phase
        self._expired = expired
        self._sessions: dict[int, _Session] = {}
        self._timer = loop.call_later(0, lambda: None, context=context)
        self._due = math.inf
        self._stopped = False

    def __contains__(self, session: int) -> bool:
        return session in self._sessions

    def stop(self) -> None:
        self._stopped = True
        self._timer.cancel()

    def track(self, session: int, timeout: int) -> None:
        self._sessions.setdefault(session, _Session(timeout))
        self.touch(session, timeout)

    def touch(self, session: int, timeout: int) -> bool:
        """It lives for `timeout` ms from now at least. False if it is over, or about to be."""
        known = self._sessions.get(session)
        if known is None or known.is_closing:
            return False
        known.expires = self._bucket(self._loop.time() + timeout / 1000)
        if known.expires < self._due:
            self._wake(known.expires)
        return True

    def expire(self, session: int) -> None:
        """At once, by an operator's hand."""
        known = self._sessions.get(session)
        if known is not None and not known.is_closing:
            known.is_closing = True
            self._expired(session)

    def close(self, session: int) -> None:
        known = self._sessions.get(session)
        if known is not None:
            known.is_closing = True

    def remove(self, session: int) -> None:
        self._sessions.pop(session, None)

    def set_owner(self, session: int, owner: object) -> None:
        known = self._sessions.get(session)
        if known is None or known.is_closing:
            raise Refusal(Error.SESSION_EXPIRED)
        known.owner = owner

    def check(self, session: int, owner: object) -> None:
        """Raises SESSIONEXPIRED or, if it is another server's by now, SESSIONMOVED."""
        known = self._sessions.get(session)
        if known is None or known.is_closing:
            raise Refusal(Error.SESSION_EXPIRED)
        if known.owner is None:
            known.owner = owner
        elif known.owner is not owner:
            raise Refusal(Error.SESSION_MOVED)

    # ------------------------------------------------------------------ inside

    def _bucket(self, time: float) -> float:
        return (math.floor((time - self._phase) / self._tick) + 1) * self._tick + self._phase

    def _wake(self, due: float) -> None:
        self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._look, context=self._context)

    def _look(self) -> None:
        if self._stopped:
            return
        now, self._due = self._loop.time(), math.inf
        over = [session for session, known in self._sessions.items() if known.expires <= now and not known.is_closing]
        for session in over:
            self.expire(session)
        following = min((known.expires for known in self._sessions.values() if not known.is_closing), default=math.inf)
        if following < math.inf:
            self._wake(following)


def first_session_id(server: int, wall: int) -> int:
    """The first that a server gives out when it has started at `wall` (ms)."""
    return (((wall << 24) & (2**64 - 1)) >> 8 | server << 56) & (2**63 - 1)


def password_of(session: int) -> bytes:
    """Java's Random, seeded with the session's id and a constant that everybody knows: no secret at all."""
    state = (session ^ 0xB3415C00 ^ 0x5DEECE66D) & (2**48 - 1)
    result = b""
    for _ in range(4):
        state = (state * 0x5DEECE66D + 0xB) & (2**48 - 1)
        result += (state >> 16 & 0xFFFFFFFF).to_bytes(4, "little")
    return result
