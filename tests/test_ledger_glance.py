"""A glance at the seat, which says what the record says: what is asked, and when it is not believed. Breadcrumbs."""

from typing import Any

import pytest
from scripted import SILENCE, got, node, script

from aioha import Predecessor
from aioha.elections.zookeeper.ledger import (
    Breadcrumb,
    LedgerView,
    Names,
    View,
    breadcrumb_of,
    glance,
    look,
    seat_data,
)
from aioha.elections.zookeeper.znodes import ignore
from aioha.ended import Ended
from aioha.record import Record
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss, NoAuth, NoNode, ResponseError

E, FOLDER = Names("/e"), Names("/h", is_folder=True)
RECORD = Record(number=3, identity="last", data=b"l", stop_grace=2.0, token_base=5)
SEAT, MARK = "get /e.aioha/seat watch", "get /e.aioha/ended"


def unfenced(many: int) -> tuple[Predecessor, ...]:
    return tuple(Predecessor(f"of {token}", b"", token, ended_cleanly=False) for token in range(90, 90 - many, -1))


def seat(data: bytes | None) -> Any:
    return got(data, 100, owner=8, mzxid=140, version=2, since=12.5)


def test_a_seat_says_what_the_record_says_and_at_which_version() -> None:
    assert seat_data(RECORD, 12) == b"12 " + RECORD.encode()


async def test_a_glance_is_one_request_that_leaves_a_watch_on_the_seat() -> None:
    session = script(seat(seat_data(RECORD, 12)))
    view = await glance(session, E, ignore)
    session.assert_asked(SEAT)
    assert session.watchers == [ignore]
    stat = requests.stat_of(seat(b""))
    # As a look at the leader's node: both were made in the one transaction that wrote the record.
    assert view == View(stat, LedgerView(RECORD, 12, 100, Ended()), seat_taken=False, breadcrumb=None)
    assert (stat.owner, stat.czxid) == (8, 100)


@pytest.mark.parametrize("error", [NoNode(), NoAuth()])
async def test_where_nobody_is_seated_or_it_may_not_be_read_it_must_be_looked_at(error: ResponseError) -> None:
    session = script(error)
    assert await glance(session, E, ignore) is None
    session.assert_asked(SEAT)


async def test_a_lost_connection_goes_out() -> None:
    with pytest.raises(ConnectionLoss):
        await glance(script(ConnectionLoss()), E, ignore)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"last",
        RECORD.encode(),
        b"-1 " + RECORD.encode(),
        b"x " + RECORD.encode(),
        b"1_000 " + RECORD.encode(),
        b" " + RECORD.encode(),
        b"1234567890 " + RECORD.encode(),
        b"12 rubbish",
        b"12",
        b"12 {}",
        b"12 " + Record(unfenced=unfenced(1)).encode(),
    ],
)
async def test_a_seat_that_says_something_else_is_not_believed(data: bytes | None) -> None:
    session = script(seat(data))
    assert await glance(session, E, ignore) is None
    session.assert_asked(SEAT)


@pytest.mark.parametrize("version", [0, 7, 123456789])
async def test_every_version_that_servers_give_is_believed(version: int) -> None:
    view = await glance(script(seat(seat_data(RECORD, version))), E, ignore)
    assert view is not None
    assert view.ledger is not None
    assert view.ledger.version == version


@pytest.mark.parametrize(("many", "asks"), [(0, False), (3, False), (4, True), (5, True)])
async def test_what_has_become_of_earlier_terms_is_asked_as_soon_as_they_are_many(many: int, asks: bool) -> None:
    record = Record(number=3, identity="last", unfenced=unfenced(many))
    session = script(seat(seat_data(record, 12)), *([got(b"90 89")] if asks else []))
    view = await glance(session, E, ignore)
    session.assert_asked(SEAT, *([MARK] if asks else []))
    assert view is not None
    assert view.ledger == LedgerView(record, 12, 100, Ended(90, (89,)) if asks else Ended())


# ---------------------------------------------------------------------- looking from afar, and into folders


async def test_who_looks_from_afar_leaves_no_watch() -> None:
    session = script(node(90, owner=7), got(RECORD.encode(), 3, mzxid=100, version=6), got(b"40", 4))
    view = await look(session, E, keeps_record=True, on_event=None)
    session.assert_asked("exists /e", "get /e.aioha", MARK)
    assert session.watchers == []
    assert view == View(requests.stat_of(node(90, owner=7)), LedgerView(RECORD, 6, 100, Ended(40)))


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (NoNode(), None),
        (got(b"nn1", 30, mzxid=35, version=4), Breadcrumb(b"nn1", 4, 35)),
        (got(None, 30), Breadcrumb(b"", 0, 30)),
    ],
)
async def test_a_look_into_a_folder_shows_its_breadcrumb(reply: Any, found: Breadcrumb | None) -> None:
    lock, crumb = "/h/ActiveStandbyElectorLock", "/h/ActiveBreadCrumb"
    session = script(node(90, owner=7), reply)
    view = await look(session, FOLDER, keeps_record=False, on_event=ignore)
    session.assert_asked(f"exists {lock} watch", f"get {crumb}")
    assert view == View(requests.stat_of(node(90, owner=7)), None, breadcrumb=found)
    session = script(NoNode(), got(RECORD.encode(), 3, mzxid=100, version=6), got(b"40"), reply)
    view = await look(session, FOLDER, keeps_record=True, on_event=None)
    session.assert_asked(f"exists {lock}", "get /h.aioha", "get /h.aioha/ended", f"get {crumb}")
    assert view == View(None, LedgerView(RECORD, 6, 100, Ended(40)), breadcrumb=found)


@pytest.mark.parametrize("error", [NoAuth(), ConnectionLoss()])
async def test_a_breadcrumb_that_cannot_be_read_is_no_clean_end(error: ResponseError) -> None:
    with pytest.raises(type(error)):
        await breadcrumb_of(script(error).send(requests.get("/h/ActiveBreadCrumb")))


async def test_all_of_a_look_travels_at_once() -> None:
    session = script(SILENCE, SILENCE, SILENCE, SILENCE)
    looking = look(session, FOLDER, keeps_record=True, on_event=None)
    looking.send(None)
    assert len(session.asked) == 4
    looking.close()
