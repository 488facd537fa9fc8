"""What a session says of itself, in every state: listeners, requests while down, closing, and a loop that was blocked."""

import asyncio
import struct
import time
from collections.abc import Callable

import pytest
from livesession import BOUND, Fake, Heard, fake, living, new_path, session_on, usable

from aioha.clock import boottime
from aioha.heartbeat import Stake
from aioha.host import Host
from aioha.session import NotAttached, SessionState, ZooKeeperSession
from aioha.testing import Ensemble, Op, Proxy, no_leaks
from aioha.wire import requests
from aioha.wire.errors import NoNode, SessionExpired

pytestmark = pytest.mark.anyio

CONNECTED, SUSPENDED, CLOSED = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CLOSED


async def until_listened_to(proxy: Proxy, count: int) -> None:
    async with asyncio.timeout(BOUND):
        while proxy.accepted < count:
            await asyncio.sleep(0.005)


async def test_every_listener_hears_every_change_in_order(zookeeper: Ensemble) -> None:
    heard: dict[str, list[SessionState]] = {"first": [], "late": [], "gone": []}
    with Proxy(zookeeper.servers[0].address) as proxy:
        session = session_on(proxy.address)

        def first() -> None:
            heard["first"].append(session.state)
            if len(heard["first"]) == 1:
                session.subscribe(lambda: heard["late"].append(session.state))  # hears from the next change on
            if len(heard["first"]) == 2:
                unsubscribe()  # while it is being told of the same change

        session.subscribe(first)
        unsubscribe = session.subscribe(lambda: heard["gone"].append(session.state))
        told = Heard(session)
        task = asyncio.create_task(session.run())
        for _ in range(2):
            async with asyncio.timeout(BOUND):
                await session.attached()
            cut = asyncio.get_running_loop().time()
            proxy.cut()
            await told.until(SUSPENDED, after=cut)
        async with asyncio.timeout(BOUND):
            await session.attached()
        await session.close()
        await asyncio.wait_for(task, BOUND)
    everything = [CONNECTED, SUSPENDED, CONNECTED, SUSPENDED, CONNECTED, CLOSED]
    assert heard["first"] == told.states == everything
    assert heard["late"] == everything[1:]
    assert heard["gone"] == [CONNECTED]


async def test_a_listener_that_breaks_hides_nothing_from_the_others_and_is_heard_of(zookeeper: Ensemble) -> None:
    failures: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context["exception"]))
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, _):

            def broken() -> None:
                if session.state is SUSPENDED:
                    raise RuntimeError("a bug")

            session.subscribe(broken)
            after = Heard(session)
            proxy.cut()
            await after.until(SUSPENDED)
            await after.until(CONNECTED)
    assert [str(each) for each in failures] == ["a bug"]


async def test_a_change_made_by_a_listener_is_the_last_that_all_hear(zookeeper: Ensemble) -> None:
    session = session_on(zookeeper.connect_string)
    session.subscribe(lambda: session.fail("not wanted") if session.state is CONNECTED else None)
    after = Heard(session)
    await asyncio.wait_for(session.run(), BOUND)
    assert after.states[-1] is session.state is SessionState.FAILED
    with pytest.raises(SessionExpired):
        await session.attached()


async def test_requests_made_while_down_are_refused_at_once_and_never_sent(zookeeper: Ensemble) -> None:
    path = new_path()
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard):
            proxy.refuse()
            await heard.until(SUSPENDED)
            with pytest.raises(NotAttached, match=proxy.address):
                session.send(requests.create(path, b""))
            with pytest.raises(NotAttached):
                session.exists(path, lambda event, path: None)
            proxy.heal()
            await usable(session)
            assert proxy.requests[requests.create(path, b"").opcode] == 0


async def connecting(proxy: Proxy, session: ZooKeeperSession, heard: Heard) -> None:
    proxy.refuse()


async def greeting(proxy: Proxy, session: ZooKeeperSession, heard: Heard) -> None:
    proxy.hold()
    await until_listened_to(proxy, 1)


async def connected(proxy: Proxy, session: ZooKeeperSession, heard: Heard) -> None:
    await heard.until(CONNECTED)


async def silent(proxy: Proxy, session: ZooKeeperSession, heard: Heard) -> None:
    await heard.until(CONNECTED)
    proxy.hold()


async def suspended(proxy: Proxy, session: ZooKeeperSession, heard: Heard) -> None:
    await heard.until(CONNECTED)
    proxy.refuse()
    await heard.until(SUSPENDED)


async def attaching_again(proxy: Proxy, session: ZooKeeperSession, heard: Heard) -> None:
    await heard.until(CONNECTED)
    proxy.hold()
    proxy.cut()
    await heard.until(SUSPENDED)
    await until_listened_to(proxy, 2)


async def failed(proxy: Proxy, session: ZooKeeperSession, heard: Heard) -> None:
    await heard.until(CONNECTED)
    session.fail("for the test")


@pytest.mark.parametrize(
    ("bring_about", "bound", "end"),
    [
        (connecting, 0.6, CLOSED),
        (greeting, 0.6, CLOSED),
        (connected, 0.6, CLOSED),
        (silent, 1.6, CLOSED),
        (suspended, 0.6, CLOSED),
        (attaching_again, 0.6, CLOSED),
        (failed, 0.6, SessionState.FAILED),
    ],
)
async def test_close_is_bounded_in_every_state_and_nothing_goes_on_after_it(
    zookeeper: Ensemble,
    bring_about: Callable[[Proxy, ZooKeeperSession, Heard], "asyncio.Future[None]"],
    bound: float,
    end: SessionState,
) -> None:
    async with no_leaks():
        with Proxy(zookeeper.servers[0].address) as proxy:
            session = session_on(proxy.address, 6.0)
            heard = Heard(session)
            task = asyncio.create_task(session.run())
            await asyncio.wait_for(bring_about(proxy, session, heard), BOUND)
            begun = time.monotonic()
            await session.close()
            took = time.monotonic() - begun
            await asyncio.wait_for(task, BOUND)  # `run` ends by itself
            print(f"close while {bring_about.__name__}: {took * 1000:.1f} ms")
            assert took < bound
            assert session.state is heard.states[-1] is end
            proxy.heal()
            await session.close()
            assert session.state is end


async def test_closing_ends_the_ephemeral_nodes_at_once(zookeeper: Ensemble) -> None:
    path = new_path()
    async with living(zookeeper.connect_string) as (other, _):
        async with living(zookeeper.connect_string, 30.0) as (session, _):
            await session.send(requests.create(path, b"", ephemeral=True))
            assert await other.send(requests.exists(path))
        with pytest.raises(NoNode):
            await other.send(requests.exists(path))


@pytest.mark.parametrize("share", [0.67, 0.9])
async def test_a_loop_blocked_for_less_than_the_session_timeout_costs_nothing(ensemble: Ensemble, share: float) -> None:
    async with living(ensemble.connect_string, 3.0) as (session, heard):
        before = session.id
        await asyncio.sleep(0.1)
        time.sleep(3.0 * share - session.heartbeat.pace)  # the last heartbeat may be that old already
        woke = boottime()
        await usable(session)
        print(f"blocked for {share:.0%} of T: usable {(boottime() - woke) * 1000:.0f} ms after the wake")
        assert boottime() - woke < 1.5
        assert session.id == before
        assert heard.states == [CONNECTED], "the server was not silent, we were deaf"


@pytest.mark.parametrize("stakes", [0, 1])
async def test_a_loop_blocked_for_longer_hears_at_once_that_the_session_has_expired(ensemble: Ensemble, stakes: int) -> None:
    async with living(ensemble.connect_string, 1.2) as (session, heard):
        for _ in range(stakes):
            session.heartbeat.hold(Stake("/", [requests.check("/", -1)], lambda error: None))
            await asyncio.wait_for(session.heartbeat.next_proof(), BOUND)
        time.sleep(1.2 + 4 * 0.2 + 0.3)
        woke = asyncio.get_running_loop().time()
        assert session.lease.deadline < boottime()
        expired = await heard.until(SessionState.EXPIRED) - woke
        print(f"blocked for longer than T: EXPIRED {expired * 1000:.0f} ms after the wake")
        assert expired < 1.5


async def test_the_first_proof_for_a_stake_begins_at_once_even_if_it_comes_during_a_heartbeat() -> None:
    beating, staked = asyncio.Event(), asyncio.Event()
    proof: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def script(server: Fake) -> None:
        await server.greet_and_relay(timeout=60.0)  # the next heartbeat is due after 7.5 s
        ping = await server.request()
        beating.set()
        await staked.wait()
        server.say(ping[:4] + struct.pack(">qi", 1, 0))
        proof.set_result(await server.answer())

    async with fake(script) as address, living(address, 60.0) as (session, _):
        await asyncio.wait_for(beating.wait(), BOUND)
        session.heartbeat.hold(Stake("/", [requests.check("/", -1)], lambda error: None))
        staked.set()
        assert await asyncio.wait_for(proof, 1.0) == Op.MULTI


async def test_a_session_cancelled_in_the_moment_of_its_attach_leaves_no_connection(zookeeper: Ensemble) -> None:
    async with no_leaks():
        session = session_on(zookeeper.connect_string)
        task = asyncio.create_task(session.run())

        def give_up() -> None:
            task.cancel()

        session.subscribe(give_up)
        await asyncio.wait({task}, timeout=BOUND)
        assert task.cancelled()


async def test_a_host_whose_start_is_cancelled_leaves_no_task() -> None:
    async with no_leaks():
        starting = asyncio.create_task(Host("test", lambda failure: None).start())
        await asyncio.sleep(0)
        starting.cancel()
        await asyncio.wait({starting})
