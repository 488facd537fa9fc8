"""Seeing who leads an `ephemeral` election: exactly what is asked, what is made of it, and how long it may take."""

import asyncio
from typing import Any

import pytest
from scripted import DONE, SILENCE, Sessions, got, listed, node, script, timed

from aioha import LayoutMismatch, SessionFailed, Unavailable
from aioha.elections.protocol import Leader
from aioha.elections.zookeeper.ledger import Names
from aioha.elections.zookeeper.observer import Observer
from aioha.record import Record
from aioha.settings import Settings
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NoNode, ResponseError

RECORD = Record(number=3, identity="last", token_base=5).encode()
SYNC, LOOK = "sync /e", ["exists /e watch", "get /e", "get /e.aioha", "get /e.aioha/ended"]
LED = Leader("last", b"data", 105, 12.5)
THERE, DATA = node(100, owner=8), got(b"data", 100, owner=8, since=12.5)


def seen(czxid: int = 100, written: int = 100, data: bytes | None = b"data", record: Any = None) -> list[Any]:
    """Replies to one look."""
    taken = got(RECORD, 2, mzxid=written) if record is None else record
    return [node(czxid, owner=8), got(data, czxid, owner=8, since=12.5), taken, NoNode()]


def observer(*sessions: Any, **options: Any) -> Observer:
    return Observer(Names("/e"), Settings(identity="me", **options), Sessions(*sessions))  # type: ignore[arg-type]


async def test_who_leads_is_asked_in_one_round_trip_behind_a_sync() -> None:
    session = script(DONE, *seen())
    looks = observer(session)
    assert await looks.leader() == LED
    session.assert_asked(SYNC, *LOOK)
    session = script(DONE, *seen())
    assert await observer(session).candidates() == [LED]


async def test_nobody_leads() -> None:
    for answers in ([NoNode(), NoNode()], [THERE, NoNode()]):
        assert await observer(script(DONE, *answers, got(b""), NoNode())).leader() is None
    assert await observer(script(DONE, NoNode(), NoNode(), NoNode(), NoNode())).candidates() == []


async def test_where_no_record_is_wanted_none_is_read() -> None:
    session = script(DONE, THERE, DATA)
    assert await observer(session, record=False).leader() == Leader("data", b"data", 100, 12.5)
    session.assert_asked(SYNC, *LOOK[:2])


@pytest.mark.parametrize(
    ("data", "identity", "shown"),
    [(b"aX\0\0", "aX", b"aX"), (b"\xff", "\ufffd", b"\xff"), (None, "", b""), (b"\0a", "\0a", b"\0a")],
)
async def test_a_leader_that_has_written_no_record_says_who_it_is(data: bytes | None, identity: str, shown: bytes) -> None:
    for record in (NoAuth(), NoNode(), got(RECORD, 2, mzxid=99)):
        found = await observer(script(DONE, *seen(data=data, record=record))).leader()
        assert found == Leader(identity, shown, 100, 12.5)


async def test_the_recorded_one_may_show_no_data() -> None:
    assert await observer(script(DONE, *seen(data=None))).leader() == Leader("last", b"", 105, 12.5)


async def test_a_takeover_between_the_two_replies_is_looked_at_again_three_times_at_most() -> None:
    session = script(DONE, *seen(100, 110), *seen(110, 110))
    found = await observer(session).leader()
    assert found is not None
    assert found.token == 115
    session.assert_asked(SYNC, *LOOK, *LOOK)
    session = script(DONE, *seen(100, 110), *seen(100, 110), *seen(100, 110))
    assert await observer(session).leader() == Leader("data", b"data", 100, 12.5)
    session.assert_asked(SYNC, *LOOK, *LOOK, *LOOK)


async def test_a_node_that_no_session_owns_is_refused() -> None:
    session = script(DONE, node(), DATA, NoNode(), NoNode(), listed("n_1"))
    with pytest.raises(LayoutMismatch, match=r"^/e is the root of a ZooKeeper's LeaderElectionSupport election"):
        await observer(session).leader()


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
    session.assert_asked(*LOOK)
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
        session.assert_asked(*LOOK, *LOOK)
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
