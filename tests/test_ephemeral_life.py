"""The life of an `ephemeral` election: what is asked, what lies in the nodes, and how long each thing takes."""

import asyncio
from typing import Any

import pytest
from bareelections import ONE_WAY, PATH, ROUND_TRIP, Scene, T, facts, played
from grants import Guardian
from lines import COUNT, GLIMPSE, LIST, LOOK, join, place_in_line
from scripted import READABLE

from aioha.elections.protocol import Operation
from aioha.guardian import facts as guarded

MAKE = ["create /service ''", "create /service ''", "create E.aioha ''", "create E.aioha/ended ''"]
MAKE_LINE = ["create /service ''", "create E.aioha ''", "create E.aioha/line ''"]
FIRST = '{"number":1,"identity":"a","data":"a","stop_grace":1.5}'
SECOND = (
    '{"number":2,"identity":"b","data":"b","stop_grace":1.5,"owed_token":7,"owed_grace":1.5,'
    '"unfenced":[{"token":7,"identity":"a","data":"a"}]}'
)


def bid(who: str, record: str, version: int, place: int | None = None) -> list[str]:
    """The takeover, behind the question about the terms before. `place`: in line, to be left."""
    takeover = f"create E '{who}' ephemeral + set E '{who}' at 0 + create E.aioha/seat '{version + 1} {record}' ephemeral"
    takeover += f" + set E.aioha '{record}' at {version}"
    return ["get E.aioha/ended", takeover if place is None else f"{takeover} + delete {place_in_line(place)}"]


def test_two_turns() -> None:
    async def play(scene: Scene) -> None:
        a, b = await scene.candidate("a"), await scene.candidate("b")
        begun = scene.now
        first = await a.win()
        assert scene.now - begun == pytest.approx(6 * ROUND_TRIP)
        assert a.asked == [*GLIMPSE, *MAKE, *GLIMPSE, LIST, *bid("a", FIRST, 0), "exists E watch"]
        ended, seat = {".aioha/ended": ("", 0, "")}, {".aioha/seat": (f"1 {FIRST}", 0, "a")}
        assert scene.nodes() == {"": ("a", 1, "a"), ".aioha": (FIRST, 1, ""), **ended, **seat}
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        assert b.asked == [*GLIMPSE, join("b"), *MAKE_LINE, join("b"), COUNT, *LOOK]
        in_line = {".aioha/line": ("", 0, ""), ".aioha/line/0000000000": ('{"identity": "b", "data": "b"}', 0, "b")}
        assert scene.nodes() == {"": ("a", 1, "a"), ".aioha": (FIRST, 1, ""), **ended, **in_line, **seat}
        begun = scene.now
        await a.release(first)
        assert scene.now - begun == pytest.approx(ROUND_TRIP)
        assert a.asked == ["check E.aioha at 1 + delete E at 1 + delete E.aioha/seat + set E.aioha/ended '7'"]
        second = await standing
        # One way for the release, one for the event, and the takeover's round trip.
        assert scene.now - begun == pytest.approx(2 * ONE_WAY + ROUND_TRIP)
        assert b.asked == [*bid("b", SECOND, 1, place=0), "exists E watch"]
        ended, line = {".aioha/ended": ("7", 1, "")}, {".aioha/line": ("", 0, "")}
        seat = {".aioha/seat": (f"2 {SECOND}", 0, "b")}
        assert scene.nodes() == {"": ("b", 1, "b"), ".aioha": (SECOND, 2, ""), **ended, **line, **seat}
        await b.release(second)
        assert scene.nodes() == {".aioha": (SECOND, 2, ""), ".aioha/ended": (str(second.token), 2, ""), **line}

    played(play)


def test_what_the_first_two_terms_say() -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", stop_grace=1.5, data=b"at work")
        first = await a.win()
        assert facts(first) == {
            "token": scene.czxid(),
            "number": 1,
            "leader": ("a", b"at work", scene.czxid()),
            "predecessor": None,
            "unfenced": [],
            "settle": 0.0,
            "stop_grace": 1.5,
            "seated": True,
            "mark": b"%d" % scene.czxid(),
            "no_transactions": None,
            "ended": None,
            "checks": ["check E.aioha at 1"],
        }
        assert (first.path, first.node, first.czxid, first.node_version) == (PATH, PATH, scene.czxid(), 1)
        assert first.leader.since == pytest.approx(_ctime(scene), abs=0.001)
        a.crash()
        second = await (await scene.candidate("b")).win()
        assert facts(second) == {
            "token": scene.czxid(),
            "number": 2,
            "leader": ("b", b"b", scene.czxid()),
            "predecessor": ("a", first.token, False),
            "unfenced": [first.token],
            "settle": 1.6 + 6 * ROUND_TRIP,
            "stop_grace": T / 10,
            "seated": True,
            "mark": b"%d %d" % (second.token, first.token),
            "no_transactions": None,
            "ended": None,
            "checks": ["check E.aioha at 2"],
        }

    played(play)


def _ctime(scene: Scene) -> float:
    node = scene.operator.tree.get(PATH)
    assert node is not None
    return node.time / 1000


@pytest.mark.parametrize(
    ("layout", "options", "why", "data"),
    [("mooon", {}, "layout=mooon", "a\0"), ("ephemeral", {"record": False}, "record=False", "a")],
)
def test_without_a_record(layout: str, options: dict[str, Any], why: str, data: str) -> None:
    async def play(scene: Scene) -> None:
        a, b = [await scene.candidate(name, layout, **options) for name in "ab"]
        first = await a.win()
        shown = repr(data)
        takeover = f"create E {shown} ephemeral + set E '' at 0 + set E {shown} at 1"
        look = ["exists E watch"]
        assert a.asked == [*look, takeover, *look, *MAKE[:1], *look, takeover, *look]
        assert scene.nodes() == {"": (data, 2, "a")}
        assert facts(first) == {
            "token": scene.czxid(),
            "number": None,
            "leader": ("a", b"a", scene.czxid()),
            "predecessor": None,
            "unfenced": [],
            "settle": 0.0,
            "stop_grace": T / 10,
            "seated": False,
            "mark": b"%d" % scene.czxid(),
            "no_transactions": (
                f"transactions cannot be fenced without a record ({why}): allow one at {PATH}.aioha, or send term.token "
                "with every write to a store that compares it (docs/fencing.md)"
            ),
            "ended": None,
            "checks": ["check E at 2"],
        }
        assert first.node_version == 2
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        assert b.asked == look
        await a.release(first)
        assert a.asked == ["check /", "exists E", "delete E at 2", "check /", "exists E"]  # nothing beside the election
        second = await standing
        assert b.asked == [takeover.replace("'a", "'b"), *look]
        assert facts(second)["predecessor"] is None
        await b.release(second)
        assert scene.nodes() == {}

    played(play)


@pytest.mark.parametrize("layout", ["ephemeral", "mooon", "latch"])
def test_every_node_has_the_acl_that_was_asked_for(layout: str) -> None:
    async def play(scene: Scene) -> None:
        everything_but_admin: Any = [type(READABLE[0])(perms=15, id=READABLE[0].id)]
        grant = await (await scene.candidate("a", layout, acl=everything_but_admin)).win()
        await asyncio.sleep(0.5)
        assert {each[3] for each in scene.nodes(acl=True).values()} == {"15"}
        assert len(scene.nodes()) == (1 if layout == "mooon" else 4)
        if layout != "mooon":
            assert await grant.commit([Operation("create", f"{PATH}.data")], lambda: None) is True
            assert scene.nodes(acl=True)[".data"] == ("", 0, "", "15")

    played(play)


# ---------------------------------------------------------------------- guardians


@pytest.mark.parametrize("layout", ["ephemeral", "mooon"])
def test_a_guardian_is_told_how_the_term_would_end_cleanly(layout: str) -> None:
    async def play(scene: Scene) -> None:
        guardian = Guardian()
        a = await scene.candidate("a", layout, guardian=guardian)
        grant = await a.win()
        await a.do(grant.ready(asyncio.Event()))
        begun = ("begin", grant.session.lease, T / 10)
        record, seat, ended = f"{PATH}.aioha", f"{PATH}.aioha/seat", f"{PATH}.aioha/ended"
        will = ((record, 1),), ((PATH, 1), (seat, -1)), ((ended, b"%d" % grant.token),)
        told = ("know", (guarded.TERM, PATH), will)
        assert guardian.told == ([begun, told] if layout == "ephemeral" else [begun])
        await a.release(grant)
        assert guardian.told[-2:] == [("end", grant.session.lease), ("forget", (guarded.TERM, PATH))]

    played(play)
