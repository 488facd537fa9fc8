"""What a candidate stands on: the nodes it makes, and, word for word, what it says where it is not let."""

import logging
from typing import Any

import pytest
from scripted import DONE, READABLE, failing, node, script

from aioha import Predecessor, SessionFailed
from aioha.elections.zookeeper.ground import MOST_KEPT, Ground
from aioha.settings import Settings
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NodeExists, NoNode

PARENT = "create /service ''"
RECORD = ["create /service ''", "create /service/e.aioha ''", "create /service/e.aioha/ended ''"]
MADE: list[Any] = [object(), object(), object()]
WITHOUT = (
    "/service/e: no permission to keep a record at /service/e.aioha ({}): a plain race in this campaign, without term "
    "numbers, fenced transactions and the wait after an unclean end"
)


def ground(**options: Any) -> Ground:
    return Ground("/service/e", Settings(identity="me", **options))


async def hook(_: Predecessor) -> None:
    """Nobody is fenced here."""


def test_what_it_knows_of_the_election() -> None:
    stands = ground(acl=READABLE)
    assert (stands.path, stands.identity, stands.acl) == ("/service/e", "me", READABLE)
    names = stands.names
    assert (names.path, names.record) == ("/service/e", "/service/e.aioha")
    assert (names.seat, names.ended) == ("/service/e.aioha/seat", "/service/e.aioha/ended")
    assert (names.unreadable, names.line) == ("/service/e.aioha/unreadable", "/service/e.aioha/line")
    assert (names.is_folder, names.leader) == (False, "/service/e")
    names = ground(layout="hadoop").names
    assert (names.is_folder, names.leader) == (True, "/service/e/ActiveStandbyElectorLock")
    assert (names.breadcrumb, names.record) == ("/service/e/ActiveBreadCrumb", "/service/e.aioha")


@pytest.mark.parametrize(
    ("options", "keeps"), [({}, True), ({"record": False}, False), ({"layout": "mooon"}, False), ({"layout": "latch"}, True)]
)
def test_a_record_is_kept_unless_it_is_not_wanted_or_not_understood(options: dict[str, Any], keeps: bool) -> None:
    stands = ground(**options)
    assert (stands.keeps_record, stands.keeps_line, stands.is_refused_record) == (keeps, keeps, False)
    stands.begin()
    assert (stands.keeps_record, stands.keeps_line, stands.is_refused_record) == (keeps, keeps, False)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "no permission for it"),
        ({"record": False}, "record=False"),
        ({"layout": "mooon"}, "layout=mooon"),
        ({"layout": "mooon", "record": False}, "layout=mooon"),
    ],
)
def test_why_there_are_no_transactions(options: dict[str, Any], why: str) -> None:
    assert ground(**options).no_transactions == (
        f"transactions cannot be fenced without a record ({why}): allow one at /service/e.aioha, or send term.token with "
        "every write to a store that compares it (docs/fencing.md)"
    )


# ---------------------------------------------------------------------- what is made


async def test_parents_and_record_are_made() -> None:
    session = script(object(), *MADE)
    await ground().prepare(session)
    session.assert_asked(PARENT, *RECORD)


async def test_without_a_record_only_the_parents_are_made() -> None:
    session = script(object())
    await ground(record=False).prepare(session)
    session.assert_asked(PARENT)


async def test_all_of_it_has_the_acl_that_was_asked_for() -> None:
    session = script(object(), *MADE)
    await ground(acl=READABLE).prepare(session)
    session.assert_asked(*(f"{each} for world:anyone=1" for each in (PARENT, *RECORD)))


async def test_parents_that_may_not_be_made_are_said_at_once() -> None:
    session = script(NoAuth(), NoNode())
    with pytest.raises(NoAuth):
        await ground().prepare(session)
    session.assert_asked(PARENT, "exists /service")


async def test_the_folder_of_a_leaders_node_is_made_like_its_parents() -> None:
    session = script(object(), object(), *MADE)
    await ground(layout="hadoop").prepare(session)
    session.assert_asked(PARENT, "create /service/e ''", *RECORD)


# ---------------------------------------------------------------------- where it is not let


async def test_a_record_that_is_refused_is_done_without_until_the_next_campaign_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stands = ground()
    await stands.prepare(script(object(), NodeExists(), NoAuth(), NoNode(), NoNode()))
    assert (stands.keeps_record, stands.keeps_line, stands.is_refused_record) == (False, False, True)
    await stands.prepare(session := script(object()))
    session.assert_asked(PARENT)
    stands.begin()
    assert (stands.keeps_record, stands.keeps_line, stands.is_refused_record) == (True, True, False)
    stands.do_without_record(BadVersion())
    assert stands.keeps_record is False
    assert caplog.record_tuples == [("aioha", logging.WARNING, WITHOUT.format(NoAuth()))]


def test_a_line_that_is_refused_is_done_without_until_the_next_campaign_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stands = ground()
    stands.do_without_line(NoAuth())
    assert (stands.keeps_line, stands.keeps_record, stands.is_refused_record) == (False, True, False)
    stands.begin()
    assert stands.keeps_line is True
    stands.do_without_line(BadVersion())
    assert stands.keeps_line is False
    text = (
        f"/service/e: no permission to stand in line at /service/e.aioha/line ({NoAuth()}): a plain race in this campaign, "
        "in which every standby looks at the leader"
    )
    assert caplog.record_tuples == [("aioha", logging.WARNING, text)]


def test_where_a_breadcrumb_tells_a_hook_does_without_the_record() -> None:
    stands = ground(layout="hadoop", fence=hook)
    stands.do_without_record(NoAuth())
    assert stands.keeps_record is False


def test_where_a_hook_needs_it_the_record_is_not_done_without() -> None:
    stands = ground(fence=hook)
    cause = NoAuth()
    with pytest.raises(SessionFailed) as refused:
        stands.do_without_record(cause)
    assert str(refused.value) == (
        f"no permission to keep a record at /service/e.aioha ({cause}), and without one nobody knows how the last term "
        "ended, which fence= needs (candidate me); check the ACL, or do without the hook"
    )
    assert refused.value.__cause__ is cause
    assert stands.keeps_record is True


KEPT = ["create /service/e.aioha/unreadable 'rubbish'", "set /service/e.aioha/unreadable 'rubbish'"]


@pytest.mark.parametrize("answers", [(object(), node()), (NodeExists(), node())], ids=["new", "there"])
async def test_an_unreadable_record_is_kept_in_one_round_trip(
    answers: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    session = script(*answers)
    await ground().keep_aside(session, b"rubbish")
    session.assert_asked(*KEPT)
    assert caplog.records == []


async def test_of_an_unreadable_record_a_part_is_kept_for_those_who_may_read_it() -> None:
    session = script(object(), node())
    await ground(acl=READABLE).keep_aside(session, b"x" * (MOST_KEPT + 1))
    kept = repr("x" * 64 * 1024)
    session.assert_asked(
        f"create /service/e.aioha/unreadable {kept} for world:anyone=1", f"set /service/e.aioha/unreadable {kept}"
    )


@pytest.mark.parametrize("error", [NoAuth(), NoNode()], ids=["no permission", "no parent"])
async def test_an_unreadable_record_that_cannot_be_kept_is_said_and_keeps_nobody_out(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await ground().keep_aside(session := script(error, node()), b"rubbish")
    session.assert_asked(*KEPT)
    text = f"/service/e: cannot keep the unreadable record in /service/e.aioha/unreadable: {error}"
    assert caplog.record_tuples == [("aioha", logging.WARNING, text)]


async def test_a_connection_that_is_lost_meanwhile_is_another_matter() -> None:
    with pytest.raises(ConnectionLoss):
        await ground().keep_aside(script(NodeExists(), ConnectionLoss()), b"rubbish")


@pytest.mark.parametrize("record", [True, False])
async def test_what_is_ours_is_taken_away_with_the_seat_where_there_is_one(record: bool) -> None:
    stands = ground(record=record)
    looks = [failing(0, BadVersion()), *([node(owner=7, version=3)] * (2 if record else 1))]
    gone = [failing(0, BadVersion()), *([NoNode()] * (2 if record else 1))]
    await stands.clear(session := script(*looks, DONE, *gone))
    look = ["check /", "exists /service/e", *(["exists /service/e.aioha/seat"] if record else [])]
    also = " + delete /service/e.aioha/seat at 3" if record else ""
    session.assert_asked(*look, f"delete /service/e at 3{also}", *look)
