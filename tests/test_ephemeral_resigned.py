"""Who has resigned from an `ephemeral` election lets the others go first, in virtual time: for how long, until what."""

import asyncio

import pytest
from bareelections import ROUND_TRIP, Scene, T, played
from lines import COUNT, FOLLOW, LOOK, forbid_the_line, join, led_once


def test_who_has_resigned_joins_at_the_end_and_lets_those_before_it_go_first() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        _, begun = a.asked, scene.now
        await a.release(first)
        again = a.stand_by(yielding=True)
        second = await standing
        await asyncio.sleep(0.5)
        assert not again.done()
        asked = a.asked_since(begun + ROUND_TRIP)
        assert asked[1:3] == [(0.05, join("a")), (0.15, FOLLOW[0])]  # it does not look before the others took over
        begun = scene.now
        await b.release(second)
        assert (await again).number == 4
        assert scene.now - begun == pytest.approx(2 * ROUND_TRIP)

    played(play)


def test_who_has_resigned_and_comes_into_line_first_steps_aside_for_a_second() -> None:
    async def play(scene: Scene) -> None:
        (a,) = await led_once(scene, "a")
        begun = scene.now
        grant = await a.win(yielding=True)
        assert scene.now - begun == pytest.approx(1.0 + ROUND_TRIP)
        asked = a.asked_since(begun)[:10]
        place = "E.aioha/line/0000000000"
        left = ["check /", f"exists {place}", f"delete {place}"]
        assert [words for _, words in asked] == [join("a"), COUNT, *LOOK, *left, "get E.aioha/ended", asked[-1][1]]
        times = [0.05, 0.15, 0.25, 0.25, 0.25, 0.35, 0.45, 0.55, 1.0, 1.0]
        assert [when for when, _ in asked] == pytest.approx(times)
        assert grant.number == 2

    played(play)


def test_whoever_comes_in_that_second_leads_and_is_followed() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        again = a.stand_by(yielding=True)
        await asyncio.sleep(0.7)
        _, begun = a.asked, scene.now
        second = await b.win()
        assert scene.now - begun == pytest.approx(3 * ROUND_TRIP)  # nobody is in line: it need not join
        await asyncio.sleep(1.0)
        asked = a.asked_since(begun)
        assert [words for _, words in asked] == [join("a"), FOLLOW[0], COUNT, *LOOK]
        assert asked[0][0] == pytest.approx(3 * ROUND_TRIP)  # it hears at once that somebody leads
        begun = scene.now
        await b.release(second)
        assert (await again).number == 3
        assert scene.now - begun == pytest.approx(2 * ROUND_TRIP)

    played(play)


def test_behind_somebody_frozen_it_steps_aside_too_and_leads_after_the_second() -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        first = await a.win()
        standing = b.stand_by()
        await asyncio.sleep(1.0)
        scene.simulation.network.freeze("b")
        await a.release(first)
        begun = scene.now
        again = await a.win(yielding=True)
        assert again.number == 3
        assert 1.0 <= scene.now - begun <= 2.0 + T / 4
        assert [path for path in scene.nodes() if path.startswith(".aioha/line/")] == [".aioha/line/0000000000"]
        scene.simulation.network.thaw("b")
        await asyncio.sleep(1.0)
        assert not standing.done()

    played(play)


# ---------------------------------------------------------------------- where nobody stands in line


@pytest.mark.parametrize(("timeout", "seconds"), [(T, 1.0), (2.0, 0.5)])
@pytest.mark.parametrize("record", [True, False])
def test_in_a_plain_race_it_waits_a_second_or_a_quarter_of_the_timeout(timeout: float, seconds: float, record: bool) -> None:
    async def play(scene: Scene) -> None:
        (a,) = await led_once(scene, "a", session_timeout=timeout, record=record)
        if record:
            forbid_the_line(scene)
        begun = scene.now
        grant = await a.win(yielding=True)
        # It looks, waits until the time is over, and bids; one more round trip if a heartbeat was under way just then.
        assert scene.now - begun in (pytest.approx(seconds + ROUND_TRIP), pytest.approx(seconds + 2 * ROUND_TRIP))
        look = LOOK if record else LOOK[:1]
        asked = [each for each in a.asked_since(begun) if each[1] in LOOK]
        assert asked[: len(look)] == [(0.15 if record else 0.05, each) for each in look]
        assert grant.number == (2 if record else None)

    played(play)


@pytest.mark.parametrize("record", [True, False])
def test_in_a_plain_race_who_leads_meanwhile_is_followed_at_once(record: bool) -> None:
    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b", record=record)
        if record:
            forbid_the_line(scene)
        second = await b.win()
        standing = a.stand_by(yielding=True)
        await asyncio.sleep(0.4)  # it has seen that another leads
        begun = scene.now
        releasing = b.begin_release(second)
        await standing
        # Where a term has no record, its node is looked at before it is deleted, behind a committed write.
        assert scene.now - begun == pytest.approx((2 if record else 4) * ROUND_TRIP)
        await releasing

    played(play)


def test_in_a_plain_race_the_others_lead_once() -> None:
    """Another leads and has ended again while nobody looked."""

    async def play(scene: Scene) -> None:
        a, b = await led_once(scene, "a", "b")
        forbid_the_line(scene)
        standing = a.stand_by(yielding=True)
        await asyncio.sleep(0.25)
        begun = scene.now
        await b.release(await b.win())
        assert (await standing).number == 3
        assert scene.now - begun < 1.0 - 0.25

    played(play)


def test_in_a_plain_race_who_comes_later_does_not_wait() -> None:
    async def play(scene: Scene) -> None:
        (a,) = await led_once(scene, "a", record=False)
        begun = scene.now
        await a.win()
        assert scene.now - begun == pytest.approx(2 * ROUND_TRIP)

    played(play)
