"""Hadoop's breadcrumb: whom a takeover finds by it, and exactly what is written when that one is fenced."""

from typing import Any

import pytest
from scripted import DONE, SILENCE, failing, got, script, timed

from aioha import Predecessor
from aioha.elections.zookeeper.ground import Ground
from aioha.elections.zookeeper.ledger import Breadcrumb
from aioha.elections.zookeeper.trail import Trail
from aioha.ended import Ended
from aioha.session import SessionState
from aioha.settings import Settings
from aioha.wire import requests
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NoNode, ResponseError, SessionMoved

CRUMB = "/h/ActiveBreadCrumb"
CHECKS = [requests.check("/h.aioha", 4)]
OVER = f"check /h.aioha at 4 + set {CRUMB} 'me' at 6"
OLD, OLDER = (Predecessor(f"of {token}", b"%d" % token, token, ended_cleanly=False) for token in (50, 40))
FOUND = Breadcrumb(b"nn1", 6, 60)
FOREIGN = Predecessor("nn1", b"nn1", 65, ended_cleanly=False)


def trail(found: Breadcrumb | None, *left: Predecessor, keeps_record: bool = False) -> Trail:
    ground = Ground("/h", Settings(identity="me", layout="hadoop"))
    return Trail(ground, Ended(30), left, found, b"me", 5, keeps_record=keeps_record)


# ---------------------------------------------------------------------- whose it is


def test_a_breadcrumb_that_no_record_names_is_a_term_of_its_own() -> None:
    found = trail(FOUND, OLD, OLDER)
    assert found.last == FOREIGN  # its token: the zxid of its last change, lifted as ours
    assert found.left == (FOREIGN, OLD, OLDER)
    assert found.mark(70) == b"70 65 50 40"


def test_a_breadcrumb_of_a_term_that_the_record_names_is_that_terms() -> None:
    found = trail(Breadcrumb(b"40", 6, 60), OLD, OLDER)
    assert found.last == OLDER
    assert found.left == (OLD, OLDER)


@pytest.mark.parametrize(
    ("data", "identity"),
    [(b"nn1\0\0", "nn1"), (b"\x0a\x02nn1", "\n\x02nn1"), (b"\xff", "\ufffd"), (b"", ""), (b"x" * 300, "x" * 256)],
)
def test_a_foreign_breadcrumb_names_its_owner_as_well_as_it_can(data: bytes, identity: str) -> None:
    last = trail(Breadcrumb(data, 0, 60)).last
    assert last == Predecessor(identity, data, 65, ended_cleanly=False)


def test_after_a_clean_end_there_is_none() -> None:
    found = trail(None, OLD)
    assert found.last is None
    assert found.left == (OLD,)


async def test_a_clean_end_deletes_the_breadcrumb_of_ours_and_no_other() -> None:
    session = script(SILENCE)
    session.send(requests.multi(*trail(None).closing()))
    session.assert_asked(f"delete {CRUMB}")
    assert trail(FOUND).closing() == []


# ---------------------------------------------------------------------- fenced


async def test_whose_breadcrumb_it_was_is_fenced_and_ours_is_written_over_it() -> None:
    found = trail(FOUND, OLD)
    session = script(DONE)
    assert await found.fenced(FOREIGN, session, CHECKS) is None
    session.assert_asked(OVER)
    assert session.waited == 1
    assert (found.left, found.last) == ((OLD,), None)
    end = script(SILENCE)
    end.send(requests.multi(*found.closing()))
    end.assert_asked(f"delete {CRUMB}")  # it is ours now


async def test_another_that_was_fenced_changes_nothing_of_it() -> None:
    found = trail(FOUND, OLD)
    session = script()
    assert await found.fenced(OLD, session, CHECKS) is None
    session.assert_asked()
    assert (found.left, found.closing()) == ((FOREIGN,), [])
    found = trail(None, OLD, OLDER)
    assert await found.fenced(OLD, session, CHECKS) is None
    session.assert_asked()
    assert found.left == (OLDER,)


async def test_where_a_record_is_kept_it_is_written_down_too() -> None:
    found = trail(FOUND, OLD, keeps_record=True)
    session = script(DONE, DONE, DONE)
    assert await found.fenced(FOREIGN, session, CHECKS) is None
    assert await found.fenced(OLD, session, CHECKS) is None
    marks = [f"check /h.aioha at 4 + set /h.aioha/ended '{mark}'" for mark in ("65 50 unsettled", "65")]
    session.assert_asked(OVER, *marks)
    assert found.left == ()


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("error", [BadVersion(), NoNode(), NoAuth()])
async def test_what_refuses_it_is_told_and_it_stays_to_be_fenced(index: int, error: ResponseError) -> None:
    found = trail(FOUND, OLD, keeps_record=True)
    session = script(failing(index, error))
    assert await found.fenced(FOREIGN, session, CHECKS) is error
    session.assert_asked(OVER)
    assert (found.left, found.last, found.closing()) == ((FOREIGN, OLD), FOREIGN, [])


@pytest.mark.parametrize(
    ("now", "again"),
    [
        (got(b"me", version=7), []),  # it was written, and the reply was lost
        (got(b"nn1", version=6), [OVER]),
        (NoNode(), [OVER]),
    ],
)
@pytest.mark.parametrize("lost", [ConnectionLoss(), failing(0, SessionMoved())])
async def test_after_a_lost_reply_it_is_looked_at_first(now: Any, again: list[str], lost: Any) -> None:
    session = script(lost, DONE, now, *([DONE] if again else []))
    assert await trail(FOUND).fenced(FOREIGN, session, CHECKS) is None
    session.assert_asked(OVER, "check /", f"get {CRUMB}", *again)  # what is read is not older than what was written
    assert session.waited == 2


def test_lost_connections_are_waited_out_for_less_than_a_twentieth_of_a_second() -> None:
    async def play() -> None:
        session = script(ConnectionLoss(), DONE, ConnectionLoss(), DONE, got(b"nn1"), DONE)
        assert await trail(FOUND).fenced(FOREIGN, session, CHECKS) is None
        again = ("check /", f"get {CRUMB}")
        session.assert_asked(OVER, *again, *again, OVER)

    took = {timed(play, seed) for seed in range(8)}
    assert len(took) == 8
    assert 0.05 < max(took) <= 0.1


def test_with_the_session_all_is_over() -> None:
    async def play() -> None:
        session = script(lambda session: session.expire())
        assert await trail(FOUND).fenced(FOREIGN, session, CHECKS) is None
        session.assert_asked(OVER)
        session = script()
        session.state = SessionState.CLOSED
        assert await trail(FOUND).fenced(FOREIGN, session, CHECKS) is None
        assert session.waited == 0

    assert timed(play) <= 0.05
