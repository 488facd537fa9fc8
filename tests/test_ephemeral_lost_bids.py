"""Bids whose replies are lost, and campaigns that are cancelled under them, in virtual time: won once, or withdrawn."""

import asyncio
import logging
from typing import Any

import pytest
from bareelections import ONE_WAY, PATH, ROUND_TRIP, Scene, T, facts, played
from lines import LISTED, LOOK, forbid_the_line, led_once, place_in_line
from test_ephemeral_trouble import KEEP_CHILDREN, warnings

from aioha.testing.simulated import acl
from aioha.testing.simulated.codes import Op, Perm
from aioha.wire.errors import NoAuth


@pytest.mark.parametrize("record", [True, False])
def test_a_bid_whose_reply_was_lost_has_won_once(record: bool) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", record=record)
        await a.release(await a.win())
        old, _ = scene.czxid, a.asked
        scene.lose_reply("a", Op.MULTI, b"\0\0\0\1a")
        grant = await a.win()
        assert sum("create E " in each for each in a.asked) == 1
        assert (grant.token, grant.czxid) == (old(), old())
        assert grant.number == (2 if record else None)
        said = facts(grant)
        assert (said["predecessor"] is not None, said["seated"], said["settle"]) == (record, record, 0.0)
        assert said["unfenced"] == []
        await a.release(grant)
        assert "" not in scene.nodes()

    played(play)


def test_a_bid_that_was_lost_itself_is_sent_again() -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a")
        await a.release(await a.win())
        _ = a.asked
        for server in scene.ensemble.servers:
            scene.simulation.network.drop_request("a", server.name, Op.MULTI, b"\0\0\0\1a")
        await a.win()
        assert sum("create E " in each for each in a.asked) == 2

    played(play)


@pytest.mark.parametrize("seed", range(4))
def test_what_has_become_of_a_cancelled_bid_is_asked_until_it_is_known(seed: int) -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        await a.release(await a.win())
        standing = b.stand_by()
        await asyncio.sleep(ROUND_TRIP * 2.75)
        scene.lose_reply("b", Op.MULTI)
        cancelled = scene.now
        standing.cancel()
        await asyncio.wait({standing})
        assert scene.now - cancelled < 9 * ROUND_TRIP
        assert set(scene.nodes()) == {".aioha", ".aioha/ended"}

    played(play, seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_the_path_is_being_left_until_all_of_a_won_bid_is_given_back(seed: int) -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        await a.release(await a.win())
        standing = b.stand_by()
        await asyncio.sleep(ROUND_TRIP * 2.75)
        scene.lose_reply("b", Op.MULTI)
        standing.cancel()
        election: Any = b.election
        seen = set[Any]()
        while not standing.done():
            await asyncio.sleep(ONE_WAY / 4)
            seen.add(election._leaving)
        (leaving,) = seen - {None}
        assert leaving.done()

    played(play, seed=seed)


@pytest.mark.parametrize("outage", [False, True])
def test_a_campaign_that_is_cancelled_under_its_bid_leaves_nothing_within_a_session_timeout(outage: bool) -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        first = await a.win()
        await a.release(first)
        standing = b.stand_by()
        await asyncio.sleep(ROUND_TRIP * 2.75)  # it has looked, and its bid is under way
        if outage:
            scene.simulation.network.cut("b", "zk1")
        cancelled = scene.now
        standing.cancel()
        await asyncio.wait({standing})
        assert standing.cancelled()
        if outage:
            assert scene.now - cancelled == pytest.approx(T)
            return
        assert scene.now - cancelled < 6 * ROUND_TRIP
        assert set(scene.nodes()) == {".aioha", ".aioha/ended"}
        third = await a.win()
        assert third.predecessor.identity == "b"
        assert (third.settle, third.predecessor.ended_cleanly, third.number) == (0.0, True, 3)

    played(play)


def test_a_bid_that_cannot_be_withdrawn_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        await a.release(await a.win())
        standing = b.stand_by()
        await asyncio.sleep(ROUND_TRIP * 2.75)
        standing.cancel()
        await asyncio.sleep(0)
        scene.operator.set_acl("/service", KEEP_CHILDREN)
        scene.operator.set_acl(f"{PATH}.aioha", (acl.Entry(Perm.WRITE, "world", "anyone"),))
        await asyncio.wait({standing})

    played(play)
    assert warnings(caplog, logging.ERROR) == [f"{PATH}: a bid of ours could not be withdrawn: {NoAuth()}"]


# ---------------------------------------------------------------------- in line


async def next_in_line(scene: Scene) -> tuple[Any, "asyncio.Task[Any]"]:
    """a leads, and b is the next."""
    a, b = await led_once(scene, "a", "b")
    grant, standing = await a.win(), b.stand_by()
    await asyncio.sleep(1.0)
    _ = b.asked
    return grant, standing


def test_a_bid_from_the_line_whose_reply_was_lost_has_won_once_and_left_it() -> None:
    async def play(scene: Scene) -> None:
        first, standing = await next_in_line(scene)
        scene.lose_reply("b", Op.MULTI, b"\0\0\0\1b")
        scene.candidates["a"].begin_release(first)
        second = await standing
        asked = [each for each in scene.candidates["b"].asked if not each.startswith("create E ")]
        assert asked == ["get E.aioha/ended", "check /", *LOOK, LOOK[0]]
        assert (second.number, second.token) == (3, scene.czxid())
        assert facts(second)["predecessor"] == ("a", first.token, True)
        assert set(scene.nodes()) == {"", ".aioha", ".aioha/ended", ".aioha/line", ".aioha/seat"}

    played(play)


def test_a_bid_from_the_line_that_was_lost_itself_is_sent_again_from_there() -> None:
    async def play(scene: Scene) -> None:
        first, standing = await next_in_line(scene)
        for server in scene.ensemble.servers:
            scene.simulation.network.drop_request("b", server.name, Op.MULTI, b"\0\0\0\1b")
        scene.candidates["a"].begin_release(first)
        assert (await standing).number == 3
        asked = [each for each in scene.candidates["b"].asked if not each.startswith("create E ")]
        mark = "get E.aioha/ended"
        assert asked == [mark, "check /", *LOOK, "exists E.aioha/seat", *LISTED[0], *LOOK, mark, LOOK[0]]

    played(play)


@pytest.mark.parametrize("bids", [False, True])
def test_who_stands_by_no_longer_leaves_the_line(bids: bool) -> None:
    async def play(scene: Scene) -> None:
        first, standing = await next_in_line(scene)
        a, b = scene.candidates["a"], scene.candidates["b"]
        if bids:
            a.begin_release(first)
            await asyncio.sleep(ROUND_TRIP * 1.25)  # its bid is under way
        standing.cancel()
        cancelled = scene.now
        await asyncio.wait({standing})
        assert standing.cancelled()
        place = place_in_line(0)
        if not bids:
            assert b.asked == ["check /", f"exists {place}", f"delete {place}"]
            assert scene.now - cancelled == pytest.approx(3 * ROUND_TRIP)
            return
        assert set(scene.nodes()) == {".aioha", ".aioha/ended", ".aioha/line"}
        third = await a.win()
        assert facts(third)["predecessor"][0::2] == ("b", True)
        assert (third.settle, third.number) == (0.0, 4)

    played(play)


def test_who_cannot_leave_the_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        _, standing = await next_in_line(scene)
        forbid_the_line(scene)
        standing.cancel()
        await asyncio.wait({standing})

    played(play)
    assert warnings(caplog) == [f"a place in line could not be left: 0000000000: {NoAuth()}"]


def test_who_is_cancelled_while_no_server_is_attached_leaves_the_line_when_one_is() -> None:
    async def play(scene: Scene) -> None:
        _, standing = await next_in_line(scene)
        scene.simulation.network.cut("b", "zk1")
        standing.cancel()
        cancelled = scene.now
        await asyncio.wait({standing}, timeout=T / 2)
        scene.simulation.network.heal("b", "zk1")
        await asyncio.wait({standing})
        assert scene.now - cancelled < T
        await asyncio.sleep(1.0)
        assert not any(path.startswith(".aioha/line/") for path in scene.nodes())

    played(play)


@pytest.mark.parametrize("ends", [None, 3.0, 5.0, 6.0, 7.0, 8.0])
def test_who_has_won_without_hearing_of_it_and_lost_its_node_by_hand_gives_up_the_seat(ends: float | None) -> None:
    """Seeds 1442 and 4850: it took its bid for lost, and its own seat kept everybody out. Also if it stands by no longer so
    many round trips later, while it finds out.
    """

    async def play(scene: Scene) -> None:
        first, standing = await next_in_line(scene)
        c = await scene.candidate("c")
        third = c.stand_by()
        await asyncio.sleep(1.0)
        scene.lose_reply("b", Op.MULTI, b"\0\0\0\1b")
        scene.candidates["a"].begin_release(first)
        while ".aioha/seat" not in scene.nodes() or scene.nodes()[".aioha/seat"][2] != "b":
            await asyncio.sleep(ONE_WAY / 10)
        scene.operator.delete(PATH)
        if ends is not None:
            asyncio.get_running_loop().call_later(ends * ROUND_TRIP, standing.cancel)
        waits = {third} if ends is not None else {standing, third}
        done, _ = await asyncio.wait(waits, timeout=3.0, return_when=asyncio.FIRST_COMPLETED)
        assert done

    played(play)
