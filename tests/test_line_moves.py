"""Moving up in the line of standbys: what is heard of the one before us, and what is made of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from places import COMMITTED, COUNT, JOIN, OTHER, ROOT, counted, joined, line, line_of, name, ours, turns, watch
from scripted import DONE, node, script, timed

from aioha.elections.zookeeper.line import Line
from aioha.session import SessionState
from aioha.wire import requests
from aioha.wire.watches import CHANGED, DELETED


def stat(owner: int) -> requests.Stat:
    return requests.stat_of(node(owner=owner))


def waiting(seconds: float, happens: Callable[[Any, Line], None], *, approached: bool, moved_up: bool) -> None:
    """Third in line; what happens, happens after a second."""

    async def play() -> None:
        mine = line(session := script(*line_of(4, 5, 6), OTHER, *line_of(5, 6), OTHER), 6)
        asyncio.get_running_loop().call_later(1.0, happens, session, mine)
        assert await mine.approach() is approached
        assert mine.has_moved_up is moved_up

    took = timed(play)
    assert took == seconds if seconds == 1.0 else took >= seconds


def test_when_the_one_before_us_goes_we_move_up() -> None:
    path = f"{ROOT}/{name(5)}"
    waiting(1.0, lambda session, _: session.watchers[-1](DELETED, path), approached=True, moved_up=True)
    waiting(1.0, lambda session, _: session.watchers[-1](CHANGED, path), approached=True, moved_up=True)


def test_other_events_change_nothing() -> None:
    path = f"{ROOT}/{name(4)}"
    waiting(6.4, lambda session, _: session.watchers[-1](DELETED, path), approached=True, moved_up=False)
    waiting(6.4, lambda _, mine: mine._attention.wake(), approached=True, moved_up=False)


@pytest.mark.parametrize("state", [SessionState.SUSPENDED, SessionState.CONNECTED])
def test_when_the_connection_changes_everything_is_looked_at_again(state: SessionState) -> None:
    waiting(1.0, lambda session, _: session.become(state), approached=False, moved_up=False)


async def second(*more: Any) -> tuple[Any, Line]:
    mine = line(session := script(*line_of(5, 6), OTHER, *more), 6)
    await mine.approach()
    session.asked.clear()
    return session, mine


async def test_who_was_before_us_and_leads_now_leaves_nobody_ahead() -> None:
    session, mine = await second()
    assert mine.follows(stat(8)) is False  # it leads, and stands in line all the same
    session.watchers[-1](DELETED, f"{ROOT}/{name(5)}")
    assert mine.follows(stat(9)) is mine.follows(None) is False
    assert mine.ahead == 1
    assert await mine.settle(stat(8)) is True
    assert (mine.ahead, mine.has_moved_up) == (0, False)
    session.assert_asked()
    assert mine.follows(stat(8)) is False


@pytest.mark.parametrize("leader", [9, None])
async def test_where_another_leads_it_is_looked_who_is_ahead(leader: int | None) -> None:
    session, mine = await second(*line_of(3, 4, 6), OTHER)
    session.watchers[-1](DELETED, f"{ROOT}/{name(5)}")
    assert await mine.settle(None if leader is None else stat(leader)) is False
    session.assert_asked(*ours(6), watch(4))
    assert (mine.ahead, mine.has_moved_up) == (2, False)


async def test_who_has_not_moved_up_asks_nothing() -> None:
    session, mine = await second()
    assert await mine.settle(stat(8)) is True
    session.assert_asked()
    mine.doubt()
    assert await mine.settle(stat(8)) is False
    session.assert_asked()


async def test_what_is_doubted_is_not_heard_any_more() -> None:
    session, mine = await second()
    heard = session.watchers[-1]
    session.forgotten.clear()
    mine.doubt()
    assert session.forgotten == [heard]
    assert (mine.ahead, mine.is_near) == (None, False)
    heard(DELETED, f"{ROOT}/{name(5)}")
    assert not mine.has_moved_up


async def test_at_its_end_nothing_is_heard_and_the_place_stays() -> None:
    session, mine = await second()
    session.forgotten.clear()
    with mine as entered:
        assert entered is mine
    assert session.forgotten == [session.watchers[-1]]
    assert mine.place.name == name(6)
    session.assert_asked()


async def test_who_steps_aside_leaves_the_line_and_may_join_again() -> None:
    session, mine = await second(COMMITTED, node(owner=7), DONE, joined(9), OTHER, counted(9, 9))
    heard = session.watchers[-1]
    session.forgotten.clear()
    await mine.step_aside()
    assert session.asked == ["check /", ours(6)[0], f"delete {ROOT}/{name(6)}"]
    assert heard in session.forgotten
    assert (mine.ahead, mine.place.name, mine.place.may_be_there) == (None, None, False)
    moving = asyncio.create_task(mine.approach())
    await turns()
    assert session.asked[3:] == [JOIN, watch(8), COUNT]
    moving.cancel()


async def test_who_is_not_in_line_has_nothing_to_step_aside_from() -> None:
    mine = line(session := script())
    await mine.step_aside()
    session.assert_asked()


@pytest.mark.parametrize(("goes", "seconds"), [(True, 0.25), (False, 0.5)])
def test_a_free_election_is_left_to_the_one_before_us_for_a_sixteenth_of_the_timeout(goes: bool, seconds: float) -> None:
    async def play() -> None:
        session, mine = await second()
        if goes:
            asyncio.get_running_loop().call_later(0.25, session.watchers[-1], DELETED, f"{ROOT}/{name(5)}")
        assert await mine.lets_go_first() is goes

    assert timed(play) == seconds
