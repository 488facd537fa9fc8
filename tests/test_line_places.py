"""A place in the line of standbys: exactly what is asked to know who is before us, and how long the line is waited in."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import COMMITTED, COUNT, JOIN, LIST, OTHER, ROOT, counted, joined, line, line_of, name, ours, turns, watch
from scripted import DONE, READABLE, listed, node, script, timed

from aioha.elections.zookeeper.dialects import LINE, sequence_name, the_one_before
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss, NoAuth, NoNode, ResponseError


def test_the_numbers_that_servers_give() -> None:
    assert [the_one_before(number) for number in (5, 1, 0, -(1 << 31))] == [4, 0, -1, (1 << 31) - 1]
    assert [sequence_name(number) for number in (0, 2147483647, -2147483648, -1)] == [
        "0000000000",
        "2147483647",
        "-2147483648",
        "-000000001",
    ]
    assert [LINE.number(each) for each in ("0000000012", "-2147483648", "n_0000000012", "12")] == [
        12,
        -(1 << 31),
        None,
        None,
    ]


# ---------------------------------------------------------------------- joining


async def test_who_joins_first_is_near() -> None:
    mine = line(session := script(joined(0), counted(1, 0)))
    assert (mine.ahead, mine.is_near, mine.has_moved_up, mine.front) == (None, False, False, None)
    assert await mine.approach() is True
    session.assert_asked(JOIN, COUNT)
    assert (mine.ahead, mine.is_near, mine.place.name, mine.front) == (0, True, name(0), 0)
    assert session.watchers == []
    assert await mine.approach() is True
    assert len(session.asked) == 2


async def test_what_a_place_says_of_its_owner() -> None:
    mine = line(session := script(joined(0), counted(1, 0)), data="é".encode(), acl=READABLE)
    await mine.approach()
    words = '{"identity": "me", "data": "é"}'
    assert session.asked[0] == f"create {ROOT}/ '{words}' ephemeral sequential for world:anyone=1"
    mine = line(session := script(joined(0), counted(1, 0)), data=b"\xff")
    await mine.approach()
    assert '{"identity": "me", "data_base64": "/w=="}' in session.asked[0]


async def test_a_line_that_is_not_there_is_made_first() -> None:
    mine = line(session := script(NoNode(), object(), object()))
    assert await mine.approach() is False
    session.assert_asked(JOIN, "create /e.aioha ''", f"create {ROOT} ''")


def within(seconds: float, play: Callable[[], Any]) -> None:
    """It takes so long, give or take a fifth, each time another."""
    took = {timed(play, seed) for seed in range(6)}
    assert len(took) == 6
    assert 0.8 * seconds <= min(took) < max(took) <= 1.2 * seconds


async def test_who_joins_behind_another_counts_how_many_are_ahead() -> None:
    mine = line(session := script(joined(6), OTHER, counted(2, 6)))
    assert await mine.approach() is True
    session.assert_asked(JOIN, watch(5), COUNT)
    assert (mine.ahead, mine.is_near, mine.has_moved_up, mine.front) == (1, True, False, None)


@pytest.mark.parametrize(("places", "last", "ahead"), [(2, 7, 0), (9, 12, 2), (9, 13, 1), (2, 13, 0)])
async def test_who_has_come_behind_us_since_is_not_counted(places: int, last: int, ahead: int) -> None:
    """And if some of those have gone again it is too few: nobody minds one more who looks at the leader."""
    mine = line(session := script(joined(6), OTHER, counted(places, last)))
    approaching = asyncio.ensure_future(mine.approach())
    await turns()
    session.assert_asked(JOIN, watch(5), COUNT)
    assert mine.ahead == ahead
    approaching.cancel()
    await asyncio.wait({approaching})


async def test_a_line_that_is_gone_before_it_is_counted_is_listed() -> None:
    mine = line(session := script(joined(0), NoNode(), NoNode(), NoNode(), COMMITTED, NoNode(), NoNode()))
    assert await mine.approach() is False
    session.assert_asked(JOIN, COUNT, *ours(0), "check /", *ours(0))


@pytest.mark.parametrize(("front", "ahead"), [(4, 1), (5, 0)])
async def test_who_has_led_knows_how_many_have_come_since(front: int, ahead: int) -> None:
    mine = line(session := script(joined(6), OTHER), front=front)
    assert await mine.approach() is True
    session.assert_asked(JOIN, watch(5))
    assert (mine.ahead, mine.is_near) == (ahead, True)


async def test_nobody_has_come_since_and_the_one_before_has_gone() -> None:
    mine = line(session := script(joined(6), NoNode()), front=5)
    assert await mine.approach() is True
    session.assert_asked(JOIN, watch(5))
    assert (mine.ahead, mine.has_moved_up) == (0, False)


@pytest.mark.parametrize("front", [6, 7])
async def test_who_has_led_counts_in_a_line_that_has_been_made_anew(front: int) -> None:
    mine = line(session := script(joined(6), OTHER, counted(2, 6)), front=front)
    assert await mine.approach() is True
    session.assert_asked(JOIN, watch(5), COUNT)
    assert mine.ahead == 1


def test_who_has_many_ahead_looks_after_a_while_whether_they_are_still_there() -> None:
    async def play() -> None:
        mine = line(session := script(joined(6), OTHER, counted(4, 6), *line_of(5, 6), OTHER))
        assert await mine.approach() is True
        session.assert_asked(JOIN, watch(5), COUNT, *ours(6), watch(5))
        assert mine.ahead == 1

    within(8.0 / 2 * 3, play)


@pytest.mark.parametrize(("ahead", "share"), [(2, 2), (3, 3), (8, 8), (9, 8), (20, 8)])
def test_the_more_are_ahead_the_later_the_line_is_looked_at_again(ahead: int, share: int) -> None:
    async def play() -> None:
        before = list(range(26 - ahead, 26))
        mine = line(session := script(*line_of(*before, 26), OTHER, *line_of(*before, 26), OTHER), 26)
        assert await mine.approach() is True
        session.assert_asked(*ours(26), watch(25), *ours(26), watch(25))
        assert (mine.ahead, mine.is_near) == (ahead, False)

    within(8.0 / 2 * share, play)


async def test_who_has_gone_before_it_could_be_watched_is_not_waited_for() -> None:
    mine = line(session := script(joined(6), NoNode(), counted(3, 6), *line_of(6, 3), OTHER))
    assert await mine.approach() is True
    session.assert_asked(JOIN, watch(5), COUNT, *ours(6), watch(3))
    assert mine.ahead == 1
    mine = line(session := script(*line_of(6, 3, 4), NoNode(), *line_of(6, 3), OTHER), 6)
    assert await mine.approach() is True
    session.assert_asked(*ours(6), watch(4), *ours(6), watch(3))


async def test_a_place_of_our_own_session_ahead_of_us_is_taken_away() -> None:
    mine = line(session := script(joined(6), node(owner=7), DONE, counted(2, 6), *line_of(6)))
    assert await mine.approach() is True
    session.assert_asked(JOIN, watch(5), f"delete {ROOT}/{name(5)}", COUNT, *ours(6))
    mine = line(session := script(*line_of(6, 4), node(owner=7), NoNode(), *line_of(6)), 6)
    assert await mine.approach() is True
    session.assert_asked(*ours(6), watch(4), f"delete {ROOT}/{name(4)}", *ours(6))
    assert mine.ahead == 0


@pytest.mark.parametrize("error", [NoAuth(), ConnectionLoss()])
async def test_a_refusal_and_a_lost_connection_go_out(error: ResponseError) -> None:
    for answers, number in [
        ([error], None),
        ([joined(6), error], None),
        ([joined(6), OTHER, error], None),
        ([node(owner=7), error], 6),
    ]:
        with pytest.raises(type(error)):
            await line(script(*answers), number).approach()


# ---------------------------------------------------------------------- our own place is gone


@pytest.mark.parametrize(
    "gone",
    [
        [NoNode(), listed(name(5))],
        [NoNode(), listed(name(5), name(6))],  # deleted, and the listing is older
        [node(owner=8), listed(name(5), name(6))],  # another's of that name: the line was deleted, too, and made anew
        [node(owner=7), listed(name(5))],
        [NoNode(), NoNode()],
    ],
)
async def test_who_was_deleted_by_hand_is_to_join_again(gone: list[Any]) -> None:
    mine = line(session := script(*gone, COMMITTED, *gone, joined(9), OTHER, counted(9, 9)), 6)
    assert await mine.approach() is False
    assert (mine.place.name, mine.ahead) == (None, None)
    session.asked.clear()
    moved = asyncio.create_task(mine.approach())
    await turns()
    assert session.asked == [JOIN, watch(8), COUNT]
    moved.cancel()


async def test_a_server_that_is_behind_is_asked_again_behind_a_committed_write() -> None:
    mine = line(session := script(NoNode(), listed(name(5)), COMMITTED, *line_of(5, 6), OTHER), 6)
    assert await mine.approach() is True
    session.assert_asked(*ours(6), "check /", *ours(6), watch(5))
    assert (mine.ahead, mine.place.name) == (1, name(6))


# ---------------------------------------------------------------------- is anybody in line


async def test_it_is_free_where_nobody_stands_in_line() -> None:
    for reply, free in [(listed(), True), (NoNode(), True), (listed("stranger"), True), (listed(name(5)), False)]:
        mine = line(session := script(reply))
        assert await mine.is_free() is free
        session.assert_asked(LIST)


async def test_who_is_in_line_or_may_be_does_not_bid_past_it() -> None:
    mine = line(session := script(), 6)
    assert await mine.is_free() is False
    session.assert_asked()
    mine = line(session := script(ConnectionLoss()))
    with pytest.raises(ConnectionLoss):
        await mine.approach()
    assert await mine.is_free() is False
    session.assert_asked(JOIN)


# ---------------------------------------------------------------------- counting


@given(ever=st.integers(0, (1 << 31) - 1), children=st.integers(0, 1000))
def test_a_stat_tells_how_many_places_there_have_been(ever: int, children: int) -> None:
    """Servers tell twice the children that have come, less those that are there, in 32 bits; the next place gets the number
    of those that have come.
    """
    changes = (2 * ever - children + (1 << 31)) % (1 << 32) - (1 << 31)
    assert requests.stat_of(node(children=children, changes=changes)).ever == ever
