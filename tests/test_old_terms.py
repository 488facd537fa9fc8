"""What is written down when a fence hook has returned: exactly which requests, whatever is answered."""

from typing import Any

import pytest
from scripted import DONE, READABLE, failing, script, timed

from aioha import Predecessor, SessionFailed
from aioha.elections.zookeeper.ground import Ground
from aioha.elections.zookeeper.oldterms import OldTerms
from aioha.ended import Ended
from aioha.session import SessionState
from aioha.settings import Settings
from aioha.wire import requests
from aioha.wire.errors import (
    BadVersion,
    ConnectionLoss,
    NoAuth,
    NodeExists,
    NoNode,
    ResponseError,
    SessionExpired,
    SessionMoved,
)

CHECKS = [requests.check("/e.aioha", 4), requests.check("/e", 1)]
CHECKED = "check /e.aioha at 4 + check /e at 1"
SET, MAKE = f"{CHECKED} + set /e.aioha/ended '9 7'", f"{CHECKED} + create /e.aioha/ended '9 7'"


def term(token: int) -> Predecessor:
    return Predecessor(f"of {token}", b"", token, ended_cleanly=False)


def old_terms(ended: Ended, *left: int, **options: Any) -> OldTerms:
    terms = [term(token) for token in left or (9, 7)]
    return OldTerms(Ground("/e", Settings(identity="me", **options)), ended, terms)


async def test_what_is_left_is_written_with_the_checks_of_the_term() -> None:
    terms = old_terms(Ended(8))
    assert terms.left == (term(9), term(7))
    assert terms.mark(20) == b"20 9 7"
    session = script(DONE)
    assert await terms.fenced(term(9), session, CHECKS) is None
    session.assert_asked(SET)
    assert session.waited == 1
    assert terms.left == (term(7),)
    assert terms.mark(20) == b"20 7"
    session = script(DONE)
    assert await terms.fenced(term(7), session, CHECKS) is None
    session.assert_asked(f"{CHECKED} + set /e.aioha/ended '9'")
    assert terms.left == ()
    assert terms.mark(20) == b"20"


async def test_nobody_has_waited_yet_for_the_work_of_older_terms() -> None:
    session, again = script(DONE), script(DONE)
    assert await old_terms(Ended(5), 9, 7).fenced(term(9), session, CHECKS) is None
    assert await old_terms(Ended(), 9, 7).fenced(term(9), again, []) is None
    session.assert_asked(SET.replace("9 7", "9 7 unsettled"))
    again.assert_asked("set /e.aioha/ended '9 7 unsettled'")


@pytest.mark.parametrize("index", [0, 1])
async def test_a_term_that_is_over_writes_nothing_and_hears_why(index: int) -> None:
    error = BadVersion()
    session = script(failing(index, error))
    assert await old_terms(Ended(8)).fenced(term(9), session, CHECKS) is error
    session.assert_asked(SET)


async def test_a_node_that_was_deleted_is_made_anew_with_the_acl() -> None:
    session = script(failing(2, NoNode()), failing(2, NodeExists()), failing(2, NoNode()), DONE)
    assert await old_terms(Ended(8), acl=READABLE).fenced(term(9), session, CHECKS) is None
    session.assert_asked(SET, f"{MAKE} for world:anyone=1", SET, f"{MAKE} for world:anyone=1")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NoAuth(), "no permission for /e.aioha/ended (candidate me); check its ACL and the credentials in `where`"),
        (BadVersion(), f"the servers refused /e.aioha/ended: {BadVersion()} (candidate me)"),
    ],
)
async def test_what_may_not_be_written_is_said(error: ResponseError, text: str) -> None:
    with pytest.raises(SessionFailed) as refused:
        await old_terms(Ended(8)).fenced(term(9), script(failing(2, error)), CHECKS)
    assert str(refused.value) == text


@pytest.mark.parametrize("passing", [ConnectionLoss(), failing(0, SessionMoved()), failing(2, SessionExpired())])
def test_lost_connections_are_waited_out_for_less_than_a_twentieth_of_a_second(passing: Any) -> None:
    async def play() -> None:
        session = script(passing, DONE)
        assert await old_terms(Ended(8)).fenced(term(9), session, CHECKS) is None
        session.assert_asked(SET, SET)
        assert session.waited == 2

    took = {timed(play, seed) for seed in range(8)}
    assert len(took) == 8
    assert min(took) > 0
    assert 0.025 < max(took) <= 0.05


def test_with_the_session_all_is_over() -> None:
    async def play() -> None:
        session = script(lambda session: session.expire())
        assert await old_terms(Ended(8)).fenced(term(9), session, CHECKS) is None
        session.assert_asked(SET)
        session.state = SessionState.CLOSED
        assert await old_terms(Ended(8)).fenced(term(9), session, CHECKS) is None
        assert session.waited == 1

    assert timed(play) <= 0.05
