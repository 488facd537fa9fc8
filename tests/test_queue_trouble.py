"""Records of queues that are meddled with, in virtual time: what becomes of terms, and what is said."""

import asyncio
import logging
from typing import Any

import pytest
from bareelections import LONGEST, ONE_WAY, PATH, Scene, facts, played
from test_ephemeral_trouble import READ_ONLY, hook, warnings

from aioha import SessionFailed
from aioha.testing.simulated.codes import Op
from aioha.wire.errors import NoAuth

RECORD = f"{PATH}.aioha"
WITHOUT = (
    f"{PATH}: no permission to keep a record at {RECORD} ({NoAuth()}): a plain race in this campaign, without term numbers, "
    "fenced transactions and the wait after an unclean end"
)


async def in_line(scene: Scene, *names: str, layout: str = "latch", **options: Any) -> list[Any]:
    """The first one's grant, and what the others wait for, each of them behind the one before."""
    found = list[Any]()
    for name in names:
        candidate = await scene.candidate(name, layout, **options)
        found.append(candidate.stand_by() if found else await candidate.win())
        await asyncio.sleep(1.0)
    for name in names:
        _ = scene.candidates[name].asked
    return found


def member(scene: Scene, index: int) -> str:
    """Of those in line, from 0."""
    children = [path for path, _ in scene.operator.tree.walk() if path.startswith(f"{PATH}/")]
    return sorted(children, key=lambda path: path[-10:])[index]


# ---------------------------------------------------------------------- the record


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_record_whose_reply_was_lost_is_written_once(seed: int) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", "latch")
        scene.lose_reply("a", Op.MULTI, b'"number":1')
        grant = await a.win()
        await asyncio.sleep(0.5)
        assert scene.nodes()[".aioha"][1] == 1
        assert sum("set E.aioha " in each for each in a.asked) == 2
        await a.release(grant)
        assert scene.nodes()[".aioha"][1] == 2
        assert scene.data(".aioha/ended") == b"%d" % grant.token

    played(play, seed=seed)


def test_a_record_that_was_deleted_between_two_terms_is_made_anew() -> None:
    async def play(scene: Scene) -> None:
        (first,) = await in_line(scene, "a")
        a = scene.candidates["a"]
        await a.release(first)
        scene.operator.delete(f"{RECORD}/ended", RECORD)
        second = await a.win()
        assert (second.number, second.predecessor, second.settle) == (1, None, 0.0)
        await asyncio.sleep(0.5)
        assert '"number":1' in scene.nodes()[".aioha"][0]

    played(play)


def test_a_term_that_was_ended_by_hand_writes_no_clean_end() -> None:
    async def play(scene: Scene) -> None:
        (first,) = await in_line(scene, "a")
        a, before = scene.candidates["a"], scene.nodes()
        scene.operator.delete(first.node)
        await asyncio.sleep(0.5)
        assert first.ended == "the leader's node was deleted by someone else"
        await a.release(first)
        assert a.asked == ["delete E/latch-0000000000", "check /", "exists E/latch-0000000000"]
        assert scene.nodes() == {path: each for path, each in before.items() if not path.startswith("/latch")}

    played(play)


def test_a_record_that_others_have_written_to_is_written_over_them() -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b")
        a, b = scene.candidates["a"], scene.candidates["b"]
        releasing = a.begin_release(first)
        await asyncio.sleep(ONE_WAY * 2.5)  # b leads, and its record is under way
        scene.operator.set(RECORD, scene.data(".aioha"))
        second = await waiting
        await asyncio.sleep(1.0)
        assert f'"number":2,"identity":"b","data":"b","stop_grace":1.8,"token":{second.token}' in scene.nodes()[".aioha"][0]
        await releasing
        assert [each.split(" + ")[-1].split(" ")[0] for each in b.asked] == ["set", "get", "get", "set"]
        await b.release(second)
        assert '"ended":true' in scene.nodes()[".aioha"][0]

    played(play)


def test_a_record_that_was_deleted_meanwhile_is_made_anew() -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b")
        a, b = scene.candidates["a"], scene.candidates["b"]
        a.begin_release(first)
        await asyncio.sleep(ONE_WAY * 2.5)
        scene.operator.delete(f"{RECORD}/ended", RECORD)
        second = await waiting
        await asyncio.sleep(1.0)
        assert sum("set E.aioha " in each for each in b.asked) == 2
        assert '"number":2' in scene.nodes()[".aioha"][0]
        await b.release(second)
        assert scene.data(".aioha/ended") == b"%d" % second.token

    played(play)


def test_a_token_whose_lift_may_not_be_written_is_not_led_with() -> None:
    async def play(scene: Scene) -> None:
        (first,) = await in_line(scene, "a")
        await scene.candidates["a"].release(first)
        scene.operator.set_acl(RECORD, READ_ONLY)
        b = await scene.candidate("b", "latch", token_floor=1 << 40)
        with pytest.raises(SessionFailed, match=rf"^{PATH}: token \d+ would not exceed {1 << 40} "):
            await b.win()
        assert len(scene.nodes()) == 3

    played(play)


def test_who_is_still_to_be_fenced_is_handed_on_by_those_who_fence_nobody() -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b")
        scene.candidates["a"].crash()
        second = await waiting
        third = (await scene.candidate("c", "latch")).stand_by()
        await asyncio.sleep(2.0)
        await scene.candidates["b"].release(second)
        assert facts(await third)["predecessor"] == ("b", second.token, True)
        assert facts(await third)["unfenced"] == [first.token]

    played(play)


@pytest.mark.parametrize("later", [0.0, 0.02, 0.06, 0.12, 0.18, 0.22, 0.28, 0.34, 1.0])
def test_a_record_deleted_by_hand_says_nothing_of_a_clean_end(later: float) -> None:
    """However far the next one has come in learning that it is gone, and making it anew."""

    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b", stop_grace=1.5)
        scene.operator.delete(f"{RECORD}/ended", RECORD)
        await asyncio.sleep(later)
        scene.operator.delete(member(scene, 0))
        second = await waiting
        assert (second.settle, second.number) == (LONGEST, 1)
        assert facts(second)["predecessor"] == ("a", first.token, False)
        assert facts(second)["unfenced"] == [first.token]

    played(play)


def test_an_unreadable_record_is_kept_aside_and_its_term_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b")
        await asyncio.sleep(1.0)
        scene.operator.set(RECORD, b"rubbish")
        await asyncio.sleep(1.0)
        scene.candidates["a"].crash()
        second = await waiting
        assert scene.data(".aioha/unreadable") == b"rubbish"
        assert facts(second)["predecessor"] == ("", first.token, False)
        assert (second.settle, facts(second)["unfenced"]) == (LONGEST, [first.token])
        assert '"number":2' in scene.nodes()[".aioha"][0]  # written before anybody works

    played(play)
    assert "cannot be read (not JSON: b'rubbish')" in caplog.text


def test_whose_term_an_unreadable_record_hides_may_be_anybodys_before_us() -> None:
    async def play(scene: Scene) -> None:
        (first,) = await in_line(scene, "a")
        await scene.candidates["a"].release(first)
        scene.operator.set(RECORD, b"rubbish")
        b = await scene.candidate("b", "latch")
        second = await b.win()
        lifted = first.token - scene.czxid(".aioha")  # at most so much, as no term began before there was a record
        assert facts(second)["predecessor"] == ("", second.czxid - 1 + lifted, False)
        assert facts(second)["unfenced"] == [second.czxid - 1 + lifted]
        assert (second.token, second.settle, second.number) == (second.czxid + lifted, LONGEST, 2)

    played(play)


@pytest.mark.parametrize("crash", [False, True])
def test_a_record_that_may_not_be_written_is_done_without(crash: bool, caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b")
        scene.operator.set_acl(RECORD, READ_ONLY)
        if crash:
            scene.candidates["a"].crash()
        else:
            await scene.candidates["a"].release(first)
        second = await waiting
        await asyncio.sleep(1.0)
        assert '"number":1,' in scene.nodes()[".aioha"][0]
        assert second.ended is None
        await scene.candidates["b"].release(second)
        assert len(scene.nodes()) == 3

    played(play)
    assert warnings(caplog) == [WITHOUT]


def test_a_record_that_may_not_be_read_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b")
        scene.operator.set_acl(RECORD, (type(READ_ONLY[0])(2, "world", "anyone"),))
        _, third = waiting, (await scene.candidate("c", "latch")).stand_by()
        await asyncio.sleep(1.0)
        scene.candidates["a"].crash()
        second = await waiting
        await scene.candidates["b"].release(second)
        assert (await third).number is None
        assert second.token > first.token

    played(play)
    assert set(warnings(caplog)) == {WITHOUT}


def test_where_a_hook_needs_the_record_a_term_that_may_not_be_accounted_for_is_said_and_released(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b", fence=hook)
        scene.operator.set_acl(RECORD, READ_ONLY)
        await scene.candidates["a"].release(first)
        second = await waiting
        _ = scene.candidates["b"].asked
        await scene.candidates["b"].release(second)
        assert scene.candidates["b"].asked == ["delete E/latch-0000000001"]
        assert len(scene.nodes()) == 3

    played(play)
    text = (
        f"no permission to keep a record at {RECORD} ({NoAuth()}), and without one nobody knows how the last term ended, "
        "which fence= needs (candidate b); check the ACL, or do without the hook"
    )
    assert warnings(caplog, logging.ERROR) == [text]
