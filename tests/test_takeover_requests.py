"""A takeover on its way: what is sent, in which order, what its reply may prove, and what is asked when it has won."""

from typing import Any

import pytest
from scripted import DONE, failing, got, script

from aioha import Predecessor
from aioha.elections.zookeeper.dialects import LINE
from aioha.elections.zookeeper.ledger import LedgerView, Names, View
from aioha.elections.zookeeper.place import Place
from aioha.elections.zookeeper.takeover import Takeover
from aioha.ended import Ended
from aioha.record import Record
from aioha.session import SessionState
from aioha.wire import requests
from aioha.wire.errors import BadVersion, NoAuth, NodeExists, NoNode, ResponseError, SessionExpired

BID = [requests.create("/e", b"me", ephemeral=True), requests.set_data("/e", b"me", 0)]
WORDS, QUESTION = "create /e 'me' ephemeral + set /e 'me' at 0", "get /e.aioha/ended"
OLD = Predecessor("old", b"", 40, ended_cleanly=False)
LAST = LedgerView(Record(number=1, stop_grace=2.0), 6, 100, Ended())


def takeover(session: Any, ledger: LedgerView | None) -> Takeover:
    return Takeover(session, Names("/e"), View(None, ledger), Record(number=2), BID, in_line(session, None), 3.5)


def in_line(session: Any, name: str | None = "0000000005") -> Place:
    place = Place(session, "/e.aioha/line", LINE, b"me", None)
    place.name = name
    return place


async def test_the_question_travels_in_front_of_the_bid_and_the_reply_proves_the_lease() -> None:
    session = script(got(b"100"), DONE)
    bid = takeover(session, LAST)
    assert not bid.is_sent
    assert session.asked == []
    bid.send()
    assert bid.is_sent
    session.assert_asked(QUESTION, WORDS)
    assert session.heartbeat.enough == [3.5]
    assert await bid.outcome() is DONE
    assert session.heartbeat.proved == [(session, "anchor 1", "/e")]
    assert await bid.ended() == Ended(100)
    assert len(session.asked) == 2


async def test_it_tells_what_it_took_over() -> None:
    bid = takeover(session := script(), LAST)
    assert bid.session is session
    assert (bid.view, bid.successor) == (View(None, LAST), Record(number=2))


async def test_without_a_record_there_is_nothing_to_ask() -> None:
    bid = takeover(session := script(DONE), None)
    bid.send()
    session.assert_asked(WORDS)
    await bid.outcome()
    assert await bid.ended() == Ended()
    assert len(session.asked) == 1


async def test_what_was_never_sent_knows_nothing() -> None:
    assert await takeover(script(), LAST).ended() == Ended()


async def test_a_refused_bid_is_the_callers_to_judge() -> None:
    refused = failing(0, NodeExists())
    bid = takeover(script(NoNode(), refused), LAST)
    bid.send()
    assert await bid.outcome() is refused


@pytest.mark.parametrize("state", [SessionState.SUSPENDED, SessionState.EXPIRED])
async def test_where_no_server_is_attached_nothing_is_sent(state: SessionState) -> None:
    session = script()
    session.state = state
    bid = takeover(session, LAST)
    with pytest.raises(SessionExpired if state.is_dead else ConnectionError):
        bid.send()
    assert not bid.is_sent


@pytest.mark.parametrize(
    ("record", "first", "again"),
    [
        (Record(number=1, stop_grace=2.0), b"100", None),  # it had said its last word
        (Record(number=1, stop_grace=2.0), b"0", b"100"),  # and says it between the question and the takeover
        (Record(number=1, stop_grace=2.0), b"0", b"0"),  # or never
        (Record(number=1), b"0", b"100"),  # there is nothing to wait for, and it is to be fenced
        (Record(number=1), b"101", b"100"),
        (Record(unfenced=(OLD,)), b"0", None),  # nobody has led yet
        (Record(unfenced=(OLD,)), b"30", b"40"),
        (Record(), b"30", None),
    ],
)
async def test_who_has_not_said_its_last_word_is_asked_once_more(record: Record, first: bytes, again: bytes | None) -> None:
    answers = [got(first), DONE, *([] if again is None else [got(again)])]
    bid = takeover(session := script(*answers), LedgerView(record, 6, 100 if record.number else 0, Ended()))
    bid.send()
    await bid.outcome()
    assert (await bid.ended()).token == int(first if again is None else again)
    session.assert_asked(QUESTION, WORDS, *([] if again is None else [QUESTION]))


# ---------------------------------------------------------------------- our place in line


async def test_our_place_in_line_is_left_in_the_same_transaction() -> None:
    session = script(DONE)
    mine = in_line(session)
    bid = Takeover(session, Names("/e"), View(None, None), None, BID, mine, 3.5)
    mine.name = None  # what was packed stays as it is
    bid.send()
    session.assert_asked(f"{WORDS} + delete /e.aioha/line/0000000005")


async def test_a_place_that_must_stay_stays() -> None:
    session = script(DONE)
    mine = in_line(session)
    mine.must_stay = True
    Takeover(session, Names("/e"), View(None, None), None, BID, mine, 3.5).send()
    session.assert_asked(WORDS)


def test_who_has_taken_over_is_not_in_line_any_more() -> None:
    mine = in_line(script())
    bid = Takeover(mine.session, Names("/e"), View(None, None), None, BID, mine, 3.5)
    bid.leave_line()
    assert mine.name is None


def test_a_place_that_we_have_joined_since_is_not_left_with_it() -> None:
    mine = in_line(session := script())
    bid = Takeover(session, Names("/e"), View(None, None), None, BID, mine, 3.5)
    mine.name = "0000000006"
    bid.leave_line()
    assert (mine.name, session.forgotten) == ("0000000006", [])
    mine = in_line(session, None)
    Takeover(session, Names("/e"), View(None, None), None, BID, mine, 3.5).leave_line()
    assert session.forgotten == []


@pytest.mark.parametrize(
    ("index", "error", "lost"),
    [(2, NoNode(), True), (1, NoNode(), False), (3, NoNode(), False), (2, NoAuth(), False), (2, BadVersion(), False)],
)
def test_a_place_that_was_deleted_by_hand_is_told_by_where_the_bid_failed(
    index: int, error: ResponseError, lost: bool
) -> None:
    mine = in_line(script())
    bid = Takeover(mine.session, Names("/e"), View(None, None), None, BID, mine, 3.5)
    assert bid.has_lost_place(index, error) is lost
    assert mine.name == (None if lost else "0000000005")


@pytest.mark.parametrize(
    ("index", "error", "stays"),
    [(2, NoAuth(), True), (1, NoAuth(), False), (3, NoAuth(), False), (2, NoNode(), False), (2, BadVersion(), False)],
)
def test_a_place_that_may_not_be_left_is_told_by_where_the_bid_failed(index: int, error: ResponseError, stays: bool) -> None:
    mine = in_line(script())
    bid = Takeover(mine.session, Names("/e"), View(None, None), None, BID, mine, 3.5)
    assert bid.must_keep_place(index, error) is stays
    assert (mine.must_stay, mine.name) == (stays, "0000000005")
