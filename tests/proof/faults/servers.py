"""Faults of the servers, and of the links between them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from aioha.testing.simulated import Server, Weather

from ..schedule import Entry
from .links import weathered
from .whom import NotNow, Undo, chance_of, the_leader, the_server

if TYPE_CHECKING:
    from ..stage import Stage

__all__ = [
    "disk_full",
    "ghost",
    "hang",
    "isolate",
    "kill",
    "lag",
    "quorum_lost",
    "restart",
    "rolled_back",
    "rolling_restart",
]


def kill(stage: "Stage", entry: Entry) -> Undo:
    server = the_server(stage, entry.target)
    server.kill()
    return server.start


def hang(stage: "Stage", entry: Entry) -> Undo:
    server = the_server(stage, entry.target)
    server.freeze()
    return server.thaw


def disk_full(stage: "Stage", entry: Entry) -> Undo:
    """Its process ends at the next write."""
    server = the_server(stage, entry.target)
    server.fill_disk()

    def free() -> None:
        server.free_disk()
        server.start()

    return free


def rolled_back(stage: "Stage", entry: Entry) -> Undo:
    """A server, one of several, comes back with the data of a while ago; the others know better."""
    server, later = the_server(stage, entry.target), stage.scene.timeout * chance_of(entry).uniform(0.1, 2.0)
    if not server.alive:
        raise NotNow
    disk = server.snapshot()

    def roll_back() -> None:
        if stage.storming and stage.may_lose_data(server):
            server.kill()
            server.roll_back(disk)
            server.start()

    stage.later(later, roll_back)
    return None


def restart(stage: "Stage", entry: Entry) -> Undo:
    the_server(stage, entry.target).restart()
    return None


def _cut(stage: "Stage", server: Server, others: Iterable[Server]) -> Undo:
    pairs = [(server.name, other.name) for other in others if other is not server]
    for pair in pairs:
        stage.simulation.network.cut(*pair)

    def heal() -> None:
        stage.mended()
        for pair in pairs:
            stage.simulation.network.heal(*pair)

    return heal


def isolate(stage: "Stage", entry: Entry) -> Undo:
    return _cut(stage, the_server(stage, entry.target), stage.ensemble.servers)


def ghost(stage: "Stage", entry: Entry) -> Undo:
    """From the ensemble's leader only: it goes on answering its own clients."""
    server, leader = the_server(stage, entry.target), the_leader(stage)
    if server is leader:
        raise NotNow
    return _cut(stage, server, [leader])


def lag(stage: "Stage", entry: Entry) -> Undo:
    server, leader = the_server(stage, entry.target), the_leader(stage)
    if server is leader:
        raise NotNow
    latency = stage.scene.tick * chance_of(entry).uniform(0.2, 1.5)
    return weathered(stage, [(leader.name, server.name)], Weather(latency, 0.01))


def quorum_lost(stage: "Stage", entry: Entry) -> Undo:
    servers = list(stage.ensemble.servers)
    chance_of(entry).shuffle(servers)
    gone = servers[: len(servers) // 2 + 1]
    for server in gone:
        server.kill()

    def start() -> None:
        for server in gone:
            server.start()

    return start


def rolling_restart(stage: "Stage", entry: Entry) -> Undo:
    pause = stage.scene.tick * chance_of(entry).uniform(0.5, 3.0)
    for number, server in enumerate(stage.ensemble.servers):
        stage.later(number * pause, lambda server=server: server.restart() if stage.storming else None)
    return None
