"""Who is meant by a fault: looked up when it happens, among those who are there then."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from aioha.testing.simulated import Server

from ..candidate import Candidate
from ..scene import PATH
from ..schedule import Entry

if TYPE_CHECKING:
    from ..stage import Stage

__all__ = [
    "PARENT",
    "RECORD",
    "Later",
    "NotNow",
    "Undo",
    "attached",
    "chance_of",
    "the_candidate",
    "the_leader",
    "the_server",
]

Undo = Callable[[], None] | None  # what undoes a fault; None: it is over at once
PARENT, RECORD = PATH.rpartition("/")[0], f"{PATH}.aioha"


class NotNow(Exception):
    """Nobody is there to whom it could happen."""


class Later(Exception):
    """It is to happen when nothing else is wrong."""


def the_candidate(stage: "Stage", target: str) -> Candidate:
    up = [each for each in stage.candidates if each.is_up]
    leading = stage.truth.owning(stage.truth.owner) or next((each for each in up if each.working), None)
    if target == "leading":
        found = leading
    elif target == "standby":
        found = next((each for each in up if each is not leading), None)
    else:
        found = next((each for each in up if each.name == target), None)
    if found is None or not found.is_up:
        raise NotNow
    return found


def the_server(stage: "Stage", target: str) -> Server:
    servers = stage.ensemble.servers
    if target.startswith("zk"):
        return servers[(int(target[2:]) - 1) % len(servers)]
    if target == "leader":
        return the_leader(stage)
    if target == "follower":
        found = next(iter(stage.ensemble.followers()), None)
    else:
        try:
            name = the_candidate(stage, "leading").server
        except NotNow:
            name = the_candidate(stage, "standby").server
        found = next((server for server in servers if server.name == name), None)
    if found is None:
        raise NotNow
    return found


def the_leader(stage: "Stage") -> Server:
    leading = [each for each in stage.ensemble.servers if each.alive and each.mode() in ("leader", "standalone")]
    if not leading:
        raise NotNow
    return max(leading, key=lambda server: server.current_epoch)


def chance_of(entry: Entry) -> random.Random:
    return random.Random(str(entry))


def attached(stage: "Stage", entry: Entry) -> Candidate:
    candidate = the_candidate(stage, entry.target)
    if not candidate.server:
        raise NotNow
    return candidate
