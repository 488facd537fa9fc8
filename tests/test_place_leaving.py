"""Leaving a queue: exactly which requests take our place away, whatever is answered, and that no other's is touched."""

from typing import Any

import pytest
from places import COMMITTED, place, standing
from scripted import DONE, failing, listed, node, script, timed

from aioha.session import SessionState
from aioha.wire import requests
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NodeExists, NoNode, NotEmpty, ResponseError, SessionMoved

MARK = requests.set_data("/q/e.aioha/ended", b"9")
SET = "set /q/e.aioha/ended '9'"


async def test_leaving_is_one_request_where_the_name_is_ours_alone() -> None:
    session = script(DONE)
    await (mine := standing(session)).leave()
    session.assert_asked("delete /q/e/m5")
    assert session.waited == 1
    assert session.forgotten == [mine.on_event]


async def test_what_is_to_be_done_is_done_right_before_it() -> None:
    session = script(DONE)
    await standing(session).leave([MARK])
    session.assert_asked(f"{SET} + delete /q/e/m5")


@pytest.mark.parametrize(("session_id", "czxid"), [(7, 50), (7, None)])
async def test_a_name_that_may_be_anothers_is_looked_at_first(session_id: int, czxid: int | None) -> None:
    session = script(COMMITTED, node(50, owner=7), DONE, session_id=session_id)
    await standing(session, "zk-recipes", czxid=czxid).leave([MARK])
    session.assert_asked("check /", "exists /q/e/m5", f"{SET} + delete /q/e/m5")


@pytest.mark.parametrize("stat", [node(50, owner=8), node(51, owner=7), NoNode()], ids=["owner", "another", "gone"])
async def test_what_is_anothers_is_left_alone(stat: Any) -> None:
    session = script(COMMITTED, stat)
    await standing(session, "zk-recipes").leave([MARK])
    session.assert_asked("check /", "exists /q/e/m5")


async def test_who_is_not_in_line_has_nothing_to_leave() -> None:
    await place(session := script(), "latch").leave([MARK])
    session.assert_asked()
    assert session.waited == 0


async def test_who_may_be_in_line_without_knowing_looks_for_itself() -> None:
    session = script(ConnectionLoss(), COMMITTED, listed("m5"), node(50, owner=7), DONE)
    mine = place(session, "latch", "m")
    with pytest.raises(ConnectionLoss):
        await mine.join()
    await mine.leave()
    assert session.asked[1:] == ["check /", "children /q/e", "exists /q/e/m5", "delete /q/e/m5"]
    session = script(ConnectionLoss(), COMMITTED, listed())
    mine = place(session, "latch", "m")
    with pytest.raises(ConnectionLoss):
        await mine.join()
    await mine.leave()
    assert session.asked[1:] == ["check /", "children /q/e"]


async def test_what_was_sent_in_the_tick_of_the_end_is_all_that_is_asked() -> None:
    session = script(DONE)
    mine = standing(session)
    sent = mine.send_leave(mine.leaving([MARK]))
    session.assert_asked(f"{SET} + delete /q/e/m5")
    assert session.forgotten == [mine.on_event]
    await mine.leave([MARK], sent)
    assert len(session.asked) == 1
    assert session.waited == 0


@pytest.mark.parametrize("answer", [ConnectionLoss(), failing(0, NoNode()), failing(1, NoNode())])
async def test_what_it_did_not_do_is_looked_at_behind_a_committed_write(answer: Any) -> None:
    session = script(answer, COMMITTED, NoNode())
    mine = standing(session)
    await mine.leave([MARK], mine.send_leave(mine.leaving([MARK])))
    session.assert_asked(f"{SET} + delete /q/e/m5", "check /", "exists /q/e/m5")
    assert session.waited == 1


async def test_what_cannot_be_done_with_it_is_left_out_the_second_time() -> None:
    session = script(failing(0, NoAuth()), COMMITTED, node(50, owner=7), DONE)
    mine = standing(session)
    await mine.leave([MARK], mine.send_leave(mine.leaving([MARK])))
    session.assert_asked(f"{SET} + delete /q/e/m5", "check /", "exists /q/e/m5", "delete /q/e/m5")


async def test_what_may_be_anothers_is_not_deleted_without_a_look() -> None:
    mine = standing(session := script(ConnectionLoss()), "zk-recipes")
    assert mine.send_leave(MARK) is None
    mine = place(session, "latch", "m")
    assert mine.send_leave(MARK) is None
    with pytest.raises(ConnectionLoss):
        await mine.join()
    assert mine.send_leave(MARK) is None
    mine.name = "m5"
    assert mine.send_leave(MARK) is None
    session.assert_asked("create /q/e/m 'me' ephemeral sequential")
    assert session.forgotten == []


@pytest.mark.parametrize("state", [SessionState.SUSPENDED, SessionState.EXPIRED])
def test_where_no_server_is_attached_nothing_is_sent(state: SessionState) -> None:
    session = script()
    session.state = state
    assert (mine := standing(session)).send_leave(mine.leaving([MARK])) is None


@pytest.mark.parametrize(("name", "said"), [("m5", "m5"), (None, "None")])
async def test_who_may_not_leave_says_so_where_nobody_asks(
    name: str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = script(ConnectionLoss(), COMMITTED, NoAuth()) if name is None else script(failing(0, NoAuth()))
    mine = place(session, "latch", "m")
    mine.name = name
    if name is None:
        with pytest.raises(ConnectionLoss):
            await mine.join()
    await mine.leave_quietly()
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [
        ("ERROR", f"a place in line could not be left: {said}: {NoAuth()}")
    ]


@pytest.mark.parametrize("error", [NoAuth(), NoNode(), NodeExists(), BadVersion()])
async def test_what_cannot_be_done_with_it_is_less_important_than_to_be_gone(error: ResponseError) -> None:
    session = script(failing(0, error), COMMITTED, node(50, owner=7), DONE)
    await standing(session).leave([MARK])
    session.assert_asked(f"{SET} + delete /q/e/m5", "check /", "exists /q/e/m5", "delete /q/e/m5")


@pytest.mark.parametrize("error", [NoAuth(), NotEmpty()])
async def test_a_node_that_may_not_be_deleted_is_said(error: ResponseError) -> None:
    session = script(failing(1, error))
    with pytest.raises(type(error)):
        await standing(session).leave([MARK])
    session.assert_asked(f"{SET} + delete /q/e/m5")


async def test_a_node_that_is_gone_already_is_made_sure_of() -> None:
    session = script(failing(1, NoNode()), COMMITTED, NoNode())
    await standing(session).leave([MARK])
    session.assert_asked(f"{SET} + delete /q/e/m5", "check /", "exists /q/e/m5")


def test_lost_connections_are_waited_out_for_less_than_a_twentieth_of_a_second() -> None:
    both = f"{SET} + delete /q/e/m5"

    async def play() -> None:
        session = script(ConnectionLoss(), COMMITTED, node(50, owner=7), failing(0, SessionMoved()), COMMITTED, NoNode())
        await standing(session).leave([MARK])
        look = ["check /", "exists /q/e/m5"]
        session.assert_asked(both, *look, both, *look)

    took = {timed(play, seed) for seed in range(8)}
    assert len(took) == 8
    assert 0.05 < max(took) <= 0.1


def test_with_the_session_all_is_gone() -> None:
    async def play() -> None:
        session = script(lambda session: session.expire())
        await standing(session).leave()
        session.assert_asked("delete /q/e/m5")
        session.state = SessionState.CLOSED
        await standing(session).leave()
        assert session.waited == 1

    assert timed(play) <= 0.05
