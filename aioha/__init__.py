"""aioha: exactly one copy of an asyncio service works, and the others stand by.

async with Elector("zk://zk1,zk2,zk3/master/billing", work) as elector: ...
"""

import typing

from .campaign import Campaign
from .decorator import active_standby
from .elections import Leader, Predecessor
from .elector import Elector
from .errors import (
    ElectionError,
    Fenced,
    LayoutMismatch,
    LeadershipLost,
    LeadershipResigned,
    SessionFailed,
    TermEnded,
    TransferRefused,
    Unavailable,
)
from .standing import Standing
from .term import Term

if typing.TYPE_CHECKING:
    from .shared import Session

__all__ = [
    "Campaign",
    "ElectionError",
    "Elector",
    "Fenced",
    "LayoutMismatch",
    "Leader",
    "LeadershipLost",
    "LeadershipResigned",
    "Predecessor",
    "Session",
    "SessionFailed",
    "Standing",
    "Term",
    "TermEnded",
    "TransferRefused",
    "Unavailable",
    "active_standby",
]


def __getattr__(name: str) -> typing.Any:
    """`Session` brings the ZooKeeper client along; who stays on one host never loads it."""
    if name == "Session":
        from .shared import Session

        globals()[name] = Session
        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
