"""Elections in ZooKeeper: one file per family of layouts.

`ephemeral` is the default and also holds elections for `layout="mooon"`; `znodes` is what every layout does to nodes;
`grant` is a term that rests on a session.
"""

from ...guardian.guarded import Guardian
from ...sessions import Sessions
from ...settings import Settings
from ...where import Where
from .ephemeral import EphemeralElection

__all__ = ["EphemeralElection", "sessions_for"]


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
