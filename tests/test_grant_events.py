"""What ends a term that rests on a session: who hears of it, when, in which words; and its release."""

import asyncio
from typing import Any

import pytest
from grants import granted
from scripted import SILENCE, node, script, timed

from aioha.session import SessionState
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NoNode, ResponseError, SessionMoved

LOOK = "exists /e/n watch"
OURS = node(50, owner=7)
DELETED, ANEW = (
    "the leader's node was deleted by someone else",
    "the leader's node was deleted and made anew by someone else",
)


def listening(session: Any, **options: Any) -> tuple[Any, list[str | None]]:
    """A term, and what `ended` was each time that its listener was called."""
    grant, heard = granted(session, **options), list[str | None]()
    grant.listen(lambda: heard.append(grant.ended))
    return grant, heard


# ---------------------------------------------------------------------- the leader's node


async def turns(count: int = 4) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "ended"),
    [
        (OURS, None),
        (NoNode(), DELETED),
        (node(51, owner=7), ANEW),
        (node(50, owner=8), ANEW),
        (ConnectionLoss(), None),
        (SessionMoved(), None),
    ],
)
async def test_the_node_is_looked_at_right_behind_the_beginning_and_at_each_event(answer: Any, ended: str | None) -> None:
    grant, heard = listening(session := script(OURS, answer), is_watched=False)
    assert session.asked == []  # the work need not wait for it
    await turns()
    session.watchers[-1](3, "/e/n")
    await turns()
    session.assert_asked(LOOK, LOOK)
    assert grant.ended == ended
    assert heard == ([None] if ended is None else [None, ended])


async def test_a_node_that_is_watched_already_is_not_looked_at() -> None:
    listening(session := script())
    await turns()
    session.assert_asked()


async def test_after_a_lost_connection_it_is_looked_at_when_a_server_is_attached() -> None:
    grant, heard = listening(session := script(OURS))
    session.become(SessionState.SUSPENDED)
    grant.node_event()
    assert (session.asked, heard) == ([], [None])
    session.become(SessionState.CONNECTED)
    await turns()
    session.assert_asked(LOOK)
    assert heard == [None, None]


async def test_a_term_that_is_over_looks_at_nothing() -> None:
    grant, heard = listening(session := script())
    grant.refuted(NoNode())
    grant.node_event()
    session.become(SessionState.EXPIRED)
    grant.node_event()
    session.assert_asked()
    assert heard == ["the record was deleted by someone else"] * 2
    released, _ = listening(session := script(), is_watched=False)
    releasing = released.release()
    assert released.released == [released]  # type: ignore[attr-defined] # in this same tick
    await turns()
    released.node_event()
    session.assert_asked()
    assert not releasing.done()
    releasing.cancel()


async def test_a_session_that_is_over_has_nothing_to_look_at() -> None:
    grant, heard = listening(session := script())
    session.state = SessionState.EXPIRED
    grant.node_event()
    assert (session.asked, heard) == ([], [])


async def test_a_look_that_was_under_way_at_the_release_ends_nothing() -> None:
    grant, heard = listening(script(SILENCE))
    grant.node_event()
    releasing = asyncio.ensure_future(grant.release())
    await turns()
    grant.compare(None)
    assert (grant.ended, heard) == (None, [])
    releasing.cancel()


# ---------------------------------------------------------------------- other ends


@pytest.mark.parametrize(
    ("error", "seat", "ended"),
    [
        (NoNode(), True, "the record was deleted by someone else"),
        (NoNode(), False, DELETED),
        (BadVersion(), True, "another candidate took over (the record has changed)"),
        (BadVersion(), False, "another candidate took over (the leader's node has changed)"),
        (NoAuth(), True, f"the ensemble answered: {NoAuth()}"),
    ],
)
async def test_why_a_check_that_only_this_term_passes_has_failed(error: ResponseError, seat: bool, ended: str) -> None:
    grant, heard = listening(session := script(), has_seat=seat)
    (stake,) = session.heartbeat.stakes
    stake.refuted(error)
    assert grant.ended == ended
    assert session.heartbeat.stakes == []  # it would take the lease from everybody else
    grant.compare(None)  # an end is never changed
    assert heard == [ended]


@pytest.mark.parametrize("state", [SessionState.EXPIRED, SessionState.FAILED, SessionState.CLOSED])
async def test_with_its_session_a_term_ends(state: SessionState) -> None:
    grant, heard = listening(session := script())
    session.become(state)
    assert grant.ended == "the cable was cut"
    assert heard == ["the cable was cut", "the cable was cut"]


async def test_before_anybody_listens_nobody_hears() -> None:
    grant = granted(session := script())
    session.become(SessionState.EXPIRED)
    assert grant.ended == "the cable was cut"


# ---------------------------------------------------------------------- release


async def test_a_release_begins_once_and_rests_on_nothing_any_more() -> None:
    grant, heard = listening(session := script())
    releases = [asyncio.ensure_future(grant.release()) for _ in range(2)]
    await turns()
    assert grant.released == [grant]
    assert session.heartbeat.stakes == []
    assert session.listeners == []
    assert session.forgotten == [grant.node_event]
    session.become(SessionState.EXPIRED)
    grant.refuted(NoNode())
    assert heard == []
    assert not any(each.done() for each in releases)
    grant.gone.set_result(None)
    await asyncio.gather(*releases)
    await grant.release()
    assert grant.released == [grant]


async def test_who_cancels_its_wait_for_a_release_does_not_cancel_the_release() -> None:
    grant = granted()
    waiting = asyncio.ensure_future(grant.release())
    await turns()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert not grant.gone.cancelled()  # type: ignore[attr-defined]
    grant.gone.set_result(None)  # type: ignore[attr-defined]
    await grant.release()


def test_a_wait_for_the_lease_ends_in_the_tick_in_which_the_term_does() -> None:
    async def play() -> None:
        grant = granted(session := script())
        session.lease.deadline = 0.0
        waiting = asyncio.ensure_future(grant.leased(asyncio.Event()))
        await asyncio.sleep(0.5)
        grant.refuted(NoNode())
        await waiting
        assert all(each.cancelled() for each in session.heartbeat.proofs)

    assert timed(play) == 0.5
