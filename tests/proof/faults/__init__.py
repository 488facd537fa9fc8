"""What each fault of a schedule does to a scene, and how it is undone.

Who is meant is looked up when it happens ("leading", "attached"). What makes no sense at that moment is left out
(`NotNow`), and what is promised only while nothing else is wrong waits until that is so (`Later`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..operator import Unserved
from ..schedule import Entry
from . import byhand, composed, links, processes, servers
from .byhand import reopen
from .whom import Later, NotNow, Undo

if TYPE_CHECKING:
    from ..stage import Stage

__all__ = ["INJECTORS", "Later", "NotNow", "inject", "reopen"]


def inject(stage: "Stage", entry: Entry) -> Undo:
    """Do it now; returns what undoes it. Raises `NotNow`, `Later`."""
    try:
        return INJECTORS[entry.fault](stage, entry)
    except Unserved:
        raise NotNow from None


INJECTORS: dict[str, Callable[["Stage", Entry], Undo]] = {
    "crash": processes.crash,
    "freeze": processes.freeze,
    "stop": processes.stop,
    "suspend": processes.suspend,
    "drift": processes.drift,
    "resign": processes.resign,
    "silence": links.silence,
    "mute": links.mute,
    "deafen": links.deafen,
    "silence-attached": links.silence_attached,
    "reset": links.reset,
    "reset-storm": links.reset_storm,
    "fragments": links.fragments,
    "cut-frame": links.cut_frame,
    "drop-request": links.drop_request,
    "drop-reply": links.drop_reply,
    "drop-takeover": links.drop_takeover,
    "slow": links.slow,
    "lossy": links.lossy,
    "all-lossy": links.all_lossy,
    "kill": servers.kill,
    "hang": servers.hang,
    "restart": servers.restart,
    "disk-full": servers.disk_full,
    "rolled-back": servers.rolled_back,
    "isolate": servers.isolate,
    "ghost": servers.ghost,
    "lag": servers.lag,
    "quorum-lost": servers.quorum_lost,
    "rolling-restart": servers.rolling_restart,
    "expire": byhand.expire,
    "stranger": byhand.stranger,
    "late-close": byhand.late_close,
    "taken-over": byhand.taken_over,
    "delete-node": byhand.delete_node,
    "delete-parent": byhand.delete_parent,
    "delete-place": byhand.delete_place,
    "rubbish-record": byhand.rubbish_record,
    "rubbish-ended": byhand.rubbish_ended,
    "acl": byhand.acl,
    "hook-fails": processes.hook_fails,
    "depose": composed.depose,
    "late-answer": composed.late_answer,
    "late-bid": composed.late_bid,
    "unseat": composed.unseat,
}
