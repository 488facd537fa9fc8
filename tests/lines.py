"""Candidates of an `ephemeral` election that has been led before, and what standbys in line ask, in words."""

from typing import Any

from bareelections import PATH, Bare, Scene

from aioha.testing.simulated import acl
from aioha.testing.simulated.codes import Perm

__all__ = [
    "CLOSED",
    "COUNT",
    "FOLLOW",
    "GLIMPSE",
    "LIST",
    "LISTED",
    "LOOK",
    "forbid_the_line",
    "join",
    "led_once",
    "place_in_line",
]

GLIMPSE = ["exists E", "get E.aioha", "get E.aioha/ended"]  # at the election, from afar
LOOK = ["exists E watch", *GLIMPSE[1:]]  # of those who wait for the leader's node to go
LIST = "children E.aioha/line"
COUNT = "exists E.aioha/line"  # how many are in it


def place_in_line(number: int) -> str:
    return f"E.aioha/line/{number:010d}"


def join(who: str, data: str | None = None) -> str:
    return f"""create E.aioha/line/ '{{"identity": "{who}", "data": "{data or who}"}}' ephemeral sequential"""


CLOSED = (acl.Entry(Perm.READ | Perm.ADMIN, "world", "anyone"),)  # until that is taken back
LISTED = [[f"exists {place_in_line(number)}", LIST] for number in range(6)]  # the line, by who has this place
FOLLOW = [f"get {place_in_line(number)} watch" for number in range(6)]  # the one before, who has this place


async def led_once(scene: Scene, *names: str, **options: Any) -> list[Bare]:
    """Candidates, after a term of the first one. The line is there, and empty."""
    candidates = [await scene.candidate(name, **options) for name in names]
    await candidates[0].release(await candidates[0].win())
    if scene.operator.tree.get(f"{PATH}.aioha") is not None:
        scene.operator.create(f"{PATH}.aioha/line", b"")
    for each in candidates:
        _ = each.asked
    return candidates


def forbid_the_line(scene: Scene) -> None:
    """To stand in it: it will be a plain race."""
    scene.operator.set_acl(f"{PATH}.aioha/line", CLOSED)
