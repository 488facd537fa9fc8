"""Standing by in an `ephemeral` election, in virtual time: for how long, until what, and what is looked at meanwhile."""

import asyncio
from typing import Any

import pytest
from bareelections import PATH, ROUND_TRIP, Scene, T, played
from scripted import READABLE

from aioha.testing.simulated.codes import Op
from aioha.testing.simulated.watching import WatchTables

LOOK = ["exists E watch", "get E.aioha", "get E.aioha/ended"]


async def led_once(scene: Scene, *names: str, **options: Any) -> list[Any]:
    """Candidates, after a term of the first one."""
    candidates = [await scene.candidate(name, **options) for name in names]
    await candidates[0].release(await candidates[0].win())
    for each in candidates:
        _ = each.asked
    return candidates


# ---------------------------------------------------------------------- who has resigned lets the others go first


@pytest.mark.parametrize(("timeout", "seconds"), [(T, 1.0), (2.0, 0.5)])
def test_who_has_resigned_waits_a_second_or_a_quarter_of_the_timeout_where_nobody_else_stands_by(
    timeout: float, seconds: float
) -> None:
    async def play(scene: Scene) -> None:
        (a,) = await led_once(scene, "a", session_timeout=timeout)
        begun, looked = scene.now, list[float]()
        standing = a.stand_by(yielding=True)
        while not standing.done():
            await asyncio.sleep(0.01)
            looked += [round(scene.now - begun, 6)] * len(a.asked)
        assert looked[0] >= 0.05, "it looks before the others had time to take over"
        assert looked[0] < 0.07
        # It looks, waits until the time is over, and bids.
        assert scene.now - begun == pytest.approx(seconds + ROUND_TRIP, abs=0.02)
        assert standing.result().number == 2

    played(play)


def test_who_has_resigned_lets_who_leads_meanwhile_be_followed_at_once() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        second = await b.win()
        standing = a.stand_by(yielding=True)
        await asyncio.sleep(0.4)  # it has seen that another leads
        begun = scene.now
        await b.release(second)
        assert (await standing).number == 3
        assert scene.now - begun == pytest.approx(2 * ROUND_TRIP)

    played(play)


def test_who_has_resigned_lets_the_others_lead_once() -> None:
    """Another leads and has ended again while nobody looked."""

    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        standing = a.stand_by(yielding=True)
        await asyncio.sleep(0.25)
        begun = scene.now
        await b.release(await b.win())
        await standing
        assert scene.now - begun < 1.0 - 0.25

    played(play)


# ---------------------------------------------------------------------- waiting


def test_a_standby_looks_again_with_each_session_timeout_and_no_oftener() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        await a.win()
        standing = b.stand_by()
        await asyncio.sleep(T - 0.1)
        assert b.asked == LOOK
        await asyncio.sleep(0.3)
        assert b.asked == LOOK
        await asyncio.sleep(T)
        assert b.asked == LOOK
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
        scene.operator.set(PATH, b"by hand")
        await asyncio.sleep(1.0)
        assert b.asked[:3] == LOOK
        assert first.ended is None
        assert not standing.done()
        begun = scene.now
        await a.release(first)
        await standing
        assert scene.now - begun < 6 * ROUND_TRIP

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


def test_who_loses_a_race_looks_once_and_waits() -> None:
    async def play(scene: Scene) -> None:
        a, b, c = await led_once(scene, "a", "b", "c")
        first = await a.win()
        races = [each.stand_by() for each in (b, c)]
        await asyncio.sleep(1.0)
        await a.release(first)
        await asyncio.wait(races, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(1.0)
        loser = b if races[1].done() else c
        assert [each for each in loser.asked if "create E " not in each] == [*LOOK, LOOK[2], *LOOK]

    played(play)


def test_a_look_whose_connection_is_lost_is_repeated_within_a_twentieth_of_a_second_after_it_is_back() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        await a.win()
        scene.lose_reply("b", Op.EXISTS)
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        assert b.asked == [*LOOK, *LOOK]
        assert not standing.done()

    played(play)


# ---------------------------------------------------------------------- release


def test_a_term_that_is_given_up_while_old_work_may_go_on_holds_on_for_as_long() -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a", stop_grace=2.0), await scene.candidate("b")
        await a.win()
        a.crash()
        second = await b.win()
        assert second.settle == pytest.approx(2.0 + 3 * ROUND_TRIP)
        await asyncio.sleep(1.0)
        begun = scene.now
        await b.release(second)
        assert scene.now - begun == pytest.approx(1.3 + ROUND_TRIP, abs=0.1)

    played(play)


@pytest.mark.parametrize("layout", ["ephemeral", "mooon", "latch"])
def test_who_campaigns_again_first_waits_until_its_last_term_is_off_the_path(layout: str) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout)
        first = await a.win()
        releasing = a.begin_release(first)
        await asyncio.sleep(0)
        second = await a.win()
        assert releasing.done()
        assert second.token > first.token
        assert second.czxid != first.czxid

    played(play)


def test_a_term_that_is_over_leaves_what_is_anothers() -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        first = await a.win()
        scene.operator.delete(PATH, f"{PATH}.aioha/seat")
        second = await b.win()
        await a.release(first)
        assert second.ended is None
        assert {path for path, each in scene.nodes().items() if each[2] == "b"} == {"", ".aioha/seat"}
        leader = await a.do(a.election.leader())
        assert (leader.identity, leader.token) == ("b", second.token)

    played(play)


def test_the_mark_of_a_term_that_is_over_is_made_anew_with_its_acl() -> None:
    async def play(scene: Scene) -> None:
        everything_but_admin: Any = [type(READABLE[0])(perms=15, id=READABLE[0].id)]
        a = await scene.candidate("a", acl=everything_but_admin)
        first = await a.win()
        scene.operator.delete(PATH, f"{PATH}.aioha/ended")
        await asyncio.sleep(0.5)
        await a.release(first)
        assert scene.nodes(acl=True)[".aioha/ended"] == (str(first.token), 0, "", "15")

    played(play)


@pytest.mark.parametrize("record", [True, False])
def test_a_term_that_is_over_leaves_the_rest_of_what_is_ours(record: bool) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", record=record)
        first = await a.win()
        scene.operator.delete(PATH)
        await asyncio.sleep(0.5)
        await a.release(first)
        assert set(scene.nodes()) == ({".aioha", ".aioha/ended"} if record else set())
        if record:
            assert scene.data(".aioha/ended") == b"%d" % first.token
        assert await a.do(a.election.leader()) is None

    played(play)
