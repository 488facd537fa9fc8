"""aioha: exactly one copy of an asyncio service works, and the others stand by.

async with Elector("zk://zk1,zk2,zk3/master/billing", work) as elector: ...

A name is loaded when it is first asked for. So the command line can answer to Ctrl-C before everything is there, and who
stays on one host never loads the ZooKeeper client.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
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

_HOMES = {
    "Campaign": "campaign",
    "Elector": "elector",
    "Leader": "elections",
    "Predecessor": "elections",
    "Session": "shared",
    "Standing": "standing",
    "Term": "term",
    "active_standby": "decorator",
}


def __getattr__(name: str) -> typing.Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
