"""Queue members of ours that are deleted by hand as they begin, before their record is written: whoever was behind one gives
its work time, and takes it for unfenced where it has led for certain. In virtual time.
"""

import asyncio
from typing import Any
from unittest import mock

import pytest
from bareelections import LONGEST, ONE_WAY, PATH, ROUND_TRIP, Scene, T, played
from test_queue_trouble import RECORD, in_line, member

from aioha.elections.zookeeper.accounting import Accounting
from aioha.record import parse_record


async def led_for_a_moment(scene: Scene, first: Any, second: "asyncio.Task[Any]", leader: str = "a") -> Any:
    """The leader ends, the next one begins, and is deleted before its record can be written. Returns its grant."""
    releasing = scene.candidates[leader].begin_release(first)
    grant = await second
    scene.operator.delete(grant.node)
    await releasing
    return grant


async def deleted_unseen(scene: Scene, node: str, *, by: str) -> None:
    """A leader's node is deleted by hand, and the record with it, while this candidate is cut off."""
    scene.simulation.network.cut(by, "zk1")
    await asyncio.sleep(2.5)
    scene.operator.delete(f"{RECORD}/ended", RECORD)
    scene.operator.delete(node)
    await asyncio.sleep(0.5)
    scene.simulation.network.heal(by, "zk1")


def recorded(scene: Scene) -> Any:
    return parse_record(scene.data(".aioha"))


def test_who_has_led_for_a_moment_while_nobody_could_look_is_given_time() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c")
        scene.simulation.network.silence("zk1", "c")
        grant = await led_for_a_moment(scene, first, second)
        await asyncio.sleep(5 * ROUND_TRIP)
        assert recorded(scene).identity == "a"
        scene.simulation.network.heal("zk1", "c")  # both have gone, in this order
        led = await third
        assert led.settle == LONGEST
        assert (led.predecessor.identity, led.predecessor.ended_cleanly) == ("b", False)
        assert [each.token for each in led.unfenced] == [grant.token]

    played(play)


def test_who_has_left_the_line_before_the_leader_did_has_not_led() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c")
        scene.simulation.network.silence("zk1", "c")
        second.cancel()
        await asyncio.sleep(2 * ROUND_TRIP)
        await scene.candidates["a"].release(first)
        await asyncio.sleep(5 * ROUND_TRIP)
        scene.simulation.network.heal("zk1", "c")
        led = await third
        assert led.settle == 0
        assert led.predecessor.ended_cleanly

    played(play)


@pytest.mark.parametrize("earlier", [0.0, 0.01, 0.02, 0.04])
def test_whoever_is_ahead_once_the_one_between_has_left_may_have_led(earlier: float) -> None:
    async def play(scene: Scene) -> None:
        first, second, third, fourth = await in_line(scene, "a", "b", "c", "d")
        third.cancel()
        await asyncio.sleep(earlier)
        releasing = scene.candidates["a"].begin_release(first)
        await asyncio.sleep(ONE_WAY * 2.1)
        scene.operator.delete(second.result().node)  # while the last one's look is under way
        await releasing
        assert (await fourth).settle == LONGEST

    played(play)


def test_whoever_is_ahead_may_lead_while_a_look_is_under_way_for_long() -> None:
    async def play(scene: Scene) -> None:
        first, second, third, fourth = await in_line(scene, "a", "b", "c", "d")
        third.cancel()
        await asyncio.sleep(ONE_WAY * 1.5)
        scene.simulation.network.silence("d", "zk1")
        await led_for_a_moment(scene, first, second)
        await asyncio.sleep(5 * ROUND_TRIP)
        scene.simulation.network.heal("d", "zk1")
        assert (await fourth).settle == LONGEST

    played(play)


def test_a_foreign_member_between_hides_nobody() -> None:
    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b")
        stranger = f"{PATH}/_c_0f0e0d0c-0000-4000-8000-000000000000-latch-0000000002"
        scene.operator.create(stranger, b"curator")
        third = (await scene.candidate("c", "latch")).stand_by()
        await asyncio.sleep(1.0)
        for pair in (("zk1", "c"), ("c", "zk1")):
            scene.simulation.network.silence(*pair)
        await asyncio.sleep(2.0)
        scene.operator.delete(stranger)
        await led_for_a_moment(scene, first, second)
        scene.simulation.network.heal("zk1", "c")
        assert (await third).settle == LONGEST

    played(play)


def test_what_was_heard_of_who_has_led_outlives_a_connection_that_is_lost_while_reading() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c")
        grant = await led_for_a_moment(scene, first, second)
        await asyncio.sleep(0.01)
        scene.simulation.network.reset("c", "zk1")
        led = await third
        assert led.settle == LONGEST
        assert [each.token for each in led.unfenced] == [grant.token]

    played(play)


def test_it_outlives_a_session_that_is_lost() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c")
        releasing = scene.candidates["a"].begin_release(first)
        grant = await second
        scene.operator.close(scene.candidates["c"].sessions.id)
        scene.operator.delete(grant.node)
        await releasing
        assert (await third).settle == LONGEST

    played(play)


def test_it_does_not_outlive_the_campaign() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c")
        third.cancel()
        await asyncio.sleep(1.0)
        second.cancel()
        await scene.candidates["a"].release(first)
        await asyncio.sleep(1.0)
        assert (await scene.candidates["c"].win()).settle == 0

    played(play)


def test_who_was_first_in_line_at_the_last_look_has_led_for_certain() -> None:
    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b", stop_grace=1.5)
        await deleted_unseen(scene, first.node, by="b")
        led = await second
        assert led.settle == LONGEST
        assert [each.token for each in led.unfenced] == [first.token]

    played(play)


def test_who_is_known_to_lead_behind_two_others_has_led_for_certain() -> None:
    async def play(scene: Scene) -> None:
        first, second, third, fourth = await in_line(scene, "a", "b", "c", "d")
        await scene.candidates["a"].release(first)
        b = await second
        await asyncio.sleep(1.0)
        await scene.candidates["b"].release(b)
        c = await third
        await asyncio.sleep(1.0)  # its record is written, and the last one has read it
        await deleted_unseen(scene, c.node, by="d")
        led = await fourth
        assert led.settle == LONGEST
        assert [each.token for each in led.unfenced] == [c.token]

    played(play)


def test_who_comes_after_the_one_that_waits_for_it_waits_too() -> None:
    async def play(scene: Scene) -> None:
        first, *_ = await in_line(scene, "a")
        waits = list[Any]()
        for name, grace in (("b", T / 4), ("c", 0.1), ("d", 0.1)):
            waits.append((await scene.candidate(name, "latch", stop_grace=grace)).stand_by())
            await asyncio.sleep(1.0)
        second, third, fourth = waits
        await led_for_a_moment(scene, first, second)
        c = await third
        assert c.settle == LONGEST
        until = scene.now + c.settle
        await asyncio.sleep(3 * ROUND_TRIP)
        assert recorded(scene).identity == "c"
        scene.operator.delete(c.node)
        d = await fourth
        assert scene.now + d.settle >= until - ROUND_TRIP

    played(play)


def test_who_has_led_later_and_ended_cleanly_has_waited_for_it() -> None:
    """Our place is deleted by hand; whoever has joined meanwhile leads before us."""

    async def play(scene: Scene) -> None:
        first, second, third, fourth = await in_line(scene, "a", "b", "c", "d")
        scene.simulation.network.silence("zk1", "c")
        scene.operator.delete(member(scene, 2))
        await scene.candidates["a"].release(first)
        b = await second
        await asyncio.sleep(0.2)
        await scene.candidates["b"].release(b)
        d = await fourth
        await asyncio.sleep(0.2)
        await scene.candidates["d"].release(d)
        scene.simulation.network.heal("zk1", "c")
        assert (await third).settle == 0

    played(play)


def test_where_names_do_not_tell_whose_a_member_is_nobody_begins_before_the_record_says_so() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c", layout="zk-recipes")
        grant = await led_for_a_moment(scene, first, second)
        assert recorded(scene).identity == "b"
        led = await third
        assert led.settle == pytest.approx(recorded(scene).stop_grace, abs=ROUND_TRIP)
        assert [each.token for each in led.unfenced] == [grant.token]

    played(play)


@pytest.mark.parametrize("later", [2, 3, 4, 5, 6, 7])
def test_who_is_deleted_before_that_does_not_begin(later: int) -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c", layout="zk-recipes")
        of_b = member(scene, 1)
        releasing = scene.candidates["a"].begin_release(first)
        await asyncio.sleep(later * ONE_WAY)
        scene.operator.delete(of_b)
        await releasing
        led = await third
        has_begun = second.done()
        assert led.settle > 0 or not has_begun
        await scene.candidates["c"].release(led)
        assert ((await second).node == of_b) is has_begun  # else it has joined again

    played(play)


@pytest.mark.parametrize("later", [3, 4, 5, 6])
def test_who_stands_by_no_longer_while_its_record_is_written_leaves_no_term_behind(later: int) -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c", layout="zk-recipes")
        releasing = scene.candidates["a"].begin_release(first)
        await asyncio.sleep(later * ONE_WAY)
        assert not second.done()
        second.cancel()
        await releasing
        led = await third
        assert led.settle == 0
        # Before the record is written it could be another software's member, that has led for certain.
        assert led.predecessor.ended_cleanly is (later == 6)

    played(play)


def test_somebody_elses_writing_in_our_node_as_we_begin_changes_nothing() -> None:
    async def play(scene: Scene) -> None:
        first, second = await in_line(scene, "a", "b", layout="zk-recipes")
        releasing = scene.candidates["a"].begin_release(first)
        await asyncio.sleep(5 * ONE_WAY)
        scene.operator.set(member(scene, 0), b"by hand")
        await releasing
        led = await second
        assert (led.number, led.settle, led.predecessor.identity) == (2, 0, "a")

    played(play)


@pytest.mark.parametrize("layout", ["latch", "zk-recipes"])
@pytest.mark.parametrize("breaks", ["nothing", "the link", "off"])
def test_who_is_meddled_with_as_it_begins_accounts_for_one_term_or_none(layout: str, breaks: str) -> None:
    """Its node was written to, so that it looks whether that is still there, when its record is on its way."""

    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c", layout=layout)
        begin = Accounting.begin

        def meddled(self: Accounting, version: int) -> None:
            begin(self, version)
            if self.record is not None and self.record.identity == "b":
                self.place.is_watched = False
                loop = asyncio.get_running_loop()
                if breaks == "the link":
                    loop.call_later(1.5 * ONE_WAY, scene.simulation.network.reset, "b", "zk1")
                if breaks == "off":
                    loop.call_later(3.5 * ONE_WAY, second.cancel)

        with mock.patch.object(Accounting, "begin", meddled):
            await scene.candidates["a"].release(first)
            await asyncio.wait({second})
        if breaks == "off":
            led = await third
            assert (led.settle, led.predecessor.identity, led.predecessor.ended_cleanly) == (0, "b", True)
            assert list(led.unfenced) == []
        else:
            led = second.result()
            await asyncio.sleep(1.0)
            assert (led.number, led.settle, led.predecessor.identity) == (2, 0, "a")
            assert (recorded(scene).number, recorded(scene).token) == (2, led.token)
            scene.operator.delete(led.node)
            await asyncio.sleep(1.5 * ONE_WAY)
            assert led.ended is not None  # it hears of that at once

    played(play)
