"""What a queue works out before it is needed, in virtual time: our term after a clean end, and the clean end of our own."""

import asyncio
from unittest import mock

import pytest
from bareelections import ONE_WAY, ROUND_TRIP, Scene, played
from test_queue_trouble import in_line

from aioha.elections.zookeeper import turn
from aioha.elections.zookeeper.grant import SessionGrant
from aioha.elections.zookeeper.succession import Succession
from aioha.elections.zookeeper.turn import EARLIER
from aioha.record import parse_record
from aioha.testing.simulated import Weather


def test_whoever_is_next_knows_its_term_before_it_comes() -> None:
    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b")
        with (
            mock.patch.object(Succession, "record", side_effect=AssertionError("too late")),
            mock.patch.object(turn, "wall_time", side_effect=lambda: scene.now),
        ):
            released = scene.now
            await scene.candidates["a"].release(first)
            grant = await second
        assert released < grant.leader.since <= scene.now  # and not when it was foreseen
        assert grant.predecessor.ended_cleanly
        assert grant.number == 2
        assert grant.settle == 0

    played(play)


def test_what_was_foreseen_and_does_not_come_leaves_nothing_behind() -> None:
    """Whoever is next withdraws: no watch, no stake and no listener of a term that never was."""

    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b")
        session = scene.candidates["b"].sessions.current
        second.cancel()
        await asyncio.wait({second})
        await asyncio.sleep(1.0)
        assert session is not None
        assert (session.heartbeat.is_needed, len(session._watches)) == (False, 0)
        assert not any(isinstance(getattr(each, "__self__", None), SessionGrant) for each in session._listeners)
        await scene.candidates["a"].release(first)

    played(play)


def test_a_term_after_an_unclean_end_is_another_than_was_foreseen() -> None:
    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b", stop_grace=1.5)
        scene.operator.delete(first.node)
        grant = await second
        assert not grant.predecessor.ended_cleanly
        assert grant.settle == pytest.approx(1.5 + (6 + EARLIER) * ROUND_TRIP + 0.1, abs=0.01)
        assert [each.token for each in grant.unfenced] == [first.token]

    played(play)


@pytest.mark.parametrize("slower", [1.5, 5.0])
def test_on_a_link_that_has_become_slower_the_record_says_so(slower: float) -> None:
    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b", stop_grace=1.5)
        for pair in (("b", "zk1"), ("zk1", "b")):
            scene.simulation.network.link(*pair).weather = Weather(slower * ONE_WAY, 0.0)
        await asyncio.sleep(6.5)
        session = scene.candidates["b"].sessions.current
        assert session is not None
        assert session.hearing.round_trip > min(slower, 2.0) * ROUND_TRIP * 0.99
        await scene.candidates["a"].release(first)
        await second
        await asyncio.sleep(1.0)
        recorded = parse_record(scene.data(".aioha"))
        assert recorded.identity == "b"
        assert recorded.stop_grace - 1.5 >= session.hearing.round_trip * EARLIER

    played(play)


def test_what_was_packed_for_the_end_is_packed_anew_once_a_term_is_fenced() -> None:
    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b", stop_grace=0.1)
        scene.operator.delete(first.node)
        grant = await second
        await asyncio.sleep(grant.settle + 1.0)
        assert grant.ended_mark == b"%d %d" % (grant.token, first.token)
        (predecessor,) = grant.unfenced
        await scene.candidates["b"].do(grant.fenced(predecessor))
        await scene.candidates["b"].release(grant)
        assert scene.data(".aioha/ended") == b"%d" % grant.token

    played(play)
