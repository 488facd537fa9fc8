"""Seeing who leads an `ephemeral` election, and who stands in line: exactly what is asked, and what is made of it."""

import json
from typing import Any

import pytest
from observing import LED, LOOK, RECORD, SYNC, observer, seen
from scripted import DONE, got, listed, node, script

from aioha import LayoutMismatch, Unavailable
from aioha.elections.protocol import Leader
from aioha.wire.errors import ConnectionLoss, NoAuth, NoNode, ResponseError

THERE, DATA = node(100, owner=8), got(b"data", 100, owner=8, since=12.5)


async def test_who_leads_is_asked_in_one_round_trip_behind_a_sync() -> None:
    session = script(DONE, *seen())
    looks = observer(session)
    assert await looks.leader() == LED
    session.assert_asked(SYNC, *LOOK)
    assert session.watchers == []  # of whoever asks once nothing stays behind


async def test_nobody_leads() -> None:
    for answers in ([NoNode(), NoNode()], [THERE, NoNode()]):
        assert await observer(script(DONE, *answers, got(b""), NoNode())).leader() is None


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


# ---------------------------------------------------------------------- who stands in line

LINE = "/e.aioha/line"
NOBODY = [NoNode()] * 4


def standing(identity: str, since: float = 1.5, **data: str) -> Any:
    return got(json.dumps({"identity": identity, **data}).encode(), 300, owner=9, since=since)


async def test_those_in_line_are_shown_in_their_order_and_have_no_token_yet() -> None:
    places = "0000000011", "0000000002", "-2147483648", "stranger"
    session = script(
        *(DONE, *seen(), listed(*places)),
        *(standing("b", 2.5, data="of b"), standing("c", 3.5, data_base64="/w=="), standing("d", 4.5)),
    )
    leader, standbys = await observer(session).candidates()
    assert leader == LED
    assert standbys == [Leader("b", b"of b", 0, 2.5), Leader("c", b"\xff", 0, 3.5), Leader("d", b"", 0, 4.5)]
    line = [f"get {LINE}/{name}" for name in ("0000000002", "0000000011", "-2147483648")]
    session.assert_asked(SYNC, *LOOK, f"children {LINE}", *line)
    assert session.watchers == []


async def test_with_nobody_leading_those_in_line_are_shown_all_the_same() -> None:
    session = script(DONE, *NOBODY, listed("0000000002"), standing("b", data="of b"))
    assert await observer(session).candidates() == (None, [Leader("b", b"of b", 0, 1.5)])


@pytest.mark.parametrize("error", [NoNode(), NoAuth()])
async def test_where_there_is_no_line_or_none_to_be_seen_nobody_stands_in_it(error: ResponseError) -> None:
    session = script(DONE, *seen(), error)
    assert await observer(session).candidates() == (LED, [])
    session.assert_asked(SYNC, *LOOK, f"children {LINE}")


@pytest.mark.parametrize(
    "reply",
    [
        NoNode(),
        NoAuth(),
        got(None),
        got(b"no JSON"),
        got(b"[]"),
        got(b"{}"),
        got(b'"text"'),
        got(b"\xff"),
        got(b'{"identity":"x","data":5}'),
        got(b'{"identity":"x","data_base64":"!"}'),
        got(b"[" * 100_000),
    ],
)
async def test_who_has_gone_and_what_others_have_put_there_is_left_out(reply: Any) -> None:
    session = script(DONE, *seen(), listed("0000000001", "0000000002"), reply, standing("b", data="of b"))
    assert await observer(session).candidates() == (LED, [Leader("b", b"of b", 0, 1.5)])


async def test_a_name_that_is_none_is_shown_as_text() -> None:
    session = script(DONE, *seen(), listed("0000000001"), got(b'{"identity":5}', since=1.5))
    assert await observer(session).candidates() == (LED, [Leader("5", b"", 0, 1.5)])


async def test_a_connection_that_is_lost_over_the_line_is_no_empty_line() -> None:
    for answers in ([ConnectionLoss()], [listed("0000000001"), ConnectionLoss()]):
        with pytest.raises(Unavailable):
            await observer(script(DONE, *seen(), *answers)).candidates()


# ---------------------------------------------------------------------- layout="hadoop"

LOCK = "/e/ActiveStandbyElectorLock"
LOOK_INTO = [f"exists {LOCK}", f"get {LOCK}", "get /e.aioha", "get /e.aioha/ended"]


async def test_where_it_is_a_folder_the_leaders_node_lies_in_it() -> None:
    session = script(DONE, *seen())
    assert await observer(session, layout="hadoop").leader() == LED
    session.assert_asked(SYNC, *LOOK_INTO)


async def test_where_nobody_leads_the_folder_is_looked_into() -> None:
    for folder in ([NoNode(), NoNode()], [node(), listed()], [node(), listed("ActiveBreadCrumb", "stranger")]):
        session = script(DONE, *NOBODY[:2], *NOBODY[:2], *folder)
        assert await observer(session, layout="hadoop").leader() is None
        session.assert_asked(SYNC, *LOOK_INTO, "exists /e", "children /e")


async def test_a_leaders_node_is_no_folder() -> None:
    session = script(DONE, *NOBODY, node(owner=8))
    with pytest.raises(LayoutMismatch) as error:
        await observer(session, layout="hadoop").leader()
    assert str(error.value) == (
        "/e is a leader's node (layout=ephemeral or mooon), and layout=hadoop needs a folder: choose another path, or that "
        "layout"
    )


async def test_a_folder_of_others_is_refused() -> None:
    session = script(DONE, *NOBODY, node(), listed("n_0000000001"))
    with pytest.raises(LayoutMismatch) as error:
        await observer(session, layout="hadoop").leader()
    assert str(error.value) == (
        "/e is the root of an election of ZooKeeper's LeaderElectionSupport (it holds n_0000000001), and layout=hadoop is "
        "another's: choose layout=zk-recipes, or another path"
    )
