"""Seeing who stands in a queue: exactly what is asked, what is made of it, and whose members are refused."""

import asyncio
from typing import Any

import pytest
from scripted import DONE, SILENCE, Sessions, got, listed, node, script, timed

from aioha import LayoutMismatch, Unavailable
from aioha.elections.protocol import Leader
from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.ledger import Names
from aioha.elections.zookeeper.queue_observer import QueueObserver, insist_on, refuse_members
from aioha.record import Record
from aioha.settings import Settings
from aioha.wire.errors import ConnectionLoss, NoAuth, NoNode

RECORD = Record(number=3, identity="first", token_base=5, token=105).encode()
SYNC, RECORDED, LIST = "sync /e", "get /e.aioha", "children /e"
ONE, TWO, THREE = (f"n_{number:010d}" for number in (1, 2, 3))
FIRST = Leader("first", b"1", 105, 0.25)  # since its record was written
SECOND = Leader("2", b"2\0", 106, 13.5)


def member(number: int) -> Any:
    return got(b"%d" % number + b"\0" * (number - 1), 99 + number, owner=8, since=11.5 + number)


def observer(*sessions: Any, layout: Any = "zk-recipes", **options: Any) -> QueueObserver:
    settings = Settings(identity="me", layout=layout, **options)
    return QueueObserver(Names("/e"), DIALECTS[layout], settings, Sessions(*sessions))  # type: ignore[arg-type]


async def test_who_leads_is_the_first_in_line() -> None:
    session = script(DONE, got(RECORD), listed(TWO, ONE, "stranger"), member(1))
    assert await observer(session).leader() == FIRST
    session.assert_asked(SYNC, RECORDED, LIST, f"get /e/{ONE}")


async def test_all_members_are_shown_in_their_order() -> None:
    session = script(DONE, got(RECORD), listed(TWO, ONE), member(1), member(2))
    assert await observer(session).candidates() == (FIRST, [SECOND])
    session.assert_asked(SYNC, RECORDED, LIST, f"get /e/{ONE}", f"get /e/{TWO}")


@pytest.mark.parametrize("record", [NoNode(), NoAuth(), got(b"")], ids=["none", "no permission", "empty"])
async def test_without_a_record_members_speak_for_themselves(record: Any) -> None:
    found = await observer(script(DONE, record, listed(ONE), member(1))).leader()
    assert found == Leader("1", b"1", 100, 12.5)
    session = script(DONE, listed(ONE), member(1))
    assert await observer(session, record=False).leader() == found
    session.assert_asked(SYNC, LIST, f"get /e/{ONE}")


async def test_an_unreadable_record_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    found = await observer(script(DONE, got(b"rubbish"), listed(ONE), member(1))).leader()
    assert found == Leader("1", b"1", 100, 12.5)
    assert "record /e.aioha cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("reply", "leader"),
    [
        (got(None, 200, since=1.5), Leader("", b"", 205, 1.5)),
        (got(b"aX\0", 200, since=1.5), Leader("aX", b"aX\0", 205, 1.5)),
        (got(b"\xff\0", 200, since=1.5), Leader("\ufffd", b"\xff\0", 205, 1.5)),
        (got(None, 100, since=1.5), Leader("first", b"", 105, 0.25)),
    ],
)
async def test_what_a_member_says_of_itself(reply: Any, leader: Leader) -> None:
    assert await observer(script(DONE, got(RECORD), listed(ONE), reply)).leader() == leader


async def test_of_a_member_that_may_not_be_read_the_token_is_known() -> None:
    session = script(DONE, got(RECORD), listed(TWO), NoAuth(), node(101, since=13.5))
    assert await observer(session).leader() == Leader("", b"", 106, 13.5)
    session.assert_asked(SYNC, RECORDED, LIST, f"get /e/{TWO}", f"exists /e/{TWO}")


async def test_who_has_gone_meanwhile_is_left_out_and_a_leader_that_has_is_looked_for_again() -> None:
    session = script(DONE, got(RECORD), listed(ONE, TWO), NoNode(), member(2))
    assert await observer(session).candidates() == (SECOND, [])
    session = script(DONE, got(RECORD), listed(ONE), NoNode(), got(RECORD), listed(TWO), member(2))
    assert await observer(session).leader() == SECOND
    session.assert_asked(SYNC, RECORDED, LIST, f"get /e/{ONE}", RECORDED, LIST, f"get /e/{TWO}")
    session = script(DONE, got(RECORD), listed(ONE), NoNode(), got(RECORD), listed(TWO), member(2))
    assert await observer(session).candidates() == (SECOND, [])


async def test_nobody_is_in_line() -> None:
    session = script(DONE, NoNode(), NoNode())
    assert await observer(session).leader() is None
    session.assert_asked(SYNC, RECORDED, LIST)
    session = script(DONE, NoNode(), listed(), node())
    assert await observer(session).candidates() == (None, [])
    session.assert_asked(SYNC, RECORDED, LIST, "exists /e")
    session = script(DONE, NoNode(), listed("stranger"))
    assert await observer(session).candidates() == (None, [])
    session = script(DONE, NoNode(), listed(), NoNode())
    assert await observer(session).candidates() == (None, [])


# ---------------------------------------------------------------------- whose it is


async def test_a_leaders_node_is_refused() -> None:
    with pytest.raises(LayoutMismatch) as error:
        await observer(script(DONE, NoNode(), listed(), node(owner=8))).leader()
    assert str(error.value) == (
        "/e is a leader's node (layout=ephemeral or mooon), and layout=zk-recipes needs members below it: choose another "
        "path, or that layout"
    )


@pytest.mark.parametrize(
    ("layout", "software", "members"),
    [
        ("latch", "Curator's LeaderLatch", ["_c_a-latch-0000000001"]),
        ("selector", "Curator's LeaderSelector", ["_c_a-lock-0000000001"]),
        ("kazoo", "kazoo's Election", ["a__lock__0000000001"]),
        (
            "zk-recipes",
            "ZooKeeper's LeaderElectionSupport",
            ["n_0000000004", "n_0000000003", "n_0000000002", "n_0000000001"],
        ),
    ],
)
async def test_members_of_another_dialect_are_refused(layout: str, software: str, members: list[str]) -> None:
    ours = "latch" if layout != "latch" else "kazoo"
    text = (
        f"/e is the root of an election of {software} (it holds {', '.join(sorted(members)[:3])}), and layout={ours} is "
        f"another's: choose layout={layout}, or another path"
    )
    with pytest.raises(LayoutMismatch) as error:
        insist_on(DIALECTS[ours], "/e", [*members, "stranger"])
    assert str(error.value) == text
    with pytest.raises(LayoutMismatch) as error:
        await observer(script(DONE, NoNode(), listed(*members)), layout=ours).leader()
    assert str(error.value) == text


async def test_an_election_of_hadoop_is_refused() -> None:
    text = (
        "/e is the root of an election of Hadoop (it holds ActiveStandbyElectorLock), and layout=zk-recipes is another's: "
        "choose layout=hadoop, or another path"
    )
    for children in (["ActiveStandbyElectorLock"], ["ActiveBreadCrumb", "ActiveStandbyElectorLock", ONE, "lock-0000000001"]):
        with pytest.raises(LayoutMismatch) as error:
            await observer(script(DONE, NoNode(), listed(*children))).leader()
        assert str(error.value) == text
    insist_on(DIALECTS["zk-recipes"], "/e", [ONE, "ActiveBreadCrumb"])  # what has become of it is nobody's business


def test_members_of_any_dialect_are_refused_where_none_are_expected() -> None:
    with pytest.raises(LayoutMismatch) as error:
        refuse_members("/e", "hadoop", ["stranger", TWO, ONE])
    assert str(error.value) == (
        f"/e is the root of an election of ZooKeeper's LeaderElectionSupport (it holds {ONE}, {TWO}), and layout=hadoop is "
        "another's: choose layout=zk-recipes, or another path"
    )
    refuse_members("/e", "hadoop", ["stranger", "ActiveBreadCrumb"])


def test_strangers_beside_our_own_members_are_nobodys_business() -> None:
    insist_on(DIALECTS["zk-recipes"], "/e", [ONE, TWO, "stranger", "lock-1"])
    with pytest.raises(LayoutMismatch, match="kazoo's Election"):
        insist_on(DIALECTS["zk-recipes"], "/e", [ONE, "a__lock__0000000001"])


# ---------------------------------------------------------------------- where it cannot be known


@pytest.mark.parametrize("ask", ["leader", "candidates"])
def test_no_answer_is_said_after_five_seconds(ask: str) -> None:
    async def play() -> None:
        with pytest.raises(Unavailable) as error:
            await getattr(observer(script(DONE, got(RECORD), SILENCE)), ask)()
        assert str(error.value) == "/e: no answer within 5 s (not connected yet)"

    async def not_known_to_be_new() -> None:
        with pytest.raises(Unavailable):
            await getattr(observer(script(SILENCE, got(RECORD), listed("stranger"))), ask)()

    assert timed(play) == timed(not_known_to_be_new) == 5.0


def test_who_asks_says_how_long_it_may_take() -> None:
    async def play() -> None:
        with pytest.raises(Unavailable, match="^/e: no answer within 1.5 s"):
            await observer().leader(bound=1.5)

    assert timed(play) == 1.5


# ---------------------------------------------------------------------- every change


async def test_the_first_in_line_is_watched() -> None:
    session = script(got(RECORD), listed(TWO, ONE), member(1))
    assert await observer(session).leader_after(FIRST, first=True) == FIRST
    session.assert_asked(RECORDED, LIST, f"get /e/{ONE} watch")
    assert session.forgotten == session.watchers
    assert await observer(script(got(RECORD), listed(ONE), member(1))).leader_after(None, first=False) == FIRST


async def test_where_nobody_is_in_line_who_comes_is_heard_of() -> None:
    session = script(NoNode(), NoNode(), NoNode())
    assert await observer(session).leader_after(None, first=True) is None
    session.assert_asked(RECORDED, LIST, "exists /e watch")
    session = script(NoNode(), listed(), node(), listed())
    assert await observer(session).leader_after(FIRST, first=False) is None
    session.assert_asked(RECORDED, LIST, "exists /e", f"{LIST} watch")
    assert session.forgotten == session.watchers


async def test_who_has_come_meanwhile_is_looked_at() -> None:
    for answers in ([NoNode(), NoNode(), node()], [NoNode(), listed("stranger"), listed(ONE)]):
        session = script(*answers, got(RECORD), listed(ONE), member(1))
        assert await observer(session).leader_after(None, first=False) == FIRST


def test_the_next_leader_is_told_when_the_watch_fires_or_after_a_session_timeout() -> None:
    async def play(fires: bool) -> None:
        session = script(got(RECORD), listed(ONE), member(1), got(RECORD), listed(TWO), member(2))
        if fires:
            asyncio.get_running_loop().call_later(1.0, lambda: session.watchers[-1](2, f"/e/{ONE}"))
        assert await observer(session).leader_after(Leader("", b"", 105, 0.0), first=False) == SECOND

    assert timed(lambda: play(True)) == 1.0
    assert timed(lambda: play(False)) == 8.0


def test_outages_are_waited_out_for_less_than_a_twentieth_of_a_second() -> None:
    async def play() -> None:
        lost, back = script(got(RECORD), ConnectionLoss()), script(got(RECORD), listed(ONE), member(1))
        assert await observer(lost, back).leader_after(None, first=False) == FIRST

    took = {timed(play, seed) for seed in range(8)}
    assert len(took) == 8
    assert 0.025 < max(took) <= 0.05
