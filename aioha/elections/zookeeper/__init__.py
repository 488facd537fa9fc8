"""Elections in ZooKeeper: one file per family of layouts.

`ephemeral` is the default and also holds elections for `layout="mooon"`; `queue` holds those of members in line. `znodes`
is what every layout does to nodes; `grant` is a term that rests on a session.
"""

from ...guardian.guarded import Guardian
from ...sessions import Sessions
from ...settings import Settings
from ...where import Where
from ..protocol import Election
from .dialects import DIALECTS
from .ephemeral import EphemeralElection
from .queue import QueueElection

__all__ = ["election_at", "sessions_for"]


def election_at(path: str, settings: Settings, sessions: Sessions, *, owns_sessions: bool = True) -> Election:
    """The election at a path, in its layout. Raises `ValueError`."""
    kind = QueueElection if settings.layout in DIALECTS else EphemeralElection
    return kind(path, settings, sessions, owns_sessions=owns_sessions)


def sessions_for(where: Where, settings: Settings) -> Sessions:
    """The sessions of an elector that shares them with nobody."""
    return Sessions(
        where.servers,
        session_timeout=settings.session_timeout,
        clock=settings.clock,
        tick=settings.tick,
        pings_prove=settings.lease == "ping",
        credentials=where.credentials,
        guardian=Guardian(settings.clock, tree=settings.guardian == "tree") if settings.guardian else None,
    )
