"""What a look at an election asks, and what is made of the answers: who led, who is to be fenced, how long to wait."""

import logging
from typing import Any

import pytest
from scripted import got, listed, node, script

from aioha import LayoutMismatch, Predecessor
from aioha.elections.zookeeper.ledger import Ledger, LedgerView, Names, View, ended_of, longest_grace, look, view_of
from aioha.elections.zookeeper.znodes import ignore
from aioha.ended import Ended
from aioha.record import LARGEST_BASE, Record
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss, NoAuth, NoNode

E = Names("/e")
OLD = Predecessor("old", b"o", 40, ended_cleanly=False)
LAST = Predecessor("last", b"l", 105, ended_cleanly=False)
RECORD = Record(
    number=3, identity="last", data=b"l", stop_grace=2.0, token_base=5, owed_token=40, owed_grace=3.5, unfenced=(OLD,)
)
VIEW = LedgerView(RECORD, 6, 100, Ended())


def test_the_token_of_the_last_term() -> None:
    assert LedgerView(Record(token_base=5), 6, 100, Ended()).token == 0  # nobody has led yet
    assert VIEW.token == 105
    assert LedgerView(Record(number=1, token=77, token_base=5), 6, 100, Ended()).token == 77


@pytest.mark.parametrize(("ended", "cleanly"), [(0, False), (104, False), (105, True), (106, False)])
def test_who_led_last(ended: int, cleanly: bool) -> None:
    assert VIEW.predecessor(Ended(ended)) == Predecessor("last", b"l", 105, ended_cleanly=cleanly)
    assert LedgerView(Record(), 6, 100, Ended()).predecessor(Ended(ended)) is None


@pytest.mark.parametrize(
    ("ended", "left"),
    [
        (Ended(), (LAST, OLD)),
        (Ended(40), (LAST,)),
        (Ended(105), ()),
        (Ended(105, (40,)), (OLD,)),
        (Ended(106), (LAST, OLD)),  # ahead of all terms: not believed
        (Ended(105, (30,)), (Predecessor("", b"", 30, ended_cleanly=False),)),
    ],
)
def test_who_is_still_to_be_fenced(ended: Ended, left: tuple[Predecessor, ...]) -> None:
    assert VIEW.unfenced(ended) == left


def test_before_the_first_term_nobody_is_to_be_fenced_but_who_is_written_down() -> None:
    assert LedgerView(Record(), 6, 100, Ended()).unfenced(Ended()) == ()
    assert LedgerView(Record(unfenced=(OLD,)), 6, 100, Ended()).unfenced(Ended(30)) == (OLD,)
    assert LedgerView(Record(unfenced=(OLD,)), 6, 100, Ended()).unfenced(Ended(105)) == ()


@pytest.mark.parametrize(
    ("ended", "seconds"),
    [(Ended(), 3.5), (Ended(105), 0.0), (Ended(40), 2.0), (Ended(40, settled=False), 3.5), (Ended(39), 3.5)],
)
def test_how_long_old_work_is_waited_for(ended: Ended, seconds: float) -> None:
    assert VIEW.settle(ended) == seconds
    assert LedgerView(Record(stop_grace=2.0), 6, 100, Ended()).settle(ended) == 0.0


# ---------------------------------------------------------------------- looking


async def test_a_look_is_one_round_trip_that_leaves_a_watch() -> None:
    session = script(node(90, owner=7), got(RECORD.encode(), 3, mzxid=100, version=6), got(b"40", 4))
    view = await look(session, E, keeps_record=True, on_event=ignore)
    session.assert_asked("exists /e watch", "get /e.aioha", "get /e.aioha/ended")
    assert session.watchers == [ignore]
    assert view == View(requests.stat_of(node(90, owner=7)), LedgerView(RECORD, 6, 100, Ended(40)), seat_taken=False)


async def test_where_no_record_is_kept_none_is_read() -> None:
    session = script(NoNode())
    assert await look(session, E, keeps_record=False, on_event=ignore) == View(None, None, seat_taken=False)
    session.assert_asked("exists /e watch")


async def test_before_the_first_campaign_there_is_no_record() -> None:
    session = script(NoNode(), NoNode(), NoNode())
    assert await look(session, E, keeps_record=True, on_event=ignore) == View(None, None)
    session = script(NoNode(), got(b""), NoNode())
    assert await look(session, E, keeps_record=True, on_event=ignore) == View(None, LedgerView(Record(), 0, 1, Ended()))


async def test_a_node_that_no_session_owns_is_refused() -> None:
    session = script(node(), listed("n_01"))
    with pytest.raises(LayoutMismatch, match=r"^/e is the root of a ZooKeeper's LeaderElectionSupport election"):
        await look(session, E, keeps_record=False, on_event=ignore)
    session.assert_asked("exists /e watch", "children /e")


@pytest.mark.parametrize("error", [NoNode(), NoAuth()], ids=["missing", "no permission"])
async def test_of_what_cannot_be_read_nothing_has_ended(error: Exception) -> None:
    assert await ended_of(script(error).send(requests.get("/e.aioha/ended"))) == Ended()
    view = await Ledger(script(got(RECORD.encode(), 3, mzxid=100, version=6), error), E).read()
    assert view == VIEW


async def test_what_has_ended_is_read() -> None:
    assert await ended_of(script(got(b"105 40")).send(requests.get("/e.aioha/ended"))) == Ended(105, (40,))
    with pytest.raises(ConnectionLoss):
        await ended_of(script(ConnectionLoss()).send(requests.get("/e.aioha/ended")))


async def test_a_record_that_may_not_be_read_is_said() -> None:
    with pytest.raises(NoAuth):
        await Ledger(script(NoAuth(), got(b"")), E).read()


# ---------------------------------------------------------------------- rubbish


@pytest.mark.parametrize(
    ("ended", "base"), [(0, 0), (40, 0), (51, 1), (900, 850), (2**63 - 1, LARGEST_BASE)], ids=lambda number: f"{number:x}"
)
def test_an_unreadable_record_is_thought_newer_than_what_has_ended_and_said(
    ended: int, base: int, caplog: pytest.LogCaptureFixture
) -> None:
    reply: Any = got(b"rubbish", 50, mzxid=700, version=6)
    view = view_of(E, reply, Ended(ended), 2.5)
    assert view == LedgerView(Record(number=1, stop_grace=2.5, token_base=base), 6, 700, Ended(ended), unreadable=b"rubbish")
    text = (
        "record /e.aioha cannot be read (not JSON: b'rubbish'); the next takeover replaces it, and keeps what stood there "
        "in /e.aioha/unreadable"
    )
    assert caplog.record_tuples == [("aioha", logging.WARNING, text)]


def test_a_record_that_can_be_read_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    view = view_of(E, got(RECORD.encode(), 3, mzxid=100, version=6), Ended(40), 2.5)
    assert view == LedgerView(RECORD, 6, 100, Ended(40), unreadable=None)
    assert view_of(E, got(None, 3, mzxid=100, version=6), Ended(), 2.5).record == Record()
    assert caplog.records == []


def test_any_work_may_need_a_quarter_of_the_session_timeout() -> None:
    assert longest_grace(script(timeout=8.0)) == 2.0 + 6 * 0.5 + 0.1  # and it must first be heard
