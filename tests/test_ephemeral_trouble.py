"""Bids that meet with something else than a vacant election, in virtual time: what becomes of them, and what is said."""

import asyncio
import logging
from typing import Any

import pytest
from bareelections import LONGEST, PATH, ROUND_TRIP, Scene, T, facts, played

from aioha import Predecessor, SessionFailed
from aioha.testing.simulated import acl
from aioha.testing.simulated.codes import Perm
from aioha.wire import requests
from aioha.wire.errors import NoAuth

READ_ONLY = (acl.Entry(Perm.READ, "world", "anyone"),)
KEEP_CHILDREN = (acl.Entry(Perm.READ | Perm.CREATE | Perm.WRITE, "world", "anyone"),)
REFUSED = f"no permission for {PATH} (candidate b); check its ACL and the credentials in `where`"


def warnings(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """What elections have said; sessions are another matter."""
    return [each.getMessage() for each in caplog.records if each.levelno >= level and "session" not in each.getMessage()]


# ---------------------------------------------------------------------- nodes of others, and left over


def test_while_old_work_still_ends_the_seat_is_waited_for() -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        scene.operator.delete(PATH)
        await asyncio.sleep(3.0)
        assert not standing.done()
        assert sum("create E " in each for each in b.asked) == 1
        assert first.ended == "the leader's node was deleted by someone else"
        begun = scene.now
        await a.release(first)
        second = await standing
        assert scene.now - begun < 6 * ROUND_TRIP
        assert facts(second)["predecessor"] == ("a", first.token, True)
        assert second.token > first.token

    played(play)


def test_a_node_and_a_seat_of_our_own_session_are_removed_before_a_bid() -> None:
    async def play(scene: Scene) -> None:
        for record in (True, False):
            a = await scene.candidate("a" if record else "b", record=record)
            await a.release(await a.win())
            session = await a.do(a.sessions.live())
            await a.do(_answer(session.send(requests.create(PATH, b"left over", ephemeral=True))))
            if record:
                await a.do(_answer(session.send(requests.create(f"{PATH}.aioha/seat", b"", ephemeral=True))))
            begun = scene.now
            grant = await a.win()
            assert scene.now - begun < 15 * ROUND_TRIP
            assert scene.data("") == a.name.encode()
            await a.release(grant)
            assert scene.operator.tree.get(PATH) is None

    played(play)


async def _answer(reply: Any) -> Any:
    return await reply


@pytest.mark.parametrize("node", ["", ".aioha/seat"])
@pytest.mark.parametrize("under_way", [False, True], ids=["before", "behind the look"])
def test_a_node_or_seat_of_our_own_session_is_no_reason_to_wait(node: str, under_way: bool) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a")
        await a.release(await a.win())
        session = await a.do(a.sessions.live())
        standing = a.stand_by() if under_way else None
        await asyncio.sleep(ROUND_TRIP / 4)
        await a.do(_answer(session.send(requests.create(PATH + node, b"", ephemeral=True))))
        begun = scene.now
        grant = await (standing or a.stand_by())
        assert scene.now - begun < 15 * ROUND_TRIP
        assert scene.czxid() == grant.czxid

    played(play)


def test_a_record_that_was_written_to_meanwhile_or_deleted_is_read_again() -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a")
        await a.release(await a.win())
        for number, meddle in enumerate(("write", "delete"), 1):
            standing = a.stand_by()
            await asyncio.sleep(ROUND_TRIP / 4)  # the look is under way: the bid goes by what it shows
            await asyncio.sleep(ROUND_TRIP / 2)
            if meddle == "write":
                scene.operator.set(f"{PATH}.aioha", scene.data(".aioha"))
            else:
                scene.operator.delete(*(f"{PATH}.aioha{each}" for each in ("/ended", "")))
            grant = await standing
            assert grant.number == (2 if meddle == "write" else 1), number
            await a.release(grant)

    played(play)


def test_an_unreadable_record_is_kept_aside_before_it_is_written_over(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        scene.operator.set(f"{PATH}.aioha", b"rubbish")
        await asyncio.sleep(T)
        a.crash()
        second = await standing
        assert scene.data(".aioha/unreadable") == b"rubbish"
        assert facts(second)["predecessor"][::2] == ("", False)
        assert (second.settle, second.number) == (LONGEST, 2)
        assert [each.identity for each in second.unfenced] == [""]
        assert first.token < second.predecessor.token < second.token

    played(play)
    text = f"record {PATH}.aioha cannot be read (not JSON: b'rubbish'); the next takeover replaces it, and keeps what stood "
    assert set(warnings(caplog)) == {f"{text}there in {PATH}.aioha/unreadable"}


# ---------------------------------------------------------------------- no permission


def test_who_may_not_create_the_leaders_node_is_told_what_to_do() -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        await a.release(await a.win())
        scene.operator.set_acl("/service", READ_ONLY)
        with pytest.raises(SessionFailed) as refused:
            await b.win()
        assert str(refused.value) == REFUSED
        assert isinstance(refused.value.__cause__, NoAuth)
        assert "" not in scene.nodes()

    played(play)


@pytest.mark.parametrize("node", ["", "/ended"])
def test_a_record_that_may_not_be_written_is_done_without(node: str, caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        await a.release(await a.win())
        scene.operator.set_acl(f"{PATH}.aioha{node}", READ_ONLY)
        grant = await b.win()
        assert grant.number == (None if node == "" else 2)
        assert scene.nodes()[""] == ("b", 2 if node == "" else 1, "b")
        await b.release(grant)
        assert "" not in scene.nodes()

    played(play)
    without = (
        f"{PATH}: no permission to keep a record at {PATH}.aioha ({NoAuth()}): a plain race in this campaign, without term "
        "numbers, fenced transactions and the wait after an unclean end"
    )
    assert warnings(caplog) == ([without] if node == "" else [])


def test_a_term_that_may_not_be_released_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a")
        grant = await a.win()
        scene.operator.set_acl("/service", KEEP_CHILDREN)
        await a.release(grant)
        text = f"{PATH}: term {grant.token} could not be released: {NoAuth()}"
        assert warnings(caplog) == [text]
        assert [each.levelname for each in caplog.records if each.getMessage() == text] == ["ERROR"]

    played(play)


# ---------------------------------------------------------------------- tokens, hooks


def test_a_token_that_would_not_rise_is_refused_and_leaves_nothing() -> None:
    async def play(scene: Scene) -> None:
        b = await scene.candidate("b", record=False, token_floor=1 << 40)
        with pytest.raises(SessionFailed, match=f"^{PATH}: token \\d+ would not exceed {1 << 40} "):
            await b.win()
        assert scene.nodes() == {}
        c = await scene.candidate("c", token_floor=1 << 40)
        assert (await c.win()).token == (1 << 40) + scene.czxid()

    played(play)


async def hook(_: Predecessor) -> None:
    """Nobody is fenced here."""


@pytest.mark.parametrize("layout", ["ephemeral", "kazoo"])
@pytest.mark.parametrize(("unfenced", "fence", "said"), [(16, hook, True), (15, hook, False), (16, None, False)])
def test_more_terms_to_fence_than_are_remembered_are_said(
    layout: str, unfenced: int, fence: Any, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def play(scene: Scene) -> None:
        await (await scene.candidate("a", layout)).win()
        lines = ",".join(f'{{"token":{token},"identity":"x","data":""}}' for token in range(1, unfenced))
        record = f'{{"number":5,"identity":"last","data":"","token":{1 << 30},"unfenced":[{lines}]}}'
        scene.operator.set(f"{PATH}.aioha", record.encode())
        scene.candidates["a"].crash()
        grant = await (await scene.candidate("b", layout, fence=fence)).win()
        assert len(grant.unfenced) == unfenced

    played(play)
    assert warnings(caplog) == ([f"{PATH}: 16 terms to fence, and no more are remembered"] if said else [])
