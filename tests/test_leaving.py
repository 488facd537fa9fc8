"""Leaving a path: exactly what is sent, whatever is answered, and that nothing of another's is touched."""

import pytest
from scripted import DONE, READABLE, failing, got, node, script, timed

from aioha.elections.zookeeper.leaving import leave, released, send_release
from aioha.elections.zookeeper.ledger import Names
from aioha.session import SessionState
from aioha.wire import requests
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NodeExists, NoNode, ResponseError, SessionExpired

E = Names("/e")
COMMITTED = failing(0, BadVersion())
OURS, GONE = [COMMITTED, node(owner=7, version=1), node(owner=7)], [COMMITTED, NoNode(), NoNode()]
LOOK = ["check /", "exists /e", "exists /e.aioha/seat"]
RELEASE = "check /e.aioha at 4 + delete /e at 1 + delete /e.aioha/seat + set /e.aioha/ended '9'"
LEAVE = "delete /e at 1 + delete /e.aioha/seat at 0"
CHECKS = [requests.check("/e.aioha", 4)]


async def test_a_term_that_stands_is_released_in_one_round_trip() -> None:
    session = script(DONE)
    sent = send_release(session, E, checks=CHECKS, ended=b"9", closing=[])
    session.assert_asked(RELEASE)  # in the tick in which it is called
    assert await released(sent) is True
    assert session.waited == 0


async def test_what_its_layout_does_at_a_clean_end_is_done_right_behind_the_checks() -> None:
    session = script(DONE)
    closing = [requests.delete("/h/ActiveBreadCrumb")]
    send_release(session, Names("/h", is_folder=True), checks=CHECKS, ended=b"9 5", closing=closing)
    session.assert_asked(
        "check /e.aioha at 4 + delete /h/ActiveBreadCrumb + delete /h/ActiveStandbyElectorLock at 1 + "
        "delete /h.aioha/seat + set /h.aioha/ended '9 5'"
    )


@pytest.mark.parametrize("answer", [failing(0, BadVersion()), failing(1, NoNode()), ConnectionLoss(), SessionExpired()])
async def test_what_was_not_released_at_once_is_to_be_looked_at(answer: object) -> None:
    assert await released(send_release(script(answer), E, checks=CHECKS, ended=b"9", closing=[])) is False


@pytest.mark.parametrize("state", [SessionState.SUSPENDED, SessionState.EXPIRED])
async def test_where_no_server_is_attached_nothing_is_released(state: SessionState) -> None:
    session = script()
    session.state = state
    sent = send_release(session, E, checks=CHECKS, ended=b"9", closing=[])
    assert sent is None
    assert await released(sent) is False


async def test_what_is_ours_is_looked_at_behind_a_committed_write_until_it_is_gone() -> None:
    session = script(*OURS, DONE, *GONE)
    await leave(session, E, record=True, ended=b"9")
    session.assert_asked(*LOOK, f"{LEAVE} + set /e.aioha/ended '9'", *LOOK)
    assert session.waited == 2


async def test_the_mark_is_made_anew_with_the_acl_where_it_was_deleted() -> None:
    session = script(*OURS, failing(2, NoNode()), *OURS, DONE, *GONE)
    await leave(session, E, record=True, ended=b"9", acl=READABLE)
    marks = [" + set /e.aioha/ended '9'", " + create /e.aioha/ended '9' for world:anyone=1"]
    session.assert_asked(*LOOK, LEAVE + marks[0], *LOOK, LEAVE + marks[1], *LOOK)


async def test_a_mark_that_others_have_made_anew_meanwhile_is_set() -> None:
    session = script(
        *(*OURS, failing(2, NoNode()), *OURS, failing(2, NodeExists())), *(*OURS, failing(2, NoNode()), *OURS, DONE), *GONE
    )
    await leave(session, E, record=True, ended=b"9")
    marks = [" + set /e.aioha/ended '9'", " + create /e.aioha/ended '9'"] * 2
    session.assert_asked(*(each for mark in marks for each in (*LOOK, LEAVE + mark)), *LOOK)


async def test_without_the_record_it_is_left_without_a_mark() -> None:
    session = script(*OURS, failing(2, NoNode()), *OURS, failing(2, NoNode()), *OURS, DONE, *GONE)
    await leave(session, E, record=True, ended=b"9")
    marks = [" + set /e.aioha/ended '9'", " + create /e.aioha/ended '9'", ""]
    session.assert_asked(*(each for mark in marks for each in (*LOOK, LEAVE + mark)), *LOOK)


@pytest.mark.parametrize("error", [NoAuth(), BadVersion()], ids=["no permission", "other"])
async def test_a_mark_that_may_not_be_set_is_less_important_than_to_be_gone(error: ResponseError) -> None:
    session = script(*OURS, failing(2, error), *OURS, DONE, *GONE)
    await leave(session, E, record=True, ended=b"9")
    session.assert_asked(*LOOK, f"{LEAVE} + set /e.aioha/ended '9'", *LOOK, LEAVE, *LOOK)


async def test_without_a_mark_to_set_nothing_is_set() -> None:
    session = script(*OURS, failing(1, NoNode()), *OURS, failing(0, NodeExists()), *OURS, DONE, *GONE)
    await leave(session, E, record=True)
    session.assert_asked(*LOOK, LEAVE, *LOOK, LEAVE, *LOOK, LEAVE, *LOOK)


async def test_nodes_that_may_not_be_deleted_are_said_and_not_tried_again() -> None:
    session = script(*OURS, failing(1, NoAuth()))
    with pytest.raises(NoAuth):
        await leave(session, E, record=True, ended=b"9")
    session.assert_asked(*LOOK, f"{LEAVE} + set /e.aioha/ended '9'")


async def test_what_is_anothers_is_left_alone() -> None:
    session = script(COMMITTED, node(owner=8), node(owner=7, version=2), DONE, COMMITTED, node(owner=8), NoNode())
    await leave(session, E, record=True)
    session.assert_asked(*LOOK, "delete /e.aioha/seat at 2", *LOOK)


async def test_where_no_record_is_kept_there_is_no_seat() -> None:
    session = script(COMMITTED, node(owner=7, version=2), DONE, COMMITTED, node(owner=8))
    await leave(session, E, record=False)
    session.assert_asked("check /", "exists /e", "delete /e at 2", "check /", "exists /e")


FOLDER = Names("/h", is_folder=True)
LOOK_INTO = [
    "check /",
    "exists /h/ActiveStandbyElectorLock",
    "exists /h.aioha/seat",
    "get /h/ActiveBreadCrumb",
]


async def test_a_breadcrumb_of_ours_goes_with_what_is_ours() -> None:
    there = [COMMITTED, node(owner=7, version=1), node(owner=7), got(b"me", version=3)]
    session = script(*there, DONE, COMMITTED, NoNode(), NoNode(), NoNode())
    await leave(session, FOLDER, record=True, ended=b"9", breadcrumb=b"me")
    gone = "delete /h/ActiveStandbyElectorLock at 1 + delete /h.aioha/seat at 0 + delete /h/ActiveBreadCrumb at 3"
    session.assert_asked(*LOOK_INTO, f"{gone} + set /h.aioha/ended '9'", *LOOK_INTO)


@pytest.mark.parametrize(
    ("owner", "says"), [(7, b"you"), (8, b"me")], ids=["of another", "of ours, whose node is another's"]
)
async def test_no_other_breadcrumb_is_touched(owner: int, says: bytes) -> None:
    look = [LOOK_INTO[0], LOOK_INTO[1], LOOK_INTO[3]]
    session = script(
        *(COMMITTED, node(owner=owner, version=2), got(says)),
        *([DONE, COMMITTED, NoNode(), got(says)] if owner == 7 else []),
    )
    await leave(session, FOLDER, record=False, breadcrumb=b"me")
    session.assert_asked(*look, *(["delete /h/ActiveStandbyElectorLock at 2", *look] if owner == 7 else []))


def test_lost_connections_are_waited_out_for_less_than_a_twentieth_of_a_second() -> None:
    async def play() -> None:
        session = script(ConnectionLoss(), COMMITTED, ConnectionLoss(), NoNode(), *OURS, DONE, *GONE)
        await leave(session, E, record=True)
        session.assert_asked("check /", *LOOK, *LOOK, LEAVE, *LOOK)
        assert session.waited == 4

    took = {timed(play, seed) for seed in range(8)}
    assert len(took) == 8
    assert min(took) > 0
    assert 0.05 < max(took) <= 0.1


def test_with_the_session_all_is_gone() -> None:
    async def play() -> None:
        session = script(lambda session: session.expire())
        await leave(session, E, record=True)
        session.assert_asked("check /")
        session = script()
        session.state = SessionState.CLOSED
        await leave(session, E, record=True)
        assert session.waited == 0

    assert timed(play) <= 0.05
