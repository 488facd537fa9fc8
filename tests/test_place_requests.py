"""A place in a queue: exactly which requests join it and leave it, whatever is answered."""

from typing import Any

import pytest
from scripted import DONE, READABLE, failing, listed, node, script, timed

from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.ground import Ground
from aioha.elections.zookeeper.place import Place
from aioha.session import SessionState
from aioha.settings import Settings
from aioha.wire import requests
from aioha.wire.errors import (
    BadVersion,
    ConnectionLoss,
    NoAuth,
    NodeExists,
    NoNode,
    NotEmpty,
    ResponseError,
    SessionMoved,
)

COMMITTED = failing(0, BadVersion())
MARK = requests.set_data("/q/e.aioha/ended", b"9")
SET = "set /q/e.aioha/ended '9'"


class Joined:
    """The reply to a sequential `create`."""

    def __init__(self, path: str) -> None:
        self.path = path


def place(session: Any, layout: str = "zk-recipes", stem: str = "", **options: Any) -> Place:
    made = Place(session, Ground("/q/e", Settings(layout=layout, **options)), DIALECTS[layout], b"me")  # type: ignore[arg-type]
    if stem:
        made._stem = stem
    return made


def standing(session: Any, layout: str = "latch", *, czxid: int | None = 50) -> Place:
    """In line as m5."""
    made = place(session, layout, "m")
    made.name, made.czxid = "m5", czxid
    return made


# ---------------------------------------------------------------------- joining


async def test_joining_is_one_request() -> None:
    session = script(Joined("/q/e/n_0000000005"))
    mine = place(session)
    assert (mine.name, mine.czxid, mine.is_watched) == (None, None, False)
    await mine.join()
    session.assert_asked("create /q/e/n_ 'me' ephemeral sequential")
    assert (mine.name, mine.path, mine.session) == ("n_0000000005", "/q/e/n_0000000005", session)
    assert (mine.czxid, mine.is_watched) == (None, False)


async def test_the_path_is_made_with_the_acl_where_it_is_missing() -> None:
    session = script(NoNode(), object(), object(), Joined("/q/e/n_0000000005"))
    mine = place(session, acl=READABLE)
    await mine.join()
    assert mine.name is None
    await mine.join()
    join, made = "create /q/e/n_ 'me' ephemeral sequential for world:anyone=1", "{} '' for world:anyone=1"
    session.assert_asked(join, made.format("create /q"), made.format("create /q/e"), join)


@pytest.mark.parametrize("error", [NoAuth(), BadVersion()])
async def test_a_refusal_goes_out_and_leaves_nothing_uncertain(error: ResponseError) -> None:
    session = script(error, Joined("/q/e/n_0000000005"))
    mine = place(session)
    with pytest.raises(type(error)):
        await mine.join()
    await mine.join()
    assert len(session.asked) == 2


@pytest.mark.parametrize("error", [ConnectionLoss(), SessionMoved()])
async def test_after_a_lost_reply_the_node_is_looked_for_behind_a_committed_write(error: Exception) -> None:
    session = script(error, COMMITTED, listed("other-1", "m0000000005"), DONE)
    mine = place(session, "latch", "m")
    with pytest.raises(type(error)):
        await mine.join()
    await mine.join()
    assert mine.name == "m0000000005"
    await mine.leave()
    join = "create /q/e/m 'me' ephemeral sequential"
    session.assert_asked(join, "check /", "children /q/e", "delete /q/e/m0000000005")


@pytest.mark.parametrize("found", [listed("other-1"), listed(), NoNode()])
async def test_where_the_node_was_not_made_it_is_made_now(found: Any) -> None:
    join = "create /q/e/m 'me' ephemeral sequential"
    session = script(ConnectionLoss(), COMMITTED, found, Joined("/q/e/m5"))
    mine = place(session, "latch", "m")
    with pytest.raises(ConnectionLoss):
        await mine.join()
    await mine.join()
    session.assert_asked(join, "check /", "children /q/e", join)
    assert mine.name == "m5"


async def test_a_name_without_a_guid_tells_by_its_owner() -> None:
    session = script(
        ConnectionLoss(), COMMITTED, listed("n_1", "x", "n_2", "n_3"), node(owner=8), node(owner=7), NoNode()
    )  # fmt: skip
    mine = place(session)
    with pytest.raises(ConnectionLoss):
        await mine.join()
    await mine.join()
    assert session.asked[2:] == ["children /q/e", "exists /q/e/n_1", "exists /q/e/n_2", "exists /q/e/n_3"]
    assert mine.name == "n_2"
    session = script(ConnectionLoss(), COMMITTED, listed("n_1"), node(owner=8), Joined("/q/e/n_5"))
    mine = place(session)
    with pytest.raises(ConnectionLoss):
        await mine.join()
    await mine.join()
    assert mine.name == "n_5"


def test_who_was_deleted_by_hand_is_another_from_then_on() -> None:
    session = script()
    mine = standing(session)
    mine.is_watched = True
    mine.renew()
    assert (mine.name, mine.czxid, mine.is_watched) == (None, None, False)
    assert mine._stem.startswith("_c_")
    assert session.forgotten == [mine.on_event]


def test_what_happens_to_the_node_is_heard_and_to_no_other() -> None:
    heard = list[tuple[int, str]]()
    mine = standing(script())
    mine.heard = lambda event, path: heard.append((event, path))
    mine.is_watched = True
    mine.on_event(2, "/q/e/m6")
    assert (mine.is_watched, heard) == (True, [])
    mine.on_event(2, "/q/e/m5")
    assert (mine.is_watched, heard) == (False, [(2, "/q/e/m5")])
    mine.renew()
    mine.is_watched = True
    mine.on_event(2, "/q/e/m5")
    assert mine.is_watched is True


# ---------------------------------------------------------------------- leaving


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
