"""The life of an election in Hadoop's layout: what is asked, what lies in the nodes, and what becomes of breadcrumbs."""

import asyncio

import pytest
from bareelections import ONE_WAY, PATH, ROUND_TRIP, Scene, T, facts, played
from grants import Guardian
from lines import COUNT, LIST, join, place_in_line
from test_ephemeral_trouble import hook

from aioha.guardian import facts as guarded

LOCK, CRUMB = "E/ActiveStandbyElectorLock", "E/ActiveBreadCrumb"
GLIMPSE = [f"exists {LOCK}", "get E.aioha", "get E.aioha/ended", f"get {CRUMB}"]
LOOK = [f"exists {LOCK} watch", *GLIMPSE[1:]]
MARK = "get E.aioha/ended"
MAKE = ["create /service ''", "create E ''", "create /service ''", "create E.aioha ''", "create E.aioha/ended ''"]
MAKE_LINE = ["create /service ''", "create E.aioha ''", "create E.aioha/line ''"]
FIRST = '{"number":1,"identity":"a","data":"a","stop_grace":1.5}'


def after(number: int, who: str, token: int, before: str) -> str:
    """The record of a term, made while the one before was led."""
    return (
        f'{{"number":{number},"identity":"{who}","data":"{who}","stop_grace":1.5,"owed_token":{token},"owed_grace":1.5,'
        f'"unfenced":[{{"token":{token},"identity":"{before}","data":"{before}"}}]}}'
    )


def bid(who: str, record: str, version: int, *more: str) -> list[str]:
    node = f"create {LOCK} '{who}' ephemeral + set {LOCK} '{who}' at 0"
    seat = f"create E.aioha/seat '{version + 1} {record}' ephemeral"
    return [MARK, " + ".join([node, seat, f"set E.aioha '{record}' at {version}", *more])]


def release(token: int, version: int) -> str:
    gone = f"delete {CRUMB} + delete {LOCK} at 1 + delete E.aioha/seat"
    return f"check E.aioha at {version} + {gone} + set E.aioha/ended '{token}'"


def leaders_nodes(scene: Scene) -> dict[str, tuple[str, int, str]]:
    return {path: each for path, each in scene.nodes().items() if path.startswith("/")}


def test_a_clean_end_leaves_nothing_to_fence() -> None:
    async def play(scene: Scene) -> None:
        a, b = [await scene.candidate(name, "hadoop", fence=hook) for name in "ab"]
        _ = a.asked, b.asked
        begun = scene.now
        first = await a.win()
        assert scene.now - begun == pytest.approx(6 * ROUND_TRIP)
        assert a.asked == [*GLIMPSE, *MAKE, *GLIMPSE, LIST, *bid("a", FIRST, 0, f"create {CRUMB} 'a'"), LOOK[0]]
        assert (first.node, first.node_version) == (f"{PATH}/ActiveStandbyElectorLock", 1)
        assert leaders_nodes(scene) == {"/ActiveBreadCrumb": ("a", 0, ""), "/ActiveStandbyElectorLock": ("a", 1, "a")}
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        assert b.asked == [*GLIMPSE, join("b"), *MAKE_LINE, join("b"), COUNT, *LOOK]
        begun = scene.now
        await a.release(first)
        assert a.asked == [release(first.token, 1)]
        second = await standing
        # As it is in the other layouts: the breadcrumb costs no round trip.
        assert scene.now - begun == pytest.approx(2 * ONE_WAY + ROUND_TRIP)
        record = after(2, "b", first.token, "a")
        assert b.asked == [*bid("b", record, 1, f"create {CRUMB} 'b'", f"delete {place_in_line(0)}"), LOOK[0]]
        assert facts(second)["predecessor"] == ("a", first.token, True)
        assert facts(second)["unfenced"] == []
        await b.release(second)
        assert leaders_nodes(scene) == {}

    played(play)


def test_who_has_died_is_found_by_its_breadcrumb_which_stays_until_it_is_fenced() -> None:
    async def play(scene: Scene) -> None:
        a, b = [await scene.candidate(name, "hadoop", fence=hook) for name in "ab"]
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        _ = b.asked
        a.crash()
        second = await standing
        record = after(2, "b", first.token, "a")
        prepared = bid("b", record, 1, f"create {CRUMB} 'b'", f"delete {place_in_line(0)}")
        # The bid that was ready has hoped for a clean end.
        asked = [*prepared, *LOOK, *LOOK, *bid("b", record, 1, f"delete {place_in_line(0)}"), MARK, LOOK[0]]
        assert b.asked[-len(asked) :] == asked
        assert leaders_nodes(scene) == {"/ActiveBreadCrumb": ("a", 0, ""), "/ActiveStandbyElectorLock": ("b", 1, "b")}
        said = facts(second)
        assert (said["predecessor"], said["unfenced"]) == (("a", first.token, False), [first.token])
        assert second.settle == pytest.approx(T / 10 + 0.1 + 6 * ROUND_TRIP)
        await b.do(second.fenced(second.unfenced[0]))
        checked = "check E.aioha at 2"
        assert b.asked == [f"{checked} + set {CRUMB} 'b' at 0", f"{checked} + set E.aioha/ended '{first.token}'"]
        assert facts(second)["unfenced"] == []
        await b.release(second)
        assert b.asked == [release(second.token, 2)]
        assert leaders_nodes(scene) == {}

    played(play)


def test_a_term_that_has_not_fenced_leaves_the_breadcrumb_to_the_next() -> None:
    async def play(scene: Scene) -> None:
        a, b = [await scene.candidate(name, "hadoop", fence=hook) for name in "ab"]
        first = await a.win()
        a.crash()
        second = await b.win()
        await b.release(second)
        assert leaders_nodes(scene) == {"/ActiveBreadCrumb": ("a", 0, "")}
        assert scene.data(".aioha/ended") == b"%d %d" % (second.token, first.token)
        third = await b.win()
        said = facts(third)
        assert (said["predecessor"], said["unfenced"]) == (("a", first.token, False), [first.token])

    played(play)


@pytest.mark.parametrize("record", [True, False])
def test_a_breadcrumb_of_ours_is_taken_over(record: bool) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", "hadoop", fence=hook, record=record)
        grant = await a.win()
        scene.ensemble.expire_session(grant.session.id)
        await asyncio.sleep(1.0)
        _ = a.asked
        again = await a.win()
        bids = [each for each in a.asked if each.startswith("create E/")]
        assert [each.partition(f" + set {CRUMB} ")[2] for each in bids] == ["'a' at 0"]
        assert [each.token for each in again.unfenced] == ([grant.token] if record else [])
        await a.release(again)
        assert leaders_nodes(scene) == {}

    played(play)


def test_without_a_record_the_breadcrumb_tells_all_the_same() -> None:
    async def play(scene: Scene) -> None:
        a, b = [await scene.candidate(name, "hadoop", fence=hook, record=False) for name in "ab"]
        _ = a.asked
        first = await a.win()
        takeover = f"create {LOCK} 'a' ephemeral + set {LOCK} '' at 0 + set {LOCK} 'a' at 1 + create {CRUMB} 'a'"
        assert takeover in a.asked
        crumb = scene.czxid("/ActiveBreadCrumb")
        a.crash()
        second = await b.win()
        said = facts(second)
        assert (said["predecessor"], said["unfenced"], said["settle"]) == (("a", crumb, False), [crumb], 0.0)
        assert first.czxid == crumb
        _ = b.asked
        await b.do(second.fenced(second.unfenced[0]))
        assert b.asked == [f"check {LOCK} at 2 + set {CRUMB} 'b' at 0"]
        assert list(second.unfenced) == []
        await b.release(second)
        assert leaders_nodes(scene) == {}

    played(play)


def test_a_breadcrumb_that_others_have_written_to_meanwhile_ends_the_term() -> None:
    async def play(scene: Scene) -> None:
        a, b = [await scene.candidate(name, "hadoop", fence=hook) for name in "ab"]
        first = await a.win()
        a.crash()
        second = await b.win()
        scene.operator.set(f"{PATH}/ActiveBreadCrumb", b"by hand")
        await b.do(second.fenced(second.unfenced[0]))
        assert second.ended == "another candidate took over (the record has changed)"
        assert [each.token for each in second.unfenced] == [first.token]

    played(play)


def test_a_guardian_is_told_to_take_the_breadcrumb_away() -> None:
    async def play(scene: Scene) -> None:
        guardian = Guardian()
        a = await scene.candidate("a", "hadoop", fence=hook, guardian=guardian)
        grant = await a.win()
        await a.do(grant.ready(asyncio.Event()))
        record, ended, lock = f"{PATH}.aioha", f"{PATH}.aioha/ended", f"{PATH}/ActiveStandbyElectorLock"
        deletes = (lock, 1), (f"{record}/seat", -1), (f"{PATH}/ActiveBreadCrumb", -1)
        assert guardian.told[-1] == (
            "know",
            (guarded.TERM, PATH),
            (((record, 1),), deletes, ((ended, b"%d" % grant.token),)),
        )
        await a.release(grant)

    played(play)
