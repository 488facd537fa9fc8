"""Standing by in an `ephemeral` election, in virtual time: for how long, until what, and what is looked at meanwhile."""

import asyncio

import pytest
from bareelections import PATH, ROUND_TRIP, Scene, T, played
from lines import COUNT, GLIMPSE, LIST, LISTED, LOOK, forbid_the_line, join, led_once

from aioha.testing.simulated.codes import Op
from aioha.testing.simulated.watching import WatchTables


def test_a_standby_looks_again_with_each_session_timeout_and_no_oftener() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        await a.win()
        standing = b.stand_by()
        await asyncio.sleep(T + 3.5 * ROUND_TRIP)
        assert b.asked == [*GLIMPSE, join("b"), COUNT, *LOOK]
        for _ in range(2):
            await asyncio.sleep(2 * ROUND_TRIP)
            assert b.asked == [*LISTED[0], *LOOK]  # also whether its place is still there
            await asyncio.sleep(T)
            assert b.asked == []
        assert not standing.done()

    played(play)


def test_the_bid_is_on_its_way_before_anybody_else_hears_that_the_leader_has_gone() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        session, bids = await b.do(b.sessions.live()), list[int]()
        session.exists(PATH, lambda event, path: bids.append(sum("create E " in each for each in b.asked)))
        await asyncio.sleep(1.0)
        await a.release(first)
        await standing
        assert bids == [1]

    played(play)


def test_an_event_that_never_came_costs_a_session_timeout() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        for server in scene.ensemble.servers:
            assert server.front is not None
            server.front.watches = WatchTables()
        begun = scene.now
        await a.release(first)
        await standing
        assert T - 1.5 < scene.now - begun < T

    played(play)


def test_whose_node_is_only_written_to_goes_on_leading_and_the_others_go_on_waiting() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        _ = b.asked
        scene.operator.set(PATH, b"by hand")
        await asyncio.sleep(1.0)
        asked = b.asked
        assert [each for each in asked if "create E " not in each] == ["get E.aioha/ended", *LOOK]
        assert len(asked) == 5
        assert first.ended is None
        assert not standing.done()
        begun = scene.now
        releasing = a.begin_release(first)
        await standing
        # It has to be looked at first: the node is not as we have made it.
        assert scene.now - begun == pytest.approx(5 * ROUND_TRIP)
        await releasing

    played(play)


def test_a_standby_whose_connection_was_lost_looks_again_and_bids_as_quickly_as_before() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        scene.simulation.network.reset("b", "zk1")
        await asyncio.sleep(1.0)
        assert b.asked[-3:] == LOOK
        begun = scene.now
        await a.release(first)
        await standing
        assert scene.now - begun == pytest.approx(2 * ROUND_TRIP)

    played(play)


def test_a_standby_whose_session_has_expired_goes_on_with_another() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        old = b.sessions.id
        scene.ensemble.expire_session(old)
        await asyncio.sleep(1.0)
        assert b.sessions.id != old
        begun = scene.now
        await a.release(first)
        assert (await standing).session.id == b.sessions.id
        assert scene.now - begun == pytest.approx(2 * ROUND_TRIP)

    played(play)


def test_who_loses_a_plain_race_looks_once_and_waits() -> None:
    async def play(scene: Scene) -> None:
        a, b, c = await led_once(scene, "a", "b", "c")
        forbid_the_line(scene)
        first = await a.win()
        races = [each.stand_by() for each in (b, c)]
        await asyncio.sleep(1.0)
        await a.release(first)
        await asyncio.wait(races, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(1.0)
        loser = b if races[1].done() else c
        asked = [each for each in loser.asked if "create E " not in each]
        assert asked == [*GLIMPSE, join(loser.name), *LOOK, LOOK[2], *LOOK]

    played(play)


def test_who_has_not_joined_yet_and_loses_a_bid_stands_in_line() -> None:
    async def play(scene: Scene) -> None:
        _, b, c = await led_once(scene, "a", "b", "c")
        races = [each.stand_by() for each in (b, c)]
        await asyncio.sleep(1.0)
        assert {race.done() for race in races} == {True, False}
        winner, loser = (b, c) if scene.nodes()[""][2] == "b" else (c, b)
        assert "line" not in "".join(each for each in winner.asked if each != LIST)
        asked = [each for each in loser.asked if "create E " not in each]
        assert asked == [*GLIMPSE, LIST, LOOK[2], *LOOK, join(loser.name), COUNT, *LOOK]
        assert scene.nodes()[".aioha/line/0000000000"][2] == loser.name

    played(play)


@pytest.mark.parametrize(
    ("lost", "asked"),
    [
        (1, [*GLIMPSE, *GLIMPSE, join("b"), COUNT, *LOOK]),
        (2, [*GLIMPSE, join("b"), COUNT, *LISTED[0], *LOOK]),
        (3, [*GLIMPSE, join("b"), COUNT, *LOOK, *LISTED[0], *LOOK]),
    ],
)
def test_a_look_whose_connection_is_lost_is_repeated_within_a_twentieth_of_a_second_after_it_is_back(
    lost: int, asked: list[str]
) -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        await a.win()
        standing = b.stand_by()
        if lost > 1:
            await asyncio.sleep(ROUND_TRIP * (lost - 0.5))  # the one before is under way
        scene.lose_reply("b", Op.EXISTS)
        await asyncio.sleep(1.5)
        assert b.asked == asked
        assert not standing.done()

    played(play)
