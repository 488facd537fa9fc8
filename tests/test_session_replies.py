"""Replies that nobody expects: unknown error codes, unreadable frames, answers to nothing."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from aiozk import ACL, protocol
from livesession import BOUND, Fake, Heard, fake, living, session_on, usable

from aioha.session import SessionState
from aioha.testing import Ensemble, Proxy
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss, NodeExists, NoNode, ResponseError
from aioha.wire.replies import MULTI, decode

pytestmark = pytest.mark.anyio

RECONFIG_DISABLED = -123  # aiozk has no class for it


async def test_an_error_code_that_aiozk_does_not_know_is_raised_and_not_printed(
    zookeeper: Ensemble, capsys: pytest.CaptureFixture[str]
) -> None:
    async with living(zookeeper.connect_string) as (session, heard):
        request = protocol.ReconfigRequest(joining_servers="", leaving_servers="9", new_members="", current_config_id=-1)
        with pytest.raises(ResponseError, match=f"ZooKeeper error {RECONFIG_DISABLED}") as raised:
            await session.send(request)
        assert getattr(raised.value, "code", None) == RECONFIG_DISABLED
        await usable(session)
        assert heard.states == [SessionState.CONNECTED]
    assert capsys.readouterr() == ("", "")


def test_an_unknown_code_inside_a_multi_is_not_printed_either(capsys: pytest.CaptureFixture[str]) -> None:
    refused = struct.pack(">i?ii", -1, False, -999, -999)
    reply = decode(MULTI, refused + struct.pack(">i?i", -1, True, -1))
    failed = requests.failure(reply)
    assert failed is not None
    assert str(failed[1]) == "ZooKeeper error -999"
    assert capsys.readouterr() == ("", "")


STAT = struct.pack(">qqqqiiiqiiq", *range(11))


@pytest.mark.parametrize("response", [protocol.ExistsResponse, protocol.SetDataResponse])
def test_a_stat_is_read_as_aiozk_reads_it(response: Any) -> None:
    assert str(decode(response.opcode, STAT).stat) == str(response.deserialize(STAT).stat)
    with pytest.raises(struct.error):
        decode(response.opcode, STAT[:-1])


def test_the_results_of_a_multi_are_read_as_aiozk_reads_them() -> None:
    path, header = struct.pack(">i2s", 2, b"/a"), struct.Struct(">i?i")
    kinds = {1: path, 5: STAT, 2: b"", 13: b"", 15: path + STAT, -1: struct.pack(">i", -101)}
    body = b"".join(header.pack(kind, False, 0) + result for kind, result in kinds.items()) + header.pack(-1, True, -1)
    ours, theirs = decode(MULTI, body).responses, protocol.TransactionResponse.deserialize(body).responses
    assert [type(each) for each in ours] == [type(each) for each in theirs]
    assert [str(each.stat) for each in ours if hasattr(each, "stat")] == [
        str(each.stat) for each in theirs if hasattr(each, "stat")
    ]
    for cut in range(len(body)):
        with pytest.raises(struct.error):
            decode(MULTI, body[:cut])


def test_a_transaction_is_packed_as_aiozk_packs_it() -> None:
    acl = [ACL.make("digest", "user:\N{SNOWMAN}", read=True), ACL.make("world", "anyone", write=True, admin=True)]
    request = requests.multi(
        requests.create("/\N{SNOWMAN}", b"\0", ephemeral=True, acl=acl),
        requests.create("/a", b""),
        requests.set_data("/a", b"data", 3),
        requests.delete("/a"),
        requests.check("/a", 7),
    )
    for xid in (None, 1, 2**31 - 1):
        assert request.serialize(xid) == protocol.TransactionRequest.serialize(request, xid)
    assert requests.packed(request).serialize(5) == request.serialize(5)
    assert requests.multi().serialize(1) == protocol.TransactionRequest().serialize(1)


async def test_a_refused_multi_says_which_request_failed(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, _):
        reply = await session.send(requests.multi(requests.check("/", -1), requests.create("/zookeeper", b"")))
        failed = requests.failure(reply)
        assert failed is not None
        assert failed[0] == 1
        assert isinstance(failed[1], NodeExists)


def stat_too_short(xid: int) -> bytes:
    return struct.pack(">iqi", xid, 1, 0) + b"short"


def header_too_short(xid: int) -> bytes:
    return struct.pack(">i", xid)


def empty(xid: int) -> bytes:
    return b""


def not_asked_for(xid: int) -> bytes:
    return struct.pack(">iqi", xid + 1, 1, 0)


def event_of_nothing(xid: int) -> bytes:
    return struct.pack(">iqi", -1, -1, 0) + struct.pack(">iii", 3, 3, 99) + b"/"


@pytest.mark.parametrize("reply", [stat_too_short, header_too_short, empty, not_asked_for, event_of_nothing])
async def test_a_frame_that_cannot_be_read_costs_the_connection_and_leaves_no_request_hanging(
    reply: Callable[[int], bytes],
) -> None:
    async def script(server: Fake) -> None:
        await server.greet_and_relay()
        while True:
            xid, operation = struct.unpack_from(">ii", await server.request())
            good = operation != protocol.ExistsRequest.opcode
            server.say(struct.pack(">iqi", xid, 1, 0) if good else reply(xid))

    async with fake(script) as address, living(address) as (session, heard):
        begun = asyncio.get_running_loop().time()
        first, second = session.send(requests.exists("/")), session.send(requests.ping())
        for future in (first, second):
            with pytest.raises(ConnectionLoss):
                await asyncio.wait_for(future, 1.0)
        await heard.until(SessionState.CONNECTED, after=await heard.until(SessionState.SUSPENDED, after=begun))
        print(f"{reply.__name__}: {heard.session.why}")


async def test_bytes_injected_into_the_stream_cost_the_connection_only(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard):
            before = session.id
            for noise in (b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x04nope", b"HTTP/1.1 500 \r\n\r\n"):
                begun = asyncio.get_running_loop().time()
                proxy.inject(noise)
                await heard.until(SessionState.SUSPENDED, after=begun)
                await heard.until(SessionState.CONNECTED, after=begun)
                await usable(session)
            assert session.id == before


async def test_a_reply_that_nobody_waits_for_any_more_is_dropped_in_silence(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, heard):
        for number in range(20):
            request = session.send(requests.exists("/" if number % 2 else "/not-there"))
            request.cancel()
        await usable(session)
        assert heard.states == [SessionState.CONNECTED]


async def test_a_server_with_a_long_queue_to_answer_is_not_taken_for_silent() -> None:
    """Else a burst of requests loses its own connection: the last ones wait for longer than a heartbeat may."""

    async def script(server: Fake) -> None:
        await server.greet_and_relay(timeout=3.0)  # silence: 0.5 s
        while True:
            xid, operation = struct.unpack_from(">ii", await server.request())
            if operation == protocol.ExistsRequest.opcode:
                await asyncio.sleep(0.1)
            server.say(struct.pack(">iqi", xid, 1, -101 if operation == protocol.ExistsRequest.opcode else 0))

    async with fake(script) as address, living(address, 3.0) as (session, heard):
        replies = [session.send(requests.exists("/")) for _ in range(20)]
        await asyncio.wait_for(asyncio.wait(replies), BOUND)
        assert all(isinstance(reply.exception(), NoNode) for reply in replies)
        assert heard.states == [SessionState.CONNECTED]


async def test_a_server_that_stops_answering_amid_a_long_queue_is_left() -> None:
    async def script(server: Fake) -> None:
        await server.greet_and_relay(timeout=3.0)
        for _ in range(10):
            await server.answer(-101)
        await server.reader.read()
        await asyncio.sleep(BOUND)

    async with fake(script) as address, living(address, 3.0) as (session, heard):
        begun = asyncio.get_running_loop().time()
        replies = [session.send(requests.exists("/")) for _ in range(20)]
        await heard.until(SessionState.SUSPENDED, after=begun)
        assert asyncio.get_running_loop().time() - begun < 3.0 / 3
        assert sum(isinstance(reply.exception(), ConnectionLoss) for reply in replies) >= 10


async def test_a_session_that_the_servers_do_not_know_is_expired_and_not_replaced(zookeeper: Ensemble) -> None:
    session = session_on(zookeeper.connect_string)
    session.id, session.password = 0x1234, bytes(16)
    session.lease.attached(0.0, 6.0, created=False)
    heard = Heard(session)
    await asyncio.wait_for(session.run(), BOUND)
    assert heard.states == [SessionState.EXPIRED]
    assert session.id == 0x1234
