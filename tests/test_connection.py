"""One connection, fed by hand: what it makes of answers that say that the session is over, and of events."""

import asyncio
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from aioha.testing import Op
from aioha.wire import requests
from aioha.wire.connection import Connection
from aioha.wire.errors import ConnectionLoss, NoNode, SessionExpired, SessionMoved
from aioha.wire.watches import DELETED

pytestmark = pytest.mark.anyio

NO_NODE, EXPIRED, MOVED, ROLLED_BACK = -101, -112, -118, -2


class Listener:
    def __init__(self) -> None:
        self.told: list[str] = []

    def on_reply(self, sent: float, replied: float, zxid: int) -> None:
        self.told.append(f"reply at {zxid}")

    def on_event(self, kind: int, path: str) -> None:
        self.told.append(f"event {kind} {path}")

    def on_lost(self, connection: Connection, reason: str) -> None:
        self.told.append(reason)


def connected() -> tuple[Connection, Listener]:
    connection, listener = Connection("zk1:2181", asyncio.get_running_loop().time), Listener()
    transport: Any = SimpleNamespace(write=lambda _: None, abort=lambda: None)
    connection.connection_made(transport)
    connection.listen(listener)
    return connection, listener


def answer(connection: Connection, xid: int, code: int, body: bytes = b"", zxid: int = 9) -> None:
    frame = struct.pack(">iqi", xid, zxid, code) + body
    connection.data_received(struct.pack(">i", len(frame)) + frame)


def results(*codes: int) -> bytes:
    """Of a `multi` of checks; 0: it has passed."""
    each = [
        struct.pack(">i?i", Op.CHECK, False, 0) if not code else struct.pack(">i?ii", -1, False, code, code)
        for code in codes
    ]
    return b"".join(each) + struct.pack(">i?i", -1, True, -1)


@pytest.mark.parametrize(("code", "error"), [(EXPIRED, SessionExpired), (MOVED, SessionMoved)])
async def test_an_answer_that_the_session_is_over_ends_the_connection(code: int, error: type[Exception]) -> None:
    """A follower may go on to answer pings and reads for ever, and so it would be believed alive for ever."""
    connection, listener = connected()
    refused, other = connection.send(requests.exists("/a")), connection.send(requests.exists("/b"))
    answer(connection, 1, code)
    with pytest.raises(error):
        await refused
    with pytest.raises(ConnectionLoss):
        await other
    assert (connection.lost, connection.hung_up) == (f"answered {error.__name__}", True)
    assert listener.told == [f"answered {error.__name__}"]  # and nobody has been touched


@pytest.mark.parametrize("codes", [(EXPIRED, ROLLED_BACK), (ROLLED_BACK, EXPIRED)])
async def test_so_does_an_answer_inside_a_multi(codes: tuple[int, ...]) -> None:
    connection, listener = connected()
    reply = connection.send(requests.multi(requests.check("/a", 0), requests.check("/b", 0)))
    answer(connection, 1, 0, results(*codes))
    failed = requests.failure(await reply)
    assert failed is not None
    assert isinstance(failed[1], SessionExpired)
    assert connection.hung_up
    assert listener.told == ["answered SessionExpired"]


async def test_other_refusals_are_answers() -> None:
    connection, listener = connected()
    absent, multi = connection.send(requests.exists("/a")), connection.send(requests.multi(requests.check("/b", 0)))
    answer(connection, 1, NO_NODE)
    answer(connection, 2, 0, results(NO_NODE), zxid=10)
    with pytest.raises(NoNode):
        await absent
    assert requests.failure(await multi) is not None
    assert connection.lost is None
    assert listener.told == ["reply at 9", "reply at 10"]


@pytest.mark.parametrize(("path", "told"), [(b"/a/\xc3\xb6", "/a/\u00f6"), (b"", ""), (None, "")])
async def test_an_event_tells_what_has_happened_and_where(path: bytes | None, told: str) -> None:
    connection, listener = connected()
    size = -1 if path is None else len(path)
    answer(connection, -1, 0, struct.pack(">iii", DELETED, 3, size) + (path or b""))
    assert (connection.lost, listener.told) == (None, [f"event {DELETED} {told}"])


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        struct.pack(">ii", 2, 3),
        struct.pack(">iii", 2, 3, 3) + b"/a",
        struct.pack(">iii", 2, 3, 1) + b"\xff",
        struct.pack(">iii", 2, 3, -5),
    ],
    ids=["empty", "cut short", "less than it says", "no text", "less than nothing"],
)
async def test_an_event_that_cannot_be_read_ends_the_connection(rest: bytes) -> None:
    connection, listener = connected()
    answer(connection, -1, 0, rest)
    assert connection.lost is not None
    assert connection.lost.startswith("sent a frame that cannot be read")
    assert listener.told == [connection.lost]
