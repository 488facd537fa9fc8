"""Places in a queue, and in the line of an `ephemeral` election, on a scripted session; what is asked there, in words."""

import asyncio
from typing import Any

from scripted import failing, listed, node

from aioha.elections.zookeeper.attention import Attention
from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.ground import Ground
from aioha.elections.zookeeper.line import Line
from aioha.elections.zookeeper.place import Place
from aioha.settings import Settings
from aioha.wire.errors import BadVersion

__all__ = [
    "COMMITTED",
    "COUNT",
    "JOIN",
    "LIST",
    "OTHER",
    "ROOT",
    "Joined",
    "counted",
    "joined",
    "line",
    "line_of",
    "name",
    "ours",
    "place",
    "standing",
    "turns",
    "watch",
]

COMMITTED = failing(0, BadVersion())
ROOT = "/e.aioha/line"
JOIN = f"""create {ROOT}/ '{{"identity": "me", "data": "me"}}' ephemeral sequential"""
LIST = f"children {ROOT}"
COUNT = f"exists {ROOT}"
OTHER = node(owner=8)


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


# ---------------------------------------------------------------------- in line


def name(number: int) -> str:
    return f"{number:010d}"


def line(session: Any, number: int | None = None, *, front: int | None = None, **options: Any) -> Line:
    """`number`: of the place that we have. `front`: of the one from which we have taken over before."""
    given: dict[str, Any] = {"identity": "me", "clock": asyncio.get_running_loop().time, **options}
    settings = Settings(**given)
    made = Line(Attention(session), Ground("/e", settings), settings, front)
    made.place.name = None if number is None else name(number)
    return made


def joined(number: int) -> Joined:
    return Joined(f"{ROOT}/{name(number)}")


def counted(places: int, last: int) -> Any:
    """The reply to a count of the line; `last`: the number of the place that was made last."""
    return node(children=places, changes=2 * (last + 1) - places)


def ours(number: int) -> list[str]:
    return [f"exists {ROOT}/{name(number)}", LIST]


def watch(number: int) -> str:
    return f"get {ROOT}/{name(number)} watch"


def line_of(*numbers: int) -> list[Any]:
    """Replies to a listing."""
    return [node(owner=7), listed(*map(name, numbers))]


async def turns() -> None:
    """As many of the loop as anything here takes before it has to wait."""
    for _ in range(20):
        await asyncio.sleep(0)
