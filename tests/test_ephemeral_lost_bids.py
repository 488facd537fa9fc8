"""Bids whose replies are lost, and campaigns that are cancelled under them, in virtual time: won once, or withdrawn."""

import asyncio
import logging

import pytest
from bareelections import PATH, ROUND_TRIP, Scene, T, facts, played
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
