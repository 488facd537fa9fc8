"""Which paths ZooKeeper's servers take, and which they refuse as BADARGUMENTS."""

import re

from .codes import Error, Refusal

__all__ = ["check_path", "is_special", "parent_for_create"]

_WRONG = frozenset(("", ".", ".."))
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")


def parent_for_create(path: str) -> str:
    """Looked at before anything else: there is a slash, and no null character."""
    if "/" not in path or "\0" in path:
        raise Refusal(Error.BAD_ARGUMENTS)
    return path.rpartition("/")[0]


def is_special(path: str) -> bool:
    """The servers' own, which nobody may delete."""
    return path in ("/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config")


def check_path(path: str) -> None:
    """Raises BADARGUMENTS."""
    if path == "/":
        return
    parts = path.split("/")
    if parts[0] or len(parts) < 2 or not _WRONG.isdisjoint(parts[1:]) or _ODD.search(path):
        raise Refusal(Error.BAD_ARGUMENTS)
