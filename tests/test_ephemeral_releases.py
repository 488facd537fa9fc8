"""The end of terms in an `ephemeral` election, in virtual time: what it waits for, and what it leaves behind."""

import asyncio
from typing import Any

import pytest
from bareelections import PATH, ROUND_TRIP, Scene, played
from scripted import READABLE


def test_a_term_that_is_given_up_while_old_work_may_go_on_holds_on_for_as_long() -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a", stop_grace=2.0), await scene.candidate("b")
        await a.win()
        a.crash()
        second = await b.win()
        assert second.settle == pytest.approx(2.1 + 6 * ROUND_TRIP)
        await asyncio.sleep(1.0)
        begun = scene.now
        await b.release(second)
        assert scene.now - begun == pytest.approx(1.7 + ROUND_TRIP, abs=0.1)

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
