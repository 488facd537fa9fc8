"""What a session takes from its connections: a grant, replies, events, their end; and the watches it sets on each again."""

import logging
from typing import Any
from unittest import mock

import pytest
from answering import Answering
from bare_session import ASKED, Bare, bare

from aioha.session import NotAttached
from aioha.wire import requests
from aioha.wire.connection import Greeting
from aioha.wire.errors import ConnectionLoss, NoAuth, NoNode
from aioha.wire.watches import CHANGED, DELETED

CREATED, CHILDREN = 1, 4


class Events:
    """A watcher that notes what it is called with."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []

    def __call__(self, kind: int, path: str) -> None:
        self.seen.append((kind, path))


def test_a_grant_is_counted_from_its_request_and_heard_of_before_it_is_attached() -> None:
    async def play(bare: Bare) -> None:
        session, told = bare.session, list[tuple[Any, ...]]()
        attached = bare.lease.attached

        def note(*args: Any, **named: Any) -> None:
            told.append((*args, named))
            attached(*args, **named)

        bare.lease.attached = note  # type: ignore[method-assign]
        for session_id, timeout in ((5, 4.0), (5, 3.0)):
            connection = Answering(bare.clock)
            greeting = Greeting(bare.clock() - 0.5, session_id, b"%016d" % timeout, timeout)
            session.granted(connection, greeting)  # type: ignore[arg-type]
            assert connection._listener is session
            assert (session.id, session.password) == (5, b"%016d" % timeout)
            assert (session.server, bare.heard) == (None, [])
        sent = bare.clock() - 0.5
        assert told == [(sent, 4.0, {"created": True}), (sent, 3.0, {"created": False})]
        assert bare.lease.anchored == sent

    bare(play)


@pytest.mark.parametrize("over", ["the connection", "the session"])
def test_what_is_over_is_not_attached(over: str) -> None:
    async def play(bare: Bare) -> None:
        connection = bare.granted()
        if over == "the connection":
            connection.abort("cut")
        else:
            bare.session.fail("given up")
        heard = [*bare.heard]
        assert not bare.session.attach_to(connection)  # type: ignore[arg-type]
        assert (bare.session.server, bare.heard, connection.sent) == (None, heard, [])

    bare(play)


@pytest.mark.parametrize("attached", [True, False])
def test_what_was_acknowledged_on_a_connection_goes_with_it(attached: bool) -> None:
    """Also where it was lost before it was attached; not where it is one that the session has left already."""

    async def play(bare: Bare) -> None:
        old = bare.granted()
        connection = bare.attached() if attached else bare.granted()
        assert bare.lease.anchor(bare.clock()) is not None
        if attached:
            old.abort("late")
            assert bare.lease.anchor(bare.clock()) is not None
        connection.abort("cut")
        assert bare.lease.anchor(bare.clock()) is None
        assert bare.heard == (["connected", "suspended"] if attached else [])

    bare(play)


def test_the_end_of_a_connection_that_is_being_closed_is_the_sessions() -> None:
    async def play(bare: Bare) -> None:
        connection = bare.attached()
        bare.session._closing = True
        connection.abort("connection closed by the server")
        assert (bare.heard, bare.session.why) == (["connected", "closed"], "closed")

    bare(play)


def test_a_dead_session_hears_no_more_of_its_connection() -> None:
    async def play(bare: Bare) -> None:
        connection = bare.attached()
        bare.session.fail("given up")
        connection.abort("late")
        assert (bare.heard, bare.session.why) == (["connected", "failed"], "given up")

    bare(play)


def test_replies_tell_the_newest_change_the_quickest_round_trip_and_what_was_acknowledged() -> None:
    async def play(bare: Bare) -> None:
        session, told = bare.session, list[tuple[float, float]]()
        bare.lease.acknowledged = lambda sent, replied: told.append((sent, replied))  # type: ignore[method-assign]
        bare.attached()
        assert session.hearing.round_trip == 0.0
        trips = []
        for sent, replied, zxid in ((5.0, 9.0, 6), (10.0, 10.5, 7), (20.0, 20.25, 9), (30.0, 31.0, 8), (40.0, 41.0, 0)):
            session.on_reply(sent, replied, zxid)
            trips.append((round(session.hearing.round_trip, 6), session.zxid))
        # It grows by a tenth with each that was slower: a link may have become so.
        assert trips == [(4.0, 6), (0.5, 7), (0.25, 9), (0.275, 9), (0.3025, 9)]
        assert told == [(5.0, 9.0), (10.0, 10.5), (20.0, 20.25), (30.0, 31.0), (40.0, 41.0)]

    bare(play)


def test_a_server_behind_us_is_refused_only_while_something_may_rest_on_the_session() -> None:
    async def play(bare: Bare) -> None:
        bare.attached()
        bare.session.on_reply(bare.clock(), bare.clock(), 9)
        over = bare.lease.deadline - bare.begun + ASKED
        await bare.until(over - 0.01)
        assert bare.session.zxid_to_insist_on == 9
        bare.attached()
        assert bare.session.zxid == 9
        await bare.until(over + 0.01)
        assert bare.session.zxid_to_insist_on == 0
        assert bare.session.zxid == 9
        bare.attached()  # by a server whose data was set back: counted from there
        assert bare.session.zxid == 0

    bare(play)


def test_requests_are_sent_as_they_are_and_a_watch_with_its_own() -> None:
    async def play(bare: Bare) -> None:
        with pytest.raises(NotAttached):
            bare.session.exists("/a", Events())
        connection = bare.attached()
        reply = await bare.session.send(requests.get("/a"))
        assert reply.responses == []
        await bare.session.exists("/a", Events())
        await bare.session.watching(requests.get("/b", watch=True), Events())
        assert [asked for _, asked in connection.sent] == [
            "sync /",
            "get_data /a",
            "exists /a watching",
            "get_data /b watching",
        ]

    bare(play)


@pytest.mark.parametrize(
    ("request_", "answer", "fired_by"),
    [
        (requests.exists("/a", watch=True), None, {CREATED, CHANGED, DELETED}),
        (requests.exists("/a", watch=True), NoNode(), {CREATED, CHANGED, DELETED}),
        (requests.get("/a", watch=True), None, {CREATED, CHANGED, DELETED}),
        (requests.children("/a", watch=True), None, {CHILDREN, DELETED}),
        (requests.get("/a", watch=True), NoNode(), set()),
        (requests.children("/a", watch=True), NoNode(), set()),
        (requests.exists("/a", watch=True), NoAuth(), set()),
        (requests.exists("/a", watch=True), ConnectionLoss(), set()),
    ],
)
def test_a_watch_stands_from_the_answer_on_if_the_server_keeps_one(
    request_: Any, answer: Exception | None, fired_by: set[int]
) -> None:
    async def play(bare: Bare) -> None:
        for kind in (CREATED, CHANGED, DELETED, CHILDREN):
            connection, events = bare.attached(), Events()
            if answer is not None:
                connection.results.update(dict.fromkeys(("exists /a watching", "get_data /a watching"), answer))
                connection.results["get_children /a watching"] = answer
            reply = bare.session.watching(request_, events)
            bare.session.on_event(kind, "/a")
            assert events.seen == []
            if answer is None:
                await reply
            else:
                with pytest.raises(type(answer)):
                    await reply
            bare.session.on_event(kind, "/b")
            bare.session.on_event(kind, "/a")
            bare.session.on_event(kind, "/a")
            assert events.seen == ([(kind, "/a")] if kind in fired_by else [])
            bare.session.forget(events)
            connection.abort("cut")

    bare(play)


async def watched(bare: Bare) -> Events:
    """One watch of each kind, as the servers keep it."""
    events = Events()
    connection = bare.attached()
    connection.results["exists /none watching"] = NoNode()
    await bare.session.exists("/data", events)
    with pytest.raises(NoNode):
        await bare.session.exists("/none", events)
    await bare.session.watching(requests.children("/children", watch=True), events)
    bare.session.on_reply(bare.clock(), bare.clock(), 9)
    connection.abort("cut")
    return events


ALL = "watches since {} as -8: ['/data'] ['/none'] ['/children']"
PARTS = [
    "watches since {} as -8: ['/data'] [] []",
    "watches since {} as -8: [] ['/none'] []",
    "watches since {} as -8: [] [] ['/children']",
]


def test_watches_are_set_again_as_of_the_newest_change_seen() -> None:
    async def play(bare: Bare) -> None:
        events = await watched(bare)
        for zxid in (9, 12):
            connection = bare.attached()
            assert [asked for _, asked in connection.sent] == [ALL.format(zxid)]
            await bare.until(bare.now + 0.1)
            bare.session.on_reply(bare.clock(), bare.clock(), 12)
            connection.abort("cut")
        bare.session.forget(events)
        assert bare.attached().sent == []

    bare(play)


@pytest.mark.parametrize("answered", [0, 1, 2, 3])
def test_watches_count_from_when_all_were_set_until_all_of_them_are_again(answered: int) -> None:
    """The reply to a first part shows a newer change; what has happened to the rest before it must still be told."""

    async def play(bare: Bare) -> None:
        await watched(bare)
        with mock.patch("aioha.wire.watches.LARGEST_REQUEST", 1):
            connection = bare.attached(delay=None)
            assert [asked for _, asked in connection.sent] == [part.format(9) for part in PARTS]
            for part in PARTS[:answered]:
                connection.answer(part.format(9))
            bare.session.on_reply(bare.clock(), bare.clock(), 12)
            connection.abort("cut")
            since = 12 if answered == len(PARTS) else 9
            assert [asked for _, asked in bare.attached().sent] == [part.format(since) for part in PARTS]

    bare(play)


def test_a_server_that_refuses_to_set_watches_is_left_and_one_that_is_lost_is_not_called_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play(bare: Bare) -> None:
        await watched(bare)
        connection = bare.attached()
        connection.results[ALL.format(9)] = NoAuth()
        await bare.until(bare.now + 0.1)
        assert connection.aborts == ["refused to set watches: NoAuth"]
        connection = bare.attached(delay=None)
        connection.abort("cut")
        assert connection.aborts == ["cut"]
        assert bare.heard[-4:] == ["connected", "suspended", "connected", "suspended"]

    with caplog.at_level(logging.WARNING, "aioha"):
        bare(play)
    said = [each.getMessage() for each in caplog.records]
    assert said[1:] == [
        "ZooKeeper session 0x7: suspended (zk1:2181: refused to set watches: NoAuth)",
        "ZooKeeper session 0x7: suspended (zk1:2181: cut)",
    ]
