"""Faults of the links between candidates and servers: silence, resets, bad weather, frames that are lost or cut."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from aioha.testing.simulated import Server, Weather
from aioha.testing.simulated.codes import Op

from ..candidate import Candidate
from ..schedule import Entry
from .whom import RECORD, Undo, attached, chance_of, the_candidate

if TYPE_CHECKING:
    from ..stage import Stage

__all__ = [
    "all_lossy",
    "both_ways",
    "cut_frame",
    "deafen",
    "drop_reply",
    "drop_request",
    "drop_takeover",
    "fragments",
    "lossy",
    "mute",
    "reset",
    "reset_storm",
    "silence",
    "silence_attached",
    "slow",
    "weathered",
]

DROPPED = (Op.PING, Op.SYNC, Op.MULTI, Op.EXISTS, Op.GET)


def _silenced(stage: "Stage", candidate: Candidate, servers: Iterable[Server], *, there: bool, back: bool) -> Undo:
    network, host, names = stage.simulation.network, candidate.host, [server.name for server in servers]
    for name in names:
        if there:
            network.silence(host, name)
        if back:
            network.silence(name, host)

    def heal() -> None:
        stage.mended()
        for name in names:
            network.heal(host, name)

    return heal


def silence(stage: "Stage", entry: Entry) -> Undo:
    return _silenced(stage, the_candidate(stage, entry.target), stage.ensemble.servers, there=True, back=True)


def mute(stage: "Stage", entry: Entry) -> Undo:
    return _silenced(stage, the_candidate(stage, entry.target), stage.ensemble.servers, there=True, back=False)


def deafen(stage: "Stage", entry: Entry) -> Undo:
    return _silenced(stage, the_candidate(stage, entry.target), stage.ensemble.servers, there=False, back=True)


def silence_attached(stage: "Stage", entry: Entry) -> Undo:
    candidate = the_candidate(stage, entry.target)
    servers = [server for server in stage.ensemble.servers if server.name == candidate.server]
    return _silenced(stage, candidate, servers, there=True, back=True)


def reset(stage: "Stage", entry: Entry) -> Undo:
    candidate = the_candidate(stage, entry.target)
    for server in stage.ensemble.servers:
        stage.simulation.network.reset(candidate.host, server.name)
    return None


def reset_storm(stage: "Stage", entry: Entry) -> Undo:
    candidate, going_on = the_candidate(stage, entry.target), [True]
    host, chance, pace = candidate.host, chance_of(entry), stage.scene.timeout / 20

    def again() -> None:
        if going_on and candidate.host == host and candidate.is_up:
            reset(stage, Entry(entry.at, entry.fault, candidate.name))
            stage.later(chance.uniform(0, pace), again)

    again()
    return going_on.clear


def fragments(stage: "Stage", entry: Entry) -> Undo:
    chance, candidate, network = chance_of(entry), the_candidate(stage, entry.target), stage.simulation.network
    size, pause = chance.choice(((1, 0.0005), (8, 0.005), (32, 0.1)))
    pairs = both_ways([candidate.host], stage.ensemble.servers)
    for pair in pairs:
        network.fragment(*pair, size, pause)

    def mend() -> None:
        stage.mended()
        for pair in pairs:
            network.heal(*pair)

    return mend


def cut_frame(stage: "Stage", entry: Entry) -> Undo:
    candidate, chance = attached(stage, entry), chance_of(entry)
    pair = (candidate.host, candidate.server) if chance.random() < 0.5 else (candidate.server, candidate.host)
    stage.simulation.network.truncate(*pair, chance.randint(0, 20))
    return None


def drop_request(stage: "Stage", entry: Entry) -> Undo:
    candidate = attached(stage, entry)
    stage.simulation.network.drop_request(candidate.host, candidate.server, chance_of(entry).choice(DROPPED))
    return None


def drop_reply(stage: "Stage", entry: Entry) -> Undo:
    candidate = attached(stage, entry)
    stage.simulation.network.drop_reply(candidate.host, candidate.server, chance_of(entry).choice(DROPPED))
    return None


def drop_takeover(stage: "Stage", entry: Entry) -> Undo:
    """The next bid, or release, is carried out, and its reply lost."""
    candidate = attached(stage, entry)
    stage.simulation.network.drop_reply(candidate.host, candidate.server, Op.MULTI, RECORD.encode())
    return None


def weathered(stage: "Stage", pairs: Iterable[tuple[str, str]], weather: Weather) -> Undo:
    links = [stage.simulation.network.link(*pair) for pair in pairs]
    for link in links:
        link.weather = weather

    def clear() -> None:
        stage.mended()
        for link in links:
            link.weather = stage.simulation.network.weather

    return clear


def both_ways(hosts: Iterable[str], servers: Iterable[Server]) -> list[tuple[str, str]]:
    names = [server.name for server in servers]
    return [pair for host in hosts for name in names if name != host for pair in ((host, name), (name, host))]


def slow(stage: "Stage", entry: Entry) -> Undo:
    chance, host = chance_of(entry), the_candidate(stage, entry.target).host
    weather = Weather(chance.uniform(0.02, 0.5), chance.uniform(0.02, 0.5), spikes=chance.choice((0, 0.1)))
    return weathered(stage, both_ways([host], stage.ensemble.servers), weather)


def lossy(stage: "Stage", entry: Entry) -> Undo:
    chance, host = chance_of(entry), the_candidate(stage, entry.target).host
    weather = Weather(stage.scene.latency, stage.scene.jitter, loss=chance.uniform(0.1, 0.4))
    return weathered(stage, both_ways([host], stage.ensemble.servers), weather)


def all_lossy(stage: "Stage", entry: Entry) -> Undo:
    hosts = [each.host for each in stage.candidates if each.is_up] + [server.name for server in stage.ensemble.servers]
    weather = Weather(stage.scene.latency, stage.scene.jitter, loss=chance_of(entry).uniform(0.05, 0.3))
    return weathered(stage, both_ways(hosts, stage.ensemble.servers), weather)
