"""Standing in line for an `ephemeral` election, in virtual time: who asks what at which moment, and who bids when."""

import asyncio
from typing import Any

import pytest
from bareelections import ONE_WAY, PATH, ROUND_TRIP, Bare, Scene, T, facts, played
from lines import CLOSED, COUNT, FOLLOW, GLIMPSE, LIST, LISTED, LOOK, forbid_the_line, join, led_once, place_in_line
from test_ephemeral_trouble import warnings

from aioha.testing.simulated import acl
from aioha.wire.errors import NoAuth

SEAT, MARK = "get E.aioha/seat watch", "get E.aioha/ended"
LINE = f"{PATH}.aioha/line"


async def in_line(scene: Scene, *names: str) -> tuple[Any, list[Bare], list["asyncio.Task[Any]"]]:
    """The first one's grant, the others, in line, and what they wait for."""
    first, *others = await led_once(scene, *names)
    grant, waits = await first.win(), list["asyncio.Task[Any]"]()
    for each in others:
        waits.append(each.stand_by())
        await asyncio.sleep(1.0)
    for each in (first, *others):
        _ = each.asked
    return grant, others, waits


def bids(asked: list[tuple[float, str]]) -> list[float]:
    return [when for when, words in asked if words.startswith("create E ")]


def without_bids(asked: list[tuple[float, str]]) -> list[tuple[float, str]]:
    return [each for each in asked if not each[1].startswith("create E ")]


# ---------------------------------------------------------------------- who asks what


def test_what_each_one_asks_while_nothing_happens() -> None:
    async def play(scene: Scene) -> None:
        a, b, c, d = await led_once(scene, *"abcd")
        await a.win()
        begun, standing = scene.now, [each.stand_by() for each in (b,)]
        await asyncio.sleep(1.0)
        standing += [c.stand_by()]
        await asyncio.sleep(1.0)
        standing += [d.stand_by()]
        await asyncio.sleep(1.2 * T + 1.0)
        asked = {each.name: each.asked_since(begun) for each in (b, c, d)}
        assert [words for _, words in asked["b"]][:8] == [*GLIMPSE, join("b"), COUNT, *LOOK]
        assert [words for _, words in asked["c"]][:9] == [*GLIMPSE, join("c"), FOLLOW[0], COUNT, *LOOK]
        # Who is third looks once, at what may be free, and then at the one before it alone; after a while, who is ahead.
        assert [words for _, words in asked["d"]] == [*GLIMPSE, join("d"), FOLLOW[1], COUNT, *LISTED[2], FOLLOW[1], *GLIMPSE]
        assert 2.4 + 0.8 * T <= asked["d"][6][0] <= 2.4 + 1.2 * T + ROUND_TRIP
        assert not any(each.done() for each in standing)

    played(play)


def test_who_stands_by_behind_others_asks_no_more_when_they_take_turns() -> None:
    async def play(scene: Scene) -> None:
        grant, (b, c, d), (second, _, _) = await in_line(scene, *"abcd")
        begun = scene.now
        scene.candidates["a"].begin_release(grant)
        grant = await second
        await asyncio.sleep(0.5)
        asked = {each.name: each.asked_since(begun) for each in (b, c, d)}
        assert bids(asked["b"]) == [2 * ONE_WAY]
        assert without_bids(asked["b"]) == [(2 * ONE_WAY, MARK), (pytest.approx(4 * ONE_WAY), "exists E watch")]
        # It hears that the one before it has gone, and the seat says all: who leads, and what the record says.
        assert asked["c"] == [(pytest.approx(4 * ONE_WAY), SEAT)]
        assert asked["d"] == []
        begun = scene.now
        b.begin_release(grant)
        await asyncio.sleep(0.5)
        asked = {each.name: each.asked_since(begun) for each in (c, d)}
        assert bids(asked["c"]) == [pytest.approx(2 * ONE_WAY)]
        assert asked["d"] == [(pytest.approx(4 * ONE_WAY), SEAT)]

    played(play)


def test_the_second_leaves_it_to_the_first_for_a_sixteenth_of_the_timeout() -> None:
    async def play(scene: Scene) -> None:
        grant, (_, c), (_, third) = await in_line(scene, *"abc")
        scene.simulation.network.freeze("b")
        begun = scene.now
        scene.candidates["a"].begin_release(grant)
        led = await third
        asked = c.asked_since(begun)
        assert bids(asked) == [pytest.approx(2 * ONE_WAY + T / 16)]
        assert [words for _, words in without_bids(asked)] == [MARK, LOOK[0]]
        assert scene.now - begun == pytest.approx(2 * ONE_WAY + T / 16 + ROUND_TRIP)
        assert led.number == 3
        assert set(scene.nodes()) >= {".aioha/line/0000000000", ""}
        assert ".aioha/line/0000000001" not in scene.nodes()
        scene.simulation.network.thaw("b")

    played(play)


def test_who_moves_up_as_the_one_before_it_leaves_the_line_lists_it() -> None:
    async def play(scene: Scene) -> None:
        _, (_, c, d), (_, third, _) = await in_line(scene, *"abcd")
        begun = scene.now
        third.cancel()
        await asyncio.wait({third})
        place = place_in_line(1)
        assert [words for _, words in c.asked_since(begun)] == ["check /", f"exists {place}", f"delete {place}"]
        gone = begun + 2 * ROUND_TRIP + 2 * ONE_WAY
        await asyncio.sleep(1.0)
        # The seat says that who leads is not the one that was before it. So it is looked who is ahead now.
        asked = d.asked_since(gone)
        assert [words for _, words in asked] == [SEAT, *LOOK, *LISTED[2], FOLLOW[0]]
        assert [when for when, _ in asked] == pytest.approx([0.0, 0.1, 0.1, 0.1, 0.2, 0.2, 0.3])

    played(play)


# ---------------------------------------------------------------------- places that are meddled with


def test_who_finds_its_place_gone_by_hand_when_it_bids_joins_again_and_leads() -> None:
    async def play(scene: Scene) -> None:
        grant, (b,), (second,) = await in_line(scene, *"ab")
        scene.operator.delete(f"{LINE}/0000000000")
        begun = scene.now
        scene.candidates["a"].begin_release(grant)
        led = await second
        asked = [words for _, words in without_bids(b.asked_since(begun))]
        assert asked == [MARK, join("b"), FOLLOW[0], COUNT, *LOOK, MARK, LOOK[0]]
        assert scene.now - begun == pytest.approx(2 * ONE_WAY + 6 * ROUND_TRIP)
        assert facts(led)["predecessor"] == ("a", grant.token, True)
        assert scene.nodes()[".aioha/line"][0] == ""
        assert not any(path.startswith(".aioha/line/") for path in scene.nodes())

    played(play)


def test_who_may_not_leave_its_place_leads_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        grant, (b,), (second,) = await in_line(scene, *"ab")
        forbid_the_line(scene)
        begun = scene.now
        scene.candidates["a"].begin_release(grant)
        led = await second
        asked = b.asked_since(begun)
        assert [words for _, words in without_bids(asked)] == [MARK, *LOOK, MARK, LOOK[0]]
        assert bids(asked) == [pytest.approx(2 * ONE_WAY), pytest.approx(2 * ONE_WAY + 2 * ROUND_TRIP)]
        assert led.number == 3
        assert ".aioha/line/0000000000" in scene.nodes()
        # Should it stand in line again, the place that is left over does not hold it up.
        scene.operator.set_acl(LINE, acl.OPEN)
        await b.release(led)
        _ = b.asked
        assert (await b.win()).number == 4
        asked = [each for each in b.asked if not each.startswith("create E ")]
        assert asked[:7] == [*GLIMPSE, LIST, join("b"), FOLLOW[0], f"delete {place_in_line(0)}"]
        assert not any(path.startswith(".aioha/line/") for path in scene.nodes())

    played(play)
    text = f"{PATH}: no permission to stand in line at {LINE} ({NoAuth()}): a plain race in this campaign, in which every "
    assert warnings(caplog) == [f"{text}standby looks at the leader"]


def test_who_finds_its_place_gone_by_hand_while_it_waits_joins_again_with_the_session_timeout() -> None:
    async def play(scene: Scene) -> None:
        _, (b,), _ = await in_line(scene, *"ab")
        scene.operator.delete(f"{LINE}/0000000000")
        await asyncio.sleep(T)
        assert b.asked == [*LISTED[0], "check /", *LISTED[0], join("b"), FOLLOW[0], COUNT, *LOOK]

    played(play)


# ---------------------------------------------------------------------- refusals that are taken back


def test_a_record_that_is_allowed_again_is_kept_again(caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        a, b, c = await scene.candidate("a", record=False), await scene.candidate("b"), await scene.candidate("c")
        first = await a.win()
        scene.operator.set_acl("/service", CLOSED)
        _, second = b.asked, b.stand_by()
        await asyncio.sleep(1.0)
        assert b.asked[-4:] == ["exists E.aioha/ended", *LOOK]  # is there one by now?
        scene.operator.set_acl("/service", acl.OPEN)
        scene.simulation.network.freeze("b")
        await a.release(first)
        assert (await c.win()).number == 1
        scene.simulation.network.thaw("b")
        await asyncio.sleep(1.5)
        asked = b.asked
        assert asked[0].startswith("create E 'b' ephemeral + set E '' at 0")
        assert asked[1:9] == [*LOOK, *GLIMPSE, join("b"), "create /service ''"]
        assert ".aioha/line/0000000000" in scene.nodes()
        assert not second.done()

    played(play)
    assert [each.partition(" (")[0] for each in warnings(caplog)] == [
        f"{PATH}: no permission to keep a record at {PATH}.aioha"
    ]


# ---------------------------------------------------------------------- the lease of who stands by


@pytest.mark.parametrize("after", [0.45, 1.0, 5.0])
def test_work_can_begin_on_the_reply_to_a_bid_however_soon_it_is_sent(after: float) -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(after + 2 * ROUND_TRIP)
        session = await b.do(b.sessions.live())
        assert list(session.heartbeat._ready.values()) == [PATH]
        begun = scene.now
        a.begin_release(first)
        second = await standing
        assert scene.now - begun == pytest.approx(2 * ONE_WAY + ROUND_TRIP)
        assert second.usable >= T / 4
        assert session.heartbeat._ready == {}

    played(play)


def test_who_stands_by_no_longer_keeps_no_lease() -> None:
    async def play(scene: Scene) -> None:
        _, (b,), (second,) = await in_line(scene, *"ab")
        session = await b.do(b.sessions.live())
        assert list(session.heartbeat._ready.values()) == [PATH]
        second.cancel()
        await asyncio.wait({second})
        assert session.heartbeat._ready == {}
        assert not any(path.startswith(".aioha/line/") for path in scene.nodes())

    played(play)
