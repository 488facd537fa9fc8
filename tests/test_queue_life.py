"""The life of a queue: what is asked, what lies in the nodes, and how long each thing takes."""

import asyncio
from typing import Any

import pytest
from bareelections import ONE_WAY, PATH, ROUND_TRIP, Scene, T, facts, played, short
from grants import Guardian

from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.guardian import facts as guarded

MAKE = ["create /service ''", "create E.aioha ''", "create E.aioha/ended ''"]


def record(number: int, who: str, token: int, *, ended: bool = False, more: str = "") -> str:
    state = "true" if ended else "false"
    return f'{{"number":{number},"identity":"{who}","data":"{who}","stop_grace":1.8,"token":{token},"ended":{state}{more}}}'


def member(number: int) -> str:
    return f"E/latch-{number:010d}"


def joining(who: str, number: int) -> list[str]:
    """The beginning of a standby's life, up to where it knows its own place."""
    join = f"create E/latch- '{who}' ephemeral sequential"
    return ["children E", *MAKE[:1], *MAKE, join, "children E", f"exists {member(number)} watch"]


def test_three_turns_of_a_latch() -> None:
    async def play(scene: Scene) -> None:
        a, b, c = [await scene.candidate(name, "latch") for name in "abc"]
        begun = scene.now
        first = await a.win()
        assert scene.now - begun == pytest.approx(8 * ROUND_TRIP)
        await asyncio.sleep(0.5)
        join = "create E/latch- 'a' ephemeral sequential"
        assert a.asked == [
            *["children E", *MAKE[:1], *MAKE, join],
            *["create /service ''", "create E ''", join],
            *["children E", f"exists {member(0)} watch"],
            *["get E.aioha", "get E.aioha/ended"],
            f"check {member(0)} + set E.aioha '{record(1, 'a', first.token)}' at 0",
        ]
        waiting = []
        for candidate in (b, c):
            waiting.append(candidate.stand_by())
            await asyncio.sleep(1.0)
        assert b.asked == [*joining("b", 1), f"get {member(0)} watch", "get E.aioha watch"]
        assert c.asked == [*joining("c", 2), f"get {member(0)} watch", f"get {member(1)} watch"]
        begun = scene.now
        await a.release(first)
        assert scene.now - begun == pytest.approx(ROUND_TRIP)
        closed = record(1, "a", first.token, ended=True)
        assert a.asked == [f"set E.aioha/ended '{first.token}' + set E.aioha '{closed}' + delete {member(0)}"]
        second = await waiting[0]
        assert scene.now - begun == pytest.approx(2 * ONE_WAY)  # on the event, with no round trip of its own
        await asyncio.sleep(1.0)
        written = record(2, "b", second.token)
        assert b.asked == [f"check {member(1)} + set E.aioha '{written}' at 2"]
        assert c.asked == ["get E.aioha watch"]
        assert scene.nodes() == {
            "": ("", 0, ""),
            ".aioha": (written, 3, ""),
            ".aioha/ended": (str(first.token), 1, ""),
            "/latch-0000000001": ("b", 0, "b"),
            "/latch-0000000002": ("c", 0, "c"),
        }
        await b.release(second)
        third = await waiting[1]
        assert facts(third)["predecessor"] == ("b", second.token, True)
        await c.release(third)
        for each in (a, b, c):
            assert each.sessions.current is not None
            assert len(each.sessions.current._watches) == 0
        closed = record(3, "c", third.token, ended=True)
        assert scene.nodes() == {"": ("", 0, ""), ".aioha": (closed, 6, ""), ".aioha/ended": (str(third.token), 3, "")}

    played(play)


@pytest.mark.parametrize("layout", DIALECTS)
def test_what_terms_say(layout: str) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout, stop_grace=1.5, data=b"at work")
        first = await a.win()
        assert facts(first) == {
            "token": first.czxid,
            "number": 1,
            "leader": ("a", b"at work", first.czxid),
            "predecessor": None,
            "unfenced": [],
            "settle": 0.0,
            "stop_grace": 1.5,
            "seated": False,
            "mark": b"%d" % first.czxid,
            "no_transactions": None,
            "ended": None,
            "checks": [f"check {short(first.node)}"],
        }
        name = first.node.removeprefix(PATH)
        assert (first.path, first.czxid, first.node_version) == (PATH, scene.czxid(name), -1)
        assert scene.nodes()[short(first.node).removeprefix("E")][0] == "at work"
        assert first.leader.since > 1e9
        await asyncio.sleep(1.0)
        a.crash()
        second = await (await scene.candidate("b", layout)).win()
        assert facts(second) == {
            "token": second.czxid,
            "number": 2,
            "leader": ("b", b"b", second.czxid),
            "predecessor": ("a", first.token, False),
            "unfenced": [first.token],
            "settle": 1.6 + 9 * ROUND_TRIP,
            "stop_grace": T / 10,
            "seated": False,
            "mark": b"%d %d" % (second.token, first.token),
            "no_transactions": None,
            "ended": None,
            "checks": [f"check {short(second.node)}"],
        }
        assert second.predecessor.data == b"at work"
        await asyncio.sleep(1.0)
        more = f',"owed_token":{first.token},"owed_grace":2.5,'
        more += f'"unfenced":[{{"token":{first.token},"identity":"a","data":"at work"}}]'
        assert scene.nodes()[".aioha"] == (record(2, "b", second.token, more=more), 2, "")
        await asyncio.create_task(second.fenced(second.unfenced[0]))
        assert scene.data(".aioha/ended") == b"%d" % first.token
        assert facts(second)["mark"] == b"%d" % second.token

    played(play)


@pytest.mark.parametrize("layout", ["latch", "zk-recipes"])
def test_without_a_record(layout: str) -> None:
    async def play(scene: Scene) -> None:
        a, b = [await scene.candidate(name, layout, record=False) for name in "ab"]
        first = await a.win()
        said = facts(first)
        assert (said["number"], said["predecessor"], said["no_transactions"]) == (None, None, None)
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        _ = a.asked
        await a.release(first)
        second = await standing
        leave = f"delete {short(first.node)}"
        look = ["check /", f"exists {short(first.node)}"]
        assert a.asked == [*([] if layout == "latch" else look), leave]
        assert (second.number, second.settle, facts(second)["unfenced"]) == (None, 0.0, [first.token])
        assert facts(second)["predecessor"] == ("a", first.token, False)
        assert "record" not in "".join(b.asked)
        await b.release(second)
        assert scene.nodes() == {"": ("", 0, "")}

    played(play)


@pytest.mark.parametrize("keeps", [True, False])
def test_a_guardian_is_told_how_the_term_would_end_cleanly(keeps: bool) -> None:
    async def play(scene: Scene) -> None:
        guardian = Guardian()
        a = await scene.candidate("a", "latch", guardian=guardian, record=keeps)
        grant = await a.win()
        await a.do(grant.ready(asyncio.Event()))
        node = ((grant.node, -1),)
        closed = scene.operator.tree.get(f"{PATH}.aioha")
        await asyncio.sleep(0.5)
        writes: Any = ()
        if keeps:
            assert closed is not None
            text = (closed.data or b"").replace(b'"ended":false', b'"ended":true')
            writes = ((f"{PATH}.aioha/ended", b"%d" % grant.token), (f"{PATH}.aioha", text))
        told = ("know", (guarded.TERM, PATH), (node, node, writes))
        assert guardian.told == [("begin", grant.session.lease, T / 10), told]
        await a.release(grant)
        assert guardian.told[2:] == [("end", grant.session.lease), ("forget", (guarded.TERM, PATH))]

    played(play)


def test_tokens_are_lifted_before_anybody_works_with_them() -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", "latch", token_floor=1 << 40)
        first = await a.win()
        assert first.token == first.czxid + (1 << 40)
        assert f'"token_base":{1 << 40},"token":{first.token}' in scene.nodes()[".aioha"][0]
        standing = (await scene.candidate("b", "latch")).stand_by()
        await asyncio.sleep(1.0)
        await a.release(first)
        second = await standing
        assert second.token == second.czxid + (1 << 40)
        assert facts(second)["predecessor"] == ("a", first.token, True)

    played(play)


@pytest.mark.parametrize("layout", ["latch", "zk-recipes"])
def test_who_is_behind_a_foreign_member_waits_for_it_and_knows_nothing_of_its_work(layout: str) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout)
        await a.release(await a.win())
        name = "/_c_32a7c6a4-1f5d-4f0e-9b61-0d6ac6f7ee1b-latch-0000000000" if layout == "latch" else "/n_0000000000"
        scene.operator.create(PATH + name, b"10.0.0.7\0\0" + b"x" * 300)
        foreign = scene.czxid(name)
        standing = (await scene.candidate("b", layout)).stand_by()
        await asyncio.sleep(1.0)
        scene.operator.delete(PATH + name)
        grant = await standing
        assert (grant.predecessor.token, grant.predecessor.ended_cleanly) == (foreign, False)
        assert grant.predecessor.identity == "10.0.0.7\0\0" + "x" * 246
        assert len(grant.predecessor.data) == 310
        assert [(each.token, each.data) for each in grant.unfenced] == [(foreign, grant.predecessor.data)]
        assert grant.settle == 0.0
        assert grant.number == 2

    played(play)
