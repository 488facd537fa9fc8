"""Elections by unchanged production code on simulated ensembles: faults of servers, links and processes, in virtual time."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from simulated_candidates import Candidate, History

from aioha.testing.simulated import Server, SimulatedEnsemble, Simulation, run

TIMEOUT, TICK = 10.0, 2.0
TAKEOVER = TIMEOUT + 2 * TICK + 1.5  # what the old work may still need, and round trips
SEEDS = range(5)


class Scene:
    """Three servers, and candidates one after another: the first leads, if nobody is told otherwise."""

    def __init__(self, simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        self.simulation = simulation
        self.network = simulation.network
        self.ensemble = ensemble
        self.history = History(simulation)
        self.candidates: list[Candidate] = []

    def candidate(self, *, at: int | None = None, **options: object) -> Candidate:
        made = Candidate(self.history, self.ensemble, f"c{len(self.candidates) + 1}", at=at, **options)
        self.candidates.append(made)
        return made

    async def leading(self, *, at: Server | None = None, standbys: int = 2) -> Candidate:
        """A candidate that leads, through that server alone, and some that stand by."""
        first = self.candidate(at=at.number if at is not None else None)
        await self.history.until(1)
        for _ in range(standbys):
            self.candidate()
        await asyncio.sleep(TIMEOUT)
        return first

    async def end(self) -> None:
        for candidate in self.candidates:
            if not self.network.host(candidate.host).dead:
                await candidate.stop()
        self.history.assert_safe()


def played(play: Callable[[Scene], Awaitable[None]], seed: int, servers: int = 3) -> list[str]:
    """What happened: the history, the servers' journal and the fingerprint of every byte."""

    async def main(simulation: Simulation) -> list[str]:
        scene = Scene(simulation, await simulation.ensemble(servers, tick=TICK))
        await play(scene)
        await scene.end()
        journal = [f"{when!r} {what}" for when, what in scene.ensemble.journal]
        return [*scene.history.lines(), *journal, simulation.fingerprint]

    return run(main, seed)


async def hand_over(scene: Scene) -> None:
    first = await scene.leading()
    await first.stop()
    began, ended = (await scene.history.until(2)).begun, scene.history.intervals[0].ended
    assert ended is not None
    assert began - ended < 0.05


async def lose_the_candidates_network(scene: Scene) -> None:
    first = await scene.leading()
    cut = scene.simulation.clock()
    for server in scene.ensemble.servers:
        scene.network.cut(first.host, server.name)
    second = await scene.history.until(2)
    ended = scene.history.intervals[0].ended
    assert ended is not None
    assert ended < cut + TIMEOUT
    assert second.begun < cut + TAKEOVER
    scene.network.heal()
    await asyncio.sleep(3 * TIMEOUT)
    assert len(scene.history.working) == 1


async def crash_the_candidate(scene: Scene) -> None:
    first = await scene.leading()
    crashed = scene.simulation.clock()
    first.crash()
    assert (await scene.history.until(2)).begun < crashed + TAKEOVER


async def expire_the_session(scene: Scene) -> None:
    first = await scene.leading()
    assert first.elector is not None
    assert first.elector.session is not None
    expired = scene.simulation.clock()
    assert scene.ensemble.expire_session(first.elector.session.id)
    assert (await scene.history.until(2)).begun < expired + TIMEOUT * 0.1 + 0.2


async def kill_the_candidates_server(scene: Scene) -> None:
    first = await scene.leading()
    server = next(each for each in scene.ensemble.servers if each.name == first.server)
    server.kill()
    await asyncio.sleep(5 * TIMEOUT)
    server.start()
    await scene.ensemble.ready()
    assert len(scene.history.intervals) == 1, "the term outlives its server"
    assert first.server != server.name


async def freeze_the_candidates_server(scene: Scene) -> None:
    followers = scene.ensemble.followers()
    first = await scene.leading()
    server = next(each for each in scene.ensemble.servers if each.name == first.server)
    server.freeze()
    await asyncio.sleep(5 * TIMEOUT)
    server.thaw()
    await asyncio.sleep(5 * TIMEOUT)
    await scene.ensemble.ready()
    if server in followers:
        assert len(scene.history.intervals) == 1, "the term outlives a frozen follower"
    assert len(scene.history.working) == 1


async def ghost_follower(scene: Scene) -> None:
    """Cut off from the leader only: it answers pings of a session that ends meanwhile."""
    ghost, leader = scene.ensemble.followers()[0], await scene.ensemble.leader()
    first = await scene.leading(at=ghost)
    cut = scene.simulation.clock()
    scene.ensemble.cut(ghost, leader)
    second = await scene.history.until(2)
    ended = scene.history.intervals[0].ended
    assert ended is not None
    assert ended < cut + TIMEOUT
    assert second.begun < cut + TAKEOVER
    assert first.server in ("", ghost.name)
    scene.ensemble.heal()
    await asyncio.sleep(3 * TIMEOUT)


async def depose_the_leader(scene: Scene) -> None:
    """Isolated from the others, it still answers its own client; the others elect a new leader and a new term."""
    leader = await scene.ensemble.leader()
    await scene.leading(at=leader)
    cut = scene.simulation.clock()
    scene.ensemble.isolate(leader)
    await scene.history.until(2)
    ended = scene.history.intervals[0].ended
    assert ended is not None
    assert ended < cut + TIMEOUT
    scene.ensemble.heal()
    await scene.ensemble.ready()
    await asyncio.sleep(3 * TIMEOUT)
    assert len(scene.history.working) == 1


async def kill_the_ensembles_leader(scene: Scene) -> None:
    await scene.leading()
    leader = await scene.ensemble.leader()
    leader.kill()
    await asyncio.sleep(5 * TIMEOUT)
    assert len(scene.history.intervals) == 1, "an election of the servers takes less than a lease"
    assert (await scene.ensemble.leader()).current_epoch > leader.current_epoch
    leader.start()
    await scene.ensemble.ready()


async def lose_the_quorum(scene: Scene) -> None:
    await scene.leading()
    for server in scene.ensemble.servers[:2]:
        server.kill()
    lost = scene.simulation.clock()
    await asyncio.sleep(3 * TIMEOUT)
    assert scene.history.intervals[0].ended is not None
    assert scene.history.intervals[0].ended < lost + TIMEOUT
    await scene.ensemble.restore()
    healed = scene.simulation.clock()
    assert (await scene.history.until(2)).begun < healed + TAKEOVER


async def restart_all_in_turn(scene: Scene) -> None:
    await scene.leading()
    for server in scene.ensemble.servers:
        server.restart()
        await scene.ensemble.ready()
        await asyncio.sleep(TIMEOUT)
    assert len(scene.history.intervals) == 1


async def silence_one_way(scene: Scene) -> None:
    first = await scene.leading()
    for server in scene.ensemble.servers:
        scene.network.silence(server.name, first.host)
    await scene.history.until(2)
    scene.network.heal()
    await asyncio.sleep(2 * TIMEOUT)


async def reset_again_and_again(scene: Scene) -> None:
    first = await scene.leading()
    for _ in range(50):
        for server in scene.ensemble.servers:
            scene.network.reset(first.host, server.name)
        await asyncio.sleep(0.7)
    await asyncio.sleep(TIMEOUT)
    assert len(scene.history.intervals) == 1, "a lost connection is not a lost term"


async def freeze_the_candidate(scene: Scene) -> None:
    """It believes too long, and ends before it does anything else."""
    first = await scene.leading(standbys=2)
    scene.network.freeze(first.host)
    second = await scene.history.until(2)
    interval = scene.history.intervals[0]
    assert interval.ended is None
    scene.network.thaw(first.host)
    await asyncio.sleep(0.001)
    assert interval.ended is not None
    interval.ended = second.begun  # a frozen process only believes


SCENES = [
    hand_over,
    lose_the_candidates_network,
    crash_the_candidate,
    expire_the_session,
    kill_the_candidates_server,
    freeze_the_candidates_server,
    ghost_follower,
    depose_the_leader,
    kill_the_ensembles_leader,
    lose_the_quorum,
    restart_all_in_turn,
    silence_one_way,
    reset_again_and_again,
    freeze_the_candidate,
]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("play", SCENES, ids=lambda play: play.__name__)
def test_scene(play: Callable[[Scene], Awaitable[None]], seed: int) -> None:
    assert played(play, seed) == played(play, seed), "the same seed, the same run"


def test_seeds_differ() -> None:
    assert len({played(hand_over, seed)[-1] for seed in SEEDS}) == len(SEEDS)


def test_lone_server() -> None:
    assert played(hand_over, 3, servers=1) == played(hand_over, 3, servers=1)


def test_five_servers() -> None:
    played(ghost_follower, 1, servers=5)
    played(depose_the_leader, 1, servers=5)


def test_another_process_with_another_hash_seed_runs_the_same() -> None:
    program = "import test_simulated_elections as t; print(t.played(t.lose_the_quorum, 7)[-1])"
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert found == [played(lose_the_quorum, 7)[-1]] * 2


def test_speed() -> None:
    """Three candidates on three servers, an hour."""

    async def hour(scene: Scene) -> None:
        await scene.leading()
        await asyncio.sleep(3600)

    begun = time.process_time()
    played(hour, 1)
    speed = 3600 / (time.process_time() - begun)
    print(f"\n{speed:.0f} times real time")
    assert speed > 500  # three thousand on an idle machine
