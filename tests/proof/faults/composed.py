"""Several things at once, where one alone is covered by another defence: see each."""

import contextlib
from typing import TYPE_CHECKING

from aioha.heartbeat import SILENCE
from aioha.lease import gap_for
from aioha.testing.history import Fact, Kind
from aioha.testing.simulated import Weather
from aioha.testing.simulated.leading import Leading

from ..operator import Unserved
from ..schedule import Entry
from . import byhand, processes
from .links import weathered
from .whom import RECORD, NotNow, Undo, chance_of, the_candidate, the_leader, the_server

if TYPE_CHECKING:
    from ..stage import Stage

__all__ = ["depose", "late_answer", "late_bid", "unseat"]

A_MOMENT = 1e-6  # seconds
LATE, LATER = 1 / 10, 1 / 7  # of the session timeout: less than the silence after which a connection is dropped
OF_THOSE_FROZEN = 0.5


def depose(stage: "Stage", entry: Entry) -> Undo:
    """The ensemble's leader is cut off with one candidate, and goes on answering it while the others elect a new one."""
    candidate, leader = the_candidate(stage, entry.target), the_leader(stage)
    network, host = stage.simulation.network, candidate.host
    others = [server.name for server in stage.ensemble.servers if server is not leader]
    for name in others:
        network.cut(leader.name, name)
        network.silence(host, name)
        network.silence(name, host)
        network.reset(host, name)
    network.reset(host, leader.name)

    def heal() -> None:
        stage.mended()
        for name in others:
            network.heal(leader.name, name)
            network.heal(host, name)

    stage.later((stage.scene.sync_limit + 2) * stage.scene.tick, heal)
    return None


def late_answer(stage: "Stage", entry: Entry) -> Undo:
    """A follower hears the ensemble's leader late from now on, and cannot answer it any more just when it hears the next
    question for touches: a write that was sent meanwhile is committed, and touches from before it never arrive.
    """
    server, leader, network = the_server(stage, entry.target), the_leader(stage), stage.simulation.network
    role = leader.role
    if server is leader or not isinstance(role, Leading):
        raise NotNow
    scene = stage.scene
    gap = min(gap_for(scene.timeout, plan.options.get("tick")) for plan in scene.plans)
    least, most = gap - scene.tick / 2, scene.timeout * SILENCE - 2 * scene.delay
    if most < least:
        raise NotNow  # the candidate would leave a server that is later than the gap allows for
    latency = chance_of(entry).uniform((least + most) / 2, most)
    heal = weathered(stage, [(leader.name, server.name)], Weather(latency, 0.0))

    def cut() -> None:
        if stage.storming:
            network.silence(server.name, leader.name)

    def over() -> None:
        stage.mended()
        network.heal(server.name, leader.name)
        if heal is not None:
            heal()

    asked = max(role.next_ping - leader.loop.time_of(leader.name), 0.0)
    stage.later(asked + latency - A_MOMENT, cut)
    return over


def late_bid(stage: "Stage", entry: Entry) -> Undo:
    """A whole term begins and ends while a bid is on its way: the leader stops, and so does at once who comes next."""
    late, leading = the_candidate(stage, entry.target), the_candidate(stage, "leading")
    if late is leading:
        raise NotNow
    latency = stage.scene.timeout * LATE
    heal = weathered(stage, [(late.host, server.name) for server in stage.ensemble.servers], Weather(latency, 0.0))

    def told(fact: Fact) -> None:
        following = next((each for each in stage.candidates if each.name == fact.who), None)
        if fact.kind is Kind.BEGAN and following is not None and following is not late:
            stage.later(0.0, following.stop)

    def over() -> None:
        stage.history.listeners.remove(told)
        if heal is not None:
            heal()

    stage.history.listeners.append(told)
    stage.later(2 * latency, over)
    leading.stop()
    return None


def unseat(stage: "Stage", entry: Entry) -> Undo:
    """A leader that is frozen, or whose requests travel for long, loses node and seat by hand: nobody can wait for its end,
    and only fencing holds it back, or what it has sent before.
    """
    candidate = the_candidate(stage, entry.target)

    def leads() -> bool:
        return candidate.working and stage.truth.owning(stage.truth.owner) is candidate

    def by_hand() -> None:
        if leads() and stage.storming:
            with contextlib.suppress(Unserved):
                stage.operator.delete(stage.truth.node, f"{RECORD}/seat")
                candidate.disown()

    if not leads():
        raise NotNow
    byhand.alone(stage, candidate)
    if chance_of(entry).random() < OF_THOSE_FROZEN:
        thaw = processes.freeze(stage, entry)
        by_hand()
        return thaw
    latency = stage.scene.timeout * LATER
    heal = weathered(stage, [(candidate.host, server.name) for server in stage.ensemble.servers], Weather(latency, 0.0))
    stage.later(latency, by_hand)
    return heal
