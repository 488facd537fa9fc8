"""Looking on at an election: how long it may take, what is said where it cannot be known, and when a change is told."""

import asyncio
from typing import Any

import pytest
from observing import LED, WATCHING, observer, seen
from scripted import DONE, SILENCE, node, script, timed

from aioha import SessionFailed, Unavailable
from aioha.elections.protocol import Leader
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NoNode, ResponseError

# ---------------------------------------------------------------------- where it cannot be known


def test_no_answer_is_said_after_five_seconds_or_as_soon_as_asked() -> None:
    async def play(bound: float | None) -> None:
        looks = observer(script(DONE, SILENCE, *seen()[1:]))
        with pytest.raises(Unavailable) as error:
            await (looks.leader() if bound is None else looks.leader(bound=bound))
        assert str(error.value) == f"/e: no answer within {bound or 5:g} s (not connected yet)"

    assert timed(lambda: play(None)) == 5.0
    assert timed(lambda: play(1.5)) == 1.5

    async def never_connected() -> None:
        with pytest.raises(Unavailable):
            await observer().leader()

    assert timed(never_connected) == 5.0


def test_an_answer_that_is_not_known_to_be_new_is_none() -> None:
    async def play() -> None:
        with pytest.raises(Unavailable):
            await observer(script(SILENCE, *seen())).leader()

    assert timed(play) == 5.0


@pytest.mark.parametrize("answers", [[ConnectionLoss(), *seen()], [DONE, ConnectionLoss(), *seen()[1:]]])
async def test_a_lost_connection_is_said(answers: list[Any]) -> None:
    with pytest.raises(Unavailable) as error:
        await observer(script(*answers)).leader()
    assert str(error.value) == "/e: not connected yet"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NoAuth(), "no permission for /e (candidate me); check its ACL and the credentials in `where`"),
        (BadVersion(), f"the servers refused /e: {BadVersion()} (candidate me)"),
    ],
)
async def test_a_refusal_says_what_to_do(error: ResponseError, text: str) -> None:
    answers = [node(100, owner=8), error, *seen()[2:]]
    with pytest.raises(SessionFailed) as refused:
        await observer(script(DONE, *answers)).leader()
    assert str(refused.value) == text
    assert refused.value.__cause__ is error
    with pytest.raises(SessionFailed) as refused:
        await observer(script(*answers)).leader_after(None, first=True)
    assert str(refused.value) == text
    assert refused.value.__cause__ is error


# ---------------------------------------------------------------------- every change


async def test_the_present_leader_is_told_at_once_the_first_time() -> None:
    session = script(*seen())
    assert await observer(session).leader_after(LED, first=True) == LED
    session.assert_asked(*WATCHING)
    assert await observer(script(NoNode(), NoNode(), NoNode(), NoNode())).leader_after(None, first=True) is None
    assert await observer(script(*seen())).leader_after(None, first=False) == LED
    assert await observer(script(NoNode(), NoNode(), NoNode(), NoNode())).leader_after(LED, first=False) is None


def test_the_next_leader_is_told_when_the_watch_fires_or_after_a_session_timeout() -> None:
    async def play(fires: bool) -> None:
        session = script(*seen(), *seen(110, 110))

        def fire() -> None:
            session.watchers[-1](2, "/e")

        if fires:
            asyncio.get_running_loop().call_later(1.0, fire)
        found = await observer(session).leader_after(Leader("another's name", b"", 105, 0.0), first=False)
        assert found is not None
        assert found.token == 115
        session.assert_asked(*WATCHING, *WATCHING)
        assert len(session.forgotten) == 2

    assert timed(lambda: play(True)) == 1.0
    assert timed(lambda: play(False)) == 8.0


def test_outages_are_waited_out_for_less_than_a_twentieth_of_a_second() -> None:
    async def play() -> None:
        lost, back = script(ConnectionLoss(), *seen()[1:]), script(*seen())
        assert await observer(lost, back).leader_after(None, first=False) == LED

    took = {timed(play, seed) for seed in range(8)}
    assert len(took) == 8
    assert 0.025 < max(took) <= 0.05
