"""Links that lose, tear, delay and reset: the session lives through it, without spinning, and its lease is not believed."""

import asyncio
import random
import time

import pytest
from livesession import BOUND, living, new_path, usable

from aioha.clock import boottime
from aioha.heartbeat import Stake
from aioha.session import SessionState
from aioha.testing import Ensemble, Op, Proxy
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss, NodeExists

pytestmark = pytest.mark.anyio

CONNECTED, SUSPENDED = SessionState.CONNECTED, SessionState.SUSPENDED


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("timeout", [2.0, 3.0])
async def test_in_a_black_hole_the_lease_ends_by_our_own_clock_before_the_servers_expire_the_session(
    ensemble: Ensemble, timeout: float
) -> None:
    path = new_path()
    with Proxy(ensemble.followers()[0].address) as proxy:
        async with living(ensemble.leader().address, 30.0) as (other, _), living(proxy.address, timeout) as (session, heard):
            await session.send(requests.create(path, b"", ephemeral=True))
            session.heartbeat.hold(Stake(path, [requests.check(path, 0)], lambda error: None))
            await asyncio.wait_for(session.heartbeat.next_proof(), BOUND)
            await asyncio.sleep(timeout * 0.4)
            expired: asyncio.Future[float] = asyncio.get_running_loop().create_future()
            await other.exists(path, lambda event, path: expired.set_result(boottime()))
            proxy.silence()
            cut, begun = boottime(), now()
            noticed = await heard.until(SUSPENDED, after=begun) - begun
            ends = session.lease.deadline
            await asyncio.sleep(max(ends - boottime(), 0))
            assert session.state is SUSPENDED
            assert session.lease.deadline == ends < boottime(), "nothing prolongs it while disconnected"
            gone = await asyncio.wait_for(expired, BOUND)
            print(
                f"black hole, T={timeout:g}: SUSPENDED after {noticed:.2f} s, lease over after {ends - cut:.2f} s, "
                f"node gone after {gone - cut:.2f} s ({gone - ends:.2f} s later)"
            )
            assert ends < gone
            assert noticed < timeout / 3 + 0.3  # which a busy machine may take
            proxy.heal()
            assert await heard.until(SessionState.EXPIRED) > begun


@pytest.mark.parametrize("sequential", [False, True])
async def test_a_create_whose_reply_is_lost_is_told_once_and_not_sent_again(zookeeper: Ensemble, sequential: bool) -> None:
    parent = new_path()
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard):
            await session.send(requests.create(parent, b""))
            request = requests.create(f"{parent}/node-", b"")
            request.set_flags(sequential=sequential)
            proxy.drop_reply(Op.CREATE)
            told: list[BaseException | None] = []
            reply = session.send(request)
            reply.add_done_callback(lambda future: told.append(future.exception()))
            with pytest.raises(ConnectionLoss):
                await asyncio.wait_for(reply, BOUND)
            await heard.until(CONNECTED, after=await heard.until(SUSPENDED))
            await usable(session)
            assert len((await session.send(requests.children(parent))).children) == 1
            assert proxy.requests[Op.CREATE] == 2  # the parent's, and this one
            assert [type(error) for error in told] == [ConnectionLoss]
            if not sequential:
                with pytest.raises(NodeExists):  # to decide whether it is ours is the caller's
                    await session.send(request)


@pytest.mark.parametrize("size", [0, 2, 4, 9, 19])
async def test_the_end_of_the_stream_within_a_frame_is_no_more_than_a_lost_connection(
    zookeeper: Ensemble, size: int
) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard):
            before = session.id
            await usable(session)
            proxy.truncate_next(size)
            begun, cpu = now(), time.process_time()
            with pytest.raises(ConnectionLoss):
                await asyncio.wait_for(session.send(requests.exists("/")), BOUND)
            again = await usable(session) - begun
            await asyncio.sleep(0.5)  # in which aiozk spun
            busy = time.process_time() - cpu
            print(f"EOF after {size} bytes of a frame: usable after {again * 1000:.0f} ms, CPU {busy * 1000:.0f} ms")
            assert again < 1.0
            assert busy < 0.25
            assert session.id == before
            assert heard.states == [CONNECTED, SUSPENDED, CONNECTED]


async def work_through(proxy: Proxy, timeout: float, seconds: float, bound: float) -> None:
    """Attach over a bad link, then do small work for a while without losing the connection once."""
    async with living(proxy.address, timeout) as (session, heard):
        path = new_path()
        await asyncio.wait_for(session.send(requests.create(path, b"")), bound)
        session.heartbeat.hold(Stake(path, [requests.check(path, 0)], lambda error: None))
        until, slowest = now() + seconds, 0.0
        while now() < until:
            begun = now()
            await asyncio.wait_for(session.send(requests.exists(path)), bound)
            slowest = max(slowest, now() - begun)
        assert heard.states == [CONNECTED]
        assert session.lease.deadline > boottime()
        print(f"slowest answer {slowest:.2f} s, lease {session.lease.deadline - boottime():.1f} s ahead of T={timeout:g}")


async def test_frames_may_come_byte_by_byte(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.fragment(1, pause=0.001)
        await work_through(proxy, 12.0, 1.0, 2.0)


async def test_a_link_of_320_bytes_per_second_is_enough(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.fragment(32, pause=0.1)
        await work_through(proxy, 10.0, 2.0, 3.0)


async def test_a_link_of_0_6_to_1_second_round_trip_is_enough(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.delay(0.3, jitter=0.2)
        await work_through(proxy, 10.0, 2.5, 3.0)


async def test_a_storm_of_resets_costs_neither_the_session_nor_the_cpu(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address, 6.0) as (session, heard):
            before, begun, cpu = session.id, time.monotonic(), time.process_time()
            while time.monotonic() < begun + 2.0:
                proxy.cut()
                await asyncio.sleep(random.uniform(0.0, 0.02))
            share = (time.process_time() - cpu) / (time.monotonic() - begun)
            over = now()
            again = await usable(session) - over
            print(f"RST storm: {heard.states.count(SUSPENDED)} losses, CPU {share:.0%}, usable {again:.2f} s after it")
            assert again < 1.0
            assert share < 0.3  # the proxy's share included
            assert session.id == before


async def test_a_server_that_grants_and_hangs_up_at_once_does_not_keep_us_busy(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address, 6.0) as (session, _):
            accepted, cpu = proxy.accepted, time.process_time()
            session.subscribe(lambda: session.connection.abort("at once") if session.state is CONNECTED else None)
            proxy.cut()
            await asyncio.sleep(2.0)
            attaches, busy = proxy.accepted - accepted, (time.process_time() - cpu) / 2.0
            print(f"lost as soon as attached: {attaches} attaches in 2 s, CPU {busy:.1%}")
            assert 3 < attaches < 20
            assert busy < 0.1


async def test_ten_thousand_requests_in_flight_are_answered_in_order(zookeeper: Ensemble) -> None:
    path, count = new_path(), 10_000
    async with living(zookeeper.connect_string, 10.0) as (session, heard):
        await session.send(requests.create(path, b""))
        order: list[int] = []
        begun, cpu = now(), time.process_time()
        replies = []
        for number in range(count):
            request = requests.set_data(path, b"%d" % number) if number % 100 == 0 else requests.get(path)
            replies.append(session.send(request))
            replies[-1].add_done_callback(lambda _, number=number: order.append(number))
        results = await asyncio.wait_for(asyncio.gather(*replies), 30)
        took, busy = now() - begun, time.process_time() - cpu
        print(f"{count} requests in flight: {took:.2f} s, {busy / count * 1e6:.0f} us of CPU each")
        assert order == list(range(count))
        for number, result in enumerate(results):
            if number % 100:
                assert result.data == b"%d" % (number - number % 100)
        assert heard.states == [CONNECTED]
