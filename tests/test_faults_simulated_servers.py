"""Servers that lag, fill their disks or lose their memory, in virtual time: one short scene each."""

import asyncio

from test_faults_simulated import every_seed
from test_simulated_elections import TAKEOVER, TIMEOUT, Scene

from aioha.testing.simulated import Weather


def test_a_follower_that_lags() -> None:
    """All that the candidates see is seconds old: who led, who is gone, and what their own transactions did."""

    async def play(scene: Scene) -> None:
        leader, follower = await scene.ensemble.leader(), scene.ensemble.followers()[0]
        first = await scene.leading()
        scene.candidate(at=follower.number)
        scene.network.link(leader.name, follower.name).weather = Weather(0.3, 0.7)
        await asyncio.sleep(2 * TIMEOUT)
        await first.stop()
        await scene.history.until(2)
        for candidate in scene.candidates[1:]:
            await candidate.stop()
            await asyncio.sleep(TAKEOVER)
        assert len(scene.history.intervals) >= 3

    every_seed(play)


def test_a_follower_that_is_stopped() -> None:
    """With the leader attached to it: it is left for another server, and the term goes on."""

    async def play(scene: Scene) -> None:
        chief = await scene.ensemble.leader()
        scene.network.cut("c1", chief.name)  # until it has found one of the others
        leader = await scene.leading()
        scene.network.heal()
        follower = next(each for each in scene.ensemble.followers() if each.name == leader.server)
        follower.freeze()
        await asyncio.sleep(TIMEOUT / 3 + 0.15)
        assert leader.server not in ("", follower.name)
        await asyncio.sleep(5 * TIMEOUT)
        follower.thaw()
        await asyncio.sleep(5 * TIMEOUT)
        assert len(scene.history.intervals) == 1

    every_seed(play)


def test_a_full_disk() -> None:
    """Of the ensemble's leader, and of its next one: each ends at its first write, and the term goes on beside."""

    async def play(scene: Scene) -> None:
        await scene.leading()
        for _ in range(2):
            server = await scene.ensemble.leader()
            server.fill_disk()
            await asyncio.sleep(TIMEOUT)
            assert not server.alive
            server.free_disk()
            server.start()
            await scene.ensemble.ready()
            await asyncio.sleep(TIMEOUT)
        assert len(scene.history.intervals) == 1

    every_seed(play)


async def set_back(scene: Scene, standbys: int) -> int:
    """A leader and standbys whose servers come back with yesterday's data; the highest token before."""
    await scene.leading(standbys=0)
    disks = scene.ensemble.snapshot()
    for number in (1, 2, 3):
        await scene.history.until(number)
        for server in scene.ensemble.servers:  # a new epoch, without which even old data gives higher tokens
            server.restart()
        await scene.ensemble.ready()
        await asyncio.sleep(TIMEOUT)
        await scene.candidates[-1].stop()
        scene.candidate()
    leader = await scene.history.until(4)
    for _ in range(standbys):
        scene.candidate()
    await asyncio.sleep(TIMEOUT)
    scene.ensemble.roll_back(disks)
    await scene.ensemble.ready()
    return leader.token


def test_the_data_is_set_back_under_a_leader() -> None:
    async def play(scene: Scene) -> None:
        highest = await set_back(scene, standbys=0)
        assert (await scene.history.until(5)).token > highest

    every_seed(play)


def test_the_data_is_set_back_under_a_standby() -> None:
    """And the leader is gone: what the standby has seen of its term must do."""

    async def play(scene: Scene) -> None:
        highest = await set_back(scene, standbys=1)
        scene.candidates[-2].crash()
        assert (await scene.history.until(5)).token > highest

    every_seed(play)
