"""The store's part of a fenced transaction: exactly what is sent, and what each answer to it means, word for word."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from scripted import DONE, READABLE, SILENCE, failing, node, script, timed

from aioha import ElectionError, Fenced, Unavailable
from aioha.elections.protocol import Operation
from aioha.elections.zookeeper.fencing import Fence
from aioha.session import SessionState
from aioha.wire import requests
from aioha.wire.errors import (
    BadArguments,
    BadVersion,
    ConnectionLoss,
    NoAuth,
    NodeExists,
    NoNode,
    NotEmpty,
    ResponseError,
    SessionExpired,
    SessionMoved,
)

CREATE = Operation("create", "/a", b"1")
SET, DELETE, CHECK = Operation("set_data", "/b", b"2", 3), Operation("delete", "/c", version=4), Operation("check", "/d")
MINE = "check /e.aioha at 6 + check /e at {}"
WRITES = f"{MINE} + create /a '1'"


class Term:
    """What a fence asks of a grant, and tells it. `usable`: seconds of the lease, for ever or in virtual time."""

    def __init__(self, session: Any, usable: float = 4.0) -> None:
        self.path = self.node = "/e"
        self.node_version, self.czxid, self.token = 1, 50, 55
        self.checks = [requests.check("/e.aioha", 6)]
        self.session = session
        self.told = list[Any]()
        self.looks = 0
        self._until = asyncio.get_running_loop().time() + usable

    @property
    def usable(self) -> float:
        self.looks += 1
        assert self.looks < 100, "it is asked again and again, without a pause"
        return self._until - asyncio.get_running_loop().time()

    def refuted(self, error: ResponseError) -> None:
        self.told.append(error)

    def compare(self, stat: Any) -> None:
        self.told.append(None if stat is None else stat.version)

    def node_event(self, event: int, path: str) -> None:
        """For the watch."""


def stands() -> None:
    """The term does."""


async def commit(term: Any, *operations: Operation, acl: Any = None) -> bool:
    return await Fence(term, acl).commit(operations or (CREATE,), stands)


async def test_a_transaction_begins_with_what_only_this_term_passes() -> None:
    term = Term(script(DONE))
    assert await commit(term, CREATE, SET, DELETE, CHECK) is True
    term.session.assert_asked(f"{WRITES.format(1)} + set /b '2' at 3 + delete /c at 4 + check /d")
    assert term.told == []


async def test_what_it_creates_has_the_acl_of_the_election() -> None:
    term = Term(script(DONE))
    assert await commit(term, acl=READABLE)
    term.session.assert_asked(f"{WRITES.format(1)} for world:anyone=1")


# ---------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("operation", "error", "reason"),
    [
        (CREATE, NodeExists(), "create /a: it exists already"),
        (CREATE, NoNode(), "create /a: its parent does not exist"),
        (CREATE, NoAuth(), "create /a: no permission; check the ACL of its parent"),
        (SET, NoNode(), "set_data /b: it does not exist"),
        (SET, BadVersion(), "set_data /b: version is not 3"),
        (SET, NoAuth(), "set_data /b: no permission; check the ACL"),
        (DELETE, NotEmpty(), "delete /c: it has children"),
        (DELETE, NoAuth(), "delete /c: no permission; check the ACL of its parent"),
        (CHECK, NoAuth(), "check /d: no permission; check the ACL"),
        (CHECK, BadArguments(), f"check /d: the servers answered {BadArguments()}"),
    ],
)
@pytest.mark.parametrize("number", [1, 2])
async def test_an_operation_that_does_not_pass_is_named(
    operation: Operation, error: ResponseError, reason: str, number: int
) -> None:
    term = Term(script(failing(1 + number, error)))
    operations = (operation,) if number == 1 else (CREATE, operation)
    with pytest.raises(Fenced) as fenced:
        await commit(term, *operations)
    assert str(fenced.value) == f"nothing was written: operation {number}, {reason}"
    assert fenced.value.operation == number
    assert term.told == []


@pytest.mark.parametrize(("index", "error"), [(0, BadVersion()), (0, NoNode()), (0, NoAuth()), (1, NoAuth())])
async def test_a_check_of_the_term_that_does_not_pass_ends_it(index: int, error: ResponseError) -> None:
    term = Term(script(failing(index, error)))
    assert await commit(term) is False
    term.session.assert_asked(WRITES.format(1))
    assert term.told == [error]


@pytest.mark.parametrize("error", [SessionMoved(), SessionExpired()])
async def test_a_session_that_has_moved_says_nothing_of_the_term(error: ResponseError) -> None:
    term = Term(script(failing(0, error)))
    with pytest.raises(Unavailable) as unavailable:
        await commit(term)
    assert str(unavailable.value) == f"/e: nothing was written: the servers answered {error}"
    assert term.told == []


@pytest.mark.parametrize("error", [BadVersion(), NoNode()])
@pytest.mark.parametrize("answer", [node(51, owner=7), node(50, owner=8), NoNode()], ids=["made anew", "another's", "gone"])
async def test_a_leaders_node_that_is_not_ours_any_more_ends_the_term(error: ResponseError, answer: Any) -> None:
    term = Term(script(failing(1, error), answer))
    assert await commit(term) is False
    term.session.assert_asked(WRITES.format(1), "exists /e watch")
    assert term.session.watchers == [term.node_event]
    assert term.told == [None if isinstance(answer, NoNode) else 0]


async def test_others_may_set_the_data_of_the_leaders_node() -> None:
    term = Term(script(failing(1, BadVersion()), node(50, owner=7, version=5), DONE, DONE))
    fence = Fence(term, None)  # type: ignore[arg-type]
    assert await fence.commit([CREATE], stands) is True
    assert await fence.commit([CREATE], stands) is True
    term.session.assert_asked(WRITES.format(1), "exists /e watch", WRITES.format(5), WRITES.format(5))
    assert term.told == [5]


@pytest.mark.parametrize("answer", [ConnectionLoss(), SessionMoved(), SessionExpired()])
async def test_where_the_node_cannot_be_looked_at_the_transaction_is_tried_again(answer: Exception) -> None:
    term = Term(script(failing(1, BadVersion()), answer, DONE))
    assert await commit(term) is True
    term.session.assert_asked(WRITES.format(1), "exists /e watch", WRITES.format(1))


# ---------------------------------------------------------------------- unknown


UNKNOWN = (
    "/e: a transaction of token 55 may or may not have been carried out: {}; to find out, `await term.confirm()` and then "
    "read what it writes"
)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (ConnectionLoss(), "the connection was lost before the reply came (the cable was cut)"),
        (BadArguments(), f"the servers answered {BadArguments()}"),
    ],
)
async def test_without_a_reply_the_outcome_is_unknown(answer: Exception, why: str) -> None:
    term = Term(script(answer))
    with pytest.raises(Unavailable) as unavailable:
        await commit(term)
    assert str(unavailable.value) == UNKNOWN.format(why)


def test_a_reply_is_awaited_until_the_lease_is_over() -> None:
    async def play() -> None:
        with pytest.raises(Unavailable) as unavailable:
            await commit(Term(script(SILENCE), usable=3.5))
        assert str(unavailable.value) == UNKNOWN.format("the lease ended before the reply came")

    assert timed(play) == 3.5


def test_the_lease_is_asked_again_and_again_meanwhile() -> None:
    """A loop's timer does not count suspend."""

    async def play() -> None:
        term = Term(script(SILENCE), usable=60.0)
        asyncio.get_running_loop().call_later(0.5, lambda: setattr(term, "_until", 0.0))
        with pytest.raises(Unavailable):
            await commit(term)

    assert timed(play) == 1.0  # the pace of heartbeats


# ---------------------------------------------------------------------- not attached


def test_it_waits_for_a_server_and_asks_again_whether_the_term_stands() -> None:
    checked = list[float]()

    async def play() -> None:
        loop = asyncio.get_running_loop()
        begun, session = loop.time(), script(DONE)
        session.state = SessionState.SUSPENDED
        back = loop.create_future()
        session.attached = lambda: asyncio.wait({back})
        loop.call_later(2.5, lambda: (session.become(SessionState.CONNECTED), back.set_result(None)))
        fence = Fence(Term(session, usable=60.0), None)  # type: ignore[arg-type]
        assert await fence.commit([CREATE], lambda: checked.append(loop.time() - begun)) is True

    assert timed(play) == 2.5
    assert checked == [0.0, 1.0, 2.0, 2.5]


def test_with_the_lease_the_waiting_is_over() -> None:
    async def play() -> None:
        session = script()
        session.state = SessionState.SUSPENDED
        session.attached = lambda: asyncio.sleep(60)
        term = Term(session, usable=1.5)

        def check() -> None:
            if term.usable <= 0:
                raise KeyError("the term is over")

        with pytest.raises(KeyError):
            await Fence(term, None).commit([CREATE], check)  # type: ignore[arg-type]

    assert timed(play) == 1.5


async def test_with_the_session_nothing_is_sent_any_more() -> None:
    term = Term(script())
    term.session.state = SessionState.EXPIRED
    assert await commit(term) is False
    assert term.session.asked == []


# ---------------------------------------------------------------------- what no server would take


def test_another_loop_is_refused() -> None:
    async def made() -> Fence:
        return Fence(Term(script(), usable=1.0), None)  # type: ignore[arg-type]

    fence = asyncio.run(made())
    with pytest.raises(ElectionError, match="^/e: a transaction belongs to its elector's event loop; this is another$"):
        asyncio.run(fence.commit([CREATE], stands))


def of_size(size: int) -> Sequence[Operation]:
    """A transaction of so many bytes."""
    small, large = Operation("create", "/" + "p" * 99, b""), Operation("set_data", "/large", b"")
    rest = size - requests.size(requests.multi(requests.check("/e.aioha", 6), requests.check("/e", 1)))
    rest -= sum(
        requests.size(requests.multi(each)) - requests.size(requests.multi()) for each in map(_request, (small, large))
    )
    return small, Operation("set_data", "/large", b"x" * rest)


def _request(operation: Operation) -> Any:
    if operation.kind == "create":
        return requests.create(operation.path, operation.data)
    return requests.set_data(operation.path, operation.data)


async def test_the_largest_operation_is_the_one_with_most_bytes_of_path_and_data() -> None:
    first, second = Operation("create", "/" + "p" * 99, b"x" * 600_000), Operation("create", "/" + "q" * 199, b"x" * 599_950)
    with pytest.raises(ValueError, match="the largest, create /q+, has 599950 bytes of data"):
        await commit(Term(script()), first, second)


async def test_what_is_larger_than_servers_take_is_not_sent() -> None:
    assert await commit(Term(script(DONE)), *of_size(0xFFFFF)) is True
    operations, term = of_size(0x100000), Term(script())
    with pytest.raises(ValueError, match="transaction") as error:
        await commit(term, *operations)
    assert str(error.value) == (
        "transaction: 1048576 bytes are more than the 1048575 that ZooKeeper's servers take in one request (2 operations; "
        f"the largest, set_data /large, has {len(operations[1].data)} bytes of data)"
    )
    assert term.session.asked == []
    assert term.told == []
