"""How elections are held. `protocol` says what an elector needs; the other files each hold elections in one store."""

from ..settings import Settings
from ..where import Where
from .protocol import Election, Grant, Leader, Operation, Predecessor, SessionView

__all__ = ["Election", "Grant", "Leader", "Operation", "Predecessor", "SessionView", "from_where"]


def from_where(where: Where, settings: Settings) -> Election:
    """The election that a `where` names. Does not connect."""
    if where.is_local:
        from .local import LocalElection

        return LocalElection(where.path, settings)
    from .zookeeper import election_at, sessions_for

    return election_at(where.path, settings, sessions_for(where, settings))
