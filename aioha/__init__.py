"""aioha: exactly one copy of an asyncio service works, and the others stand by.

async with Elector("zk://zk1,zk2,zk3/master/billing", work) as elector: ...
"""

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
from .shared import Session
from .standing import Standing
from .term import Term

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
