"""The states of a ZooKeeper session, what it says while it is not attached, and how loud each change of state is.

CONNECTING -> CONNECTED <-> SUSPENDED          any of them -> EXPIRED | FAILED | CLOSED
"""

import logging
from enum import Enum

__all__ = ["LOUDNESS", "NotAttached", "SessionState"]


class NotAttached(ConnectionError):
    """No server is attached at the moment: nothing was sent."""


class SessionState(Enum):
    """See the head of this file. EXPIRED, FAILED and CLOSED are final."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    FAILED = "failed"
    CLOSED = "closed"

    @property
    def is_dead(self) -> bool:
        return self in (SessionState.EXPIRED, SessionState.FAILED, SessionState.CLOSED)


LOUDNESS = {
    SessionState.SUSPENDED: logging.WARNING,
    SessionState.EXPIRED: logging.WARNING,
    SessionState.CLOSED: logging.DEBUG,  # it was asked for
}
