"""Places in a queue on a scripted session: one that is to join, and one that stands in line."""

from typing import Any

from scripted import failing

from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.place import Place
from aioha.wire.errors import BadVersion

__all__ = ["COMMITTED", "Joined", "place", "standing"]

COMMITTED = failing(0, BadVersion())


class Joined:
    """The reply to a sequential `create`."""

    def __init__(self, path: str) -> None:
        self.path = path


def place(session: Any, layout: str = "zk-recipes", stem: str = "", acl: Any = None) -> Place:
    made = Place(session, "/q/e", DIALECTS[layout], b"me", acl)
    if stem:
        made._stem = stem
    return made


def standing(session: Any, layout: str = "latch", *, czxid: int | None = 50) -> Place:
    """In line as m5."""
    made = place(session, layout, "m")
    made.name, made.czxid = "m5", czxid
    return made
