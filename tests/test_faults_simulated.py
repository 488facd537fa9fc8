"""Faults in virtual time that a real machine cannot have at will, or not at the right moment: one short scene each.

As in `test_simulated_elections`: unchanged production code, work that never overlaps, tokens that rise, and the same
seed gives the same run.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from simulated_candidates import PATH
from test_simulated_elections import TAKEOVER, TIMEOUT, Scene, played

from aioha.testing import Op
from aioha.testing.simulated import Weather

SEEDS = range(2)

Play = Callable[[Scene], Awaitable[None]]


def every_seed(play: Play, *, servers: int = 3) -> None:
    for seed in SEEDS:
        assert played(play, seed, servers) == played(play, seed, servers), "the same seed, the same run"


def change_weather(scene: Scene, host: str, weather: Weather) -> None:
    """Of all links between a host and the servers, either way."""
    for server in scene.ensemble.servers:
        scene.network.link(host, server.name).weather = weather
        scene.network.link(server.name, host).weather = weather


def ended(scene: Scene, number: int = 1) -> float:
    """When the so-many-th term has ended."""
    end = scene.history.intervals[number - 1].ended
    assert end is not None
    return end


# ---------------------------------------------------------------------- links


@pytest.mark.parametrize("loss", [0.1, 0.2, 0.4])
def test_loss(loss: float) -> None:
    """What TCP makes of it: a fifth of all packets cost no term; with more of them gone one may be lost (with a quarter in 4
    of 60 seeds).
    """

    async def play(scene: Scene) -> None:
        first = await scene.leading()
        change_weather(scene, first.host, Weather(loss=loss))
        await asyncio.sleep(6 * TIMEOUT)
        assert loss > 0.2 or len(scene.history.intervals) == 1
        change_weather(scene, first.host, Weather())
        await asyncio.sleep(TAKEOVER)
        assert len(scene.history.working) == 1

    every_seed(play)


def test_round_trips_of_a_tenth_to_a_whole_second() -> None:
    async def play(scene: Scene) -> None:
        for number in range(3):
            change_weather(scene, f"c{number + 1}", Weather(0.05, 0.45))
        first = await scene.leading()
        await asyncio.sleep(6 * TIMEOUT)
        assert len(scene.history.intervals) == 1, "slow is not silent"
        await first.stop()
        second = await scene.history.until(2)
        assert second.begun - ended(scene) < 5.0, "five round trips, at the worst"

    every_seed(play)


def test_nothing_reaches_the_servers() -> None:
    """Their answers would arrive, if there were any."""

    async def play(scene: Scene) -> None:
        first = await scene.leading()
        cut = scene.simulation.clock()
        for server in scene.ensemble.servers:
            scene.network.silence(first.host, server.name)
        assert (await scene.history.until(2)).begun < cut + TAKEOVER
        assert ended(scene) < cut + TIMEOUT

    every_seed(play)


def test_a_link_that_is_down_and_up_again_and_again() -> None:
    async def play(scene: Scene) -> None:
        first = await scene.leading()
        for _ in range(20):
            for server in scene.ensemble.servers:
                scene.network.cut(first.host, server.name)
            await asyncio.sleep(scene.simulation.rng.uniform(0.01, 0.15) * TIMEOUT)
            for server in scene.ensemble.servers:
                scene.network.heal(first.host, server.name)
            await asyncio.sleep(TIMEOUT / 2)
        assert len(scene.history.intervals) == 1, "moments without a link cost no term"

    every_seed(play)


def test_320_bytes_per_second() -> None:
    async def play(scene: Scene) -> None:
        first = await scene.leading()
        for server in scene.ensemble.servers:
            scene.network.fragment(first.host, server.name, 32, 0.1)
            scene.network.fragment(server.name, first.host, 32, 0.1)
        await asyncio.sleep(6 * TIMEOUT)
        assert len(scene.history.intervals) == 1

    every_seed(play)


def test_fragments_of_one_byte() -> None:
    async def play(scene: Scene) -> None:
        for number in (1, 2, 3):
            for server in scene.ensemble.servers:
                scene.network.fragment(f"c{number}", server.name)
                scene.network.fragment(server.name, f"c{number}")
        first = await scene.leading()
        await asyncio.sleep(TIMEOUT)
        assert len(scene.history.intervals) == 1
        await first.stop()
        await scene.history.until(2)

    every_seed(play)


def test_frames_cut_in_the_middle() -> None:
    async def play(scene: Scene) -> None:
        first = await scene.leading()
        for size in (1, 3, 4, 5, 12, 19):
            before = first.server
            scene.network.truncate(before, first.host, size)
            await asyncio.sleep(TIMEOUT / 2)
        assert len(scene.history.intervals) == 1, "a lost connection each time, and no lost term"

    every_seed(play)


# ---------------------------------------------------------------------- sessions


def test_told_late_that_its_turn_has_come() -> None:
    """The first in line hears that the leader is gone when its own session has expired and another one leads."""

    async def play(scene: Scene) -> None:
        first = await scene.leading(standbys=2)
        late = scene.candidates[1]
        for server in scene.ensemble.servers:
            scene.network.silence(server.name, late.host)
        await first.stop()  # what tells of it waits in the link
        second = await scene.history.until(2)
        assert second.who == scene.candidates[2].host
        await asyncio.sleep(TAKEOVER)  # its session is gone by now
        scene.network.heal()
        await asyncio.sleep(TAKEOVER)
        assert [interval.who for interval in scene.history.working] == [second.who]
        assert len(scene.history.intervals) == 2
        await scene.candidates[2].stop()
        assert (await scene.history.until(3)).who == late.host, "and it is as good as new"

    every_seed(play)


def test_the_reply_to_a_takeover_is_lost() -> None:
    """The first in line has won and is not told: it finds out, and leads on the node that it has."""

    async def play(scene: Scene) -> None:
        first = await scene.leading(standbys=1)
        standby = scene.candidates[1]
        for server in scene.ensemble.servers:
            scene.network.drop_reply(standby.host, server.name, Op.MULTI, PATH.encode())
        await first.stop()
        second = await scene.history.until(2)
        assert second.begun - ended(scene) < TAKEOVER
        await asyncio.sleep(TAKEOVER)
        assert scene.history.working == [second]

    every_seed(play)


def test_a_watch_is_lost_with_its_connection() -> None:
    """The leader goes while the standby has no connection: what it watched for happens unseen."""

    async def play(scene: Scene) -> None:
        first = await scene.leading(standbys=1)
        standby = scene.candidates[1]
        for server in scene.ensemble.servers:
            scene.network.cut(standby.host, server.name)
            scene.network.reset(standby.host, server.name)
        await first.stop()
        await asyncio.sleep(0.3 * TIMEOUT)
        scene.network.heal()
        healed = scene.simulation.clock()
        assert (await scene.history.until(2)).begun < healed + 2.0

    every_seed(play)


def test_stopped_for_less_than_its_lease() -> None:
    async def play(scene: Scene) -> None:
        first = await scene.leading()
        for _ in range(5):
            scene.network.freeze(first.host)
            await asyncio.sleep(0.3 * TIMEOUT)
            scene.network.thaw(first.host)
            await asyncio.sleep(TIMEOUT)
        assert len(scene.history.intervals) == 1

    every_seed(play)


def test_the_host_is_suspended() -> None:
    """For longer than its lease: its timers have not noticed, its clock has, and its work does nothing any more."""

    async def play(scene: Scene) -> None:
        first = await scene.leading()
        scene.network.suspend(first.host)
        second = await scene.history.until(2)
        interval = scene.history.intervals[0]
        await asyncio.sleep(TIMEOUT)
        scene.network.thaw(first.host)
        await asyncio.sleep(TIMEOUT)
        assert interval.ended is not None
        assert interval.ended < scene.simulation.clock() - TIMEOUT * 0.7, "by the next heartbeat at the latest"
        interval.ended = second.begun  # meanwhile it only believed
        assert scene.history.working == [second]

    every_seed(play)


# ---------------------------------------------------------------------- many


def test_three_hundred_standbys_at_once() -> None:
    """They come within one second, lose their leader, and lose it again: always one works, and soon."""

    async def play(scene: Scene) -> None:
        for _ in range(300):
            scene.candidate()
        leader = await scene.history.until(1)
        await asyncio.sleep(5.0)
        hosts = {candidate.host: candidate for candidate in scene.candidates}
        await hosts[leader.who].stop()
        second = await scene.history.until(2)
        assert second.begun - ended(scene) < 1.0
        crashed = scene.simulation.clock()
        hosts[second.who].crash()
        third = await scene.history.until(3)
        assert third.begun < crashed + TAKEOVER
        for candidate in scene.candidates:
            candidate.task.cancel()

    played(play, 0)
