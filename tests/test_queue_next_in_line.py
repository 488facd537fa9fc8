"""Who is next in a queue, in virtual time: who leaves, who only seems to, and when the next one proves its lease."""

import asyncio

import pytest
from bareelections import ONE_WAY, ROUND_TRIP, Scene, T, facts, played
from test_queue_trouble import in_line, member


def test_who_has_gone_out_of_the_middle_makes_nobody_next_who_is_not() -> None:
    async def play(scene: Scene) -> None:
        first, *waiting = await in_line(scene, "a", "b", "c", "d", "e")
        for each in waiting[:3]:
            each.cancel()
            await asyncio.sleep(0.4)
        assert not waiting[3].done()
        await scene.candidates["a"].release(first)
        assert (await waiting[3]).leader.identity == "e"

    played(play)


@pytest.mark.parametrize("changed", [0, 1])
def test_a_member_that_is_only_written_to_has_not_gone(changed: int) -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c")
        scene.operator.set(member(scene, changed), b"by hand")
        await asyncio.sleep(1.0)
        assert not second.done()
        assert not third.done()
        await scene.candidates["a"].release(first)
        begun = scene.now
        assert (await second).leader.identity == "b"
        assert scene.now - begun < ROUND_TRIP

    played(play)


def test_who_becomes_the_next_in_line_has_its_lease_proved_at_once() -> None:
    async def play(scene: Scene) -> None:
        _, second, _ = await in_line(scene, "a", "b", "c")
        c = scene.candidates["c"]
        await asyncio.sleep(2 * T)
        assert c.sessions.current is not None
        lease = c.sessions.current.lease
        assert lease.deadline < scene.now  # it pings only
        second.cancel()
        await asyncio.sleep(5 * ROUND_TRIP)
        assert lease.deadline > scene.now + T / 2

    played(play)


def test_who_joins_as_the_next_in_line_proves_its_lease_with_its_next_heartbeat() -> None:
    async def play(scene: Scene) -> None:
        await in_line(scene, "a")
        b = await scene.candidate("b", "latch")
        joined = scene.now
        b.stand_by()
        await asyncio.sleep(0.8)
        assert "b" not in scene.proofs  # the lease of a new session is good for a while
        await asyncio.sleep(3 * T / 8)
        assert len(scene.proofs["b"]) == 3
        assert scene.proofs["b"][0] - joined < T / 8

    played(play)


@pytest.mark.parametrize("gone", [1, 2])
def test_whoever_leaves_the_line_changes_no_more_than_that(gone: int) -> None:
    async def play(scene: Scene) -> None:
        first, *waiting = await in_line(scene, "a", "b", "c", "d")
        waiting[gone - 1].cancel()
        await asyncio.sleep(1.0)
        _ = scene.candidates["d"].asked
        await scene.candidates["a"].release(first)
        nearest, last = [each for number, each in enumerate(waiting, 1) if number != gone]
        grant = await nearest
        await asyncio.sleep(0.5)
        assert not last.done()
        begun = scene.now
        await scene.candidates[grant.leader.identity].release(grant)
        assert (await last).leader.identity == "d"
        assert scene.now - begun == pytest.approx(2 * ONE_WAY)
        assert facts(last.result())["predecessor"] == (grant.leader.identity, grant.token, True)

    played(play)
