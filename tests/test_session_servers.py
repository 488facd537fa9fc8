"""Servers that die, freeze and come back: the session is kept, and usable again soon.

Bounds are multiples of what was measured on a quiet host; figures are printed (`pytest -s`).
"""

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from livesession import BOUND, living, new_path, usable

from aioha.session import NotAttached, SessionState
from aioha.testing import Ensemble, Proxy, Server
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss

pytestmark = pytest.mark.anyio


def begin_with(server: Server, ensemble: Ensemble) -> str:
    """All servers, this one first."""
    return ",".join([server.address, *(each.address for each in ensemble.servers if each is not server)])


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("run", range(2))
async def test_after_the_connected_server_is_killed_the_session_is_usable_again_at_once(
    ensemble: Ensemble, run: int
) -> None:
    victim = ensemble.followers()[run % 2]
    async with living(begin_with(victim, ensemble), 6.0) as (session, heard):
        before = session.id
        victim.freeze()  # so that the request is surely in flight when its server dies
        in_flight = session.send(requests.create(new_path(), b""))
        victim.kill()
        killed = now()
        with pytest.raises(ConnectionLoss):
            await asyncio.wait_for(in_flight, BOUND)
        failed = now() - killed
        again = await usable(session) - killed
        print(f"killed: request failed after {failed * 1000:.1f} ms, usable after {again * 1000:.0f} ms")
        assert failed < 1.0
        assert again < 1.5
        assert session.id == before
        assert heard.states == [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED]


async def test_the_ensembles_leader_killed_costs_one_election(ensemble: Ensemble) -> None:
    victim = ensemble.leader()
    async with living(begin_with(victim, ensemble), 6.0) as (session, _):
        before, killed = session.id, now()
        victim.kill()
        again = await usable(session) - killed
        print(f"leader killed: usable after {again:.2f} s")
        assert again < 3.0  # an election takes 0.4 to 0.6 s on a quiet host
        assert session.id == before


async def test_suspended_is_told_in_the_tick_in_which_the_end_of_the_stream_is_read(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, _):
            seen: list[tuple[SessionState, SessionState, bool]] = []
            in_flight: list[asyncio.Future[Any]] = []

            def watched(end: Callable[..., Any]) -> Callable[..., Any]:
                def run(*arguments: Any) -> Any:
                    before = session.state
                    result = end(*arguments)
                    seen.append((before, session.state, in_flight[0].done()))
                    return result

                return run

            connection: Any = session.connection
            for name in ("eof_received", "connection_lost"):
                setattr(connection, name, watched(getattr(connection, name)))
            proxy.hold()
            in_flight.append(session.send(requests.exists("/")))
            proxy.cut()
            with pytest.raises(ConnectionLoss):
                await asyncio.wait_for(in_flight[0], BOUND)
            assert seen[0] == (SessionState.CONNECTED, SessionState.SUSPENDED, True)
            with pytest.raises(NotAttached):
                session.send(requests.exists("/"))
            proxy.heal()


@pytest.mark.parametrize(("timeout", "runs"), [(6.0, 2), (2.0, 2)])
async def test_a_frozen_follower_is_left_within_a_third_of_the_session_timeout(
    ensemble: Ensemble, timeout: float, runs: int
) -> None:
    for run in range(runs):
        victim = ensemble.followers()[0]
        async with living(begin_with(victim, ensemble), timeout) as (session, _):
            await asyncio.sleep(session.heartbeat.pace * (run + 0.2) / runs)  # at another moment between heartbeats
            before, frozen = session.id, now()
            victim.freeze()
            async with asyncio.timeout(BOUND):
                while session.server in (victim.address, None):
                    await _next_change(session)
            again = now() - frozen
            print(f"frozen follower, T={timeout:g}: attached elsewhere after {again:.2f} s")
            assert again < timeout / 3 + 0.5  # which a busy machine may take
            assert session.id == before
            await usable(session)
        ensemble.restore()


async def test_all_servers_unreachable_for_three_seconds(ensemble: Ensemble) -> None:
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(server.address)) for server in ensemble.servers]
        async with living(",".join(proxy.address for proxy in proxies), 15.0) as (session, heard):
            before, down = session.id, now()
            for proxy in proxies:
                proxy.refuse()
            noticed = await heard.until(SessionState.SUSPENDED, after=down) - down
            await asyncio.sleep(3.0)
            back = now()
            for proxy in proxies:
                proxy.heal()
            again = await usable(session) - back
            print(f"all down 3 s: noticed after {noticed * 1000:.1f} ms, usable {again:.2f} s after they are back")
            assert noticed < 1.0
            assert again < 0.5 + 1.0
            assert session.id == before


async def test_all_servers_killed_for_ten_seconds_cost_neither_the_session_nor_the_cpu(ensemble: Ensemble) -> None:
    async with living(ensemble.connect_string, 15.0) as (session, _):
        before, path = session.id, new_path()
        await session.send(requests.create(path, b"", ephemeral=True))
        for server in ensemble.servers:
            server.kill()
        await asyncio.sleep(0.2)
        begun, cpu = time.monotonic(), time.process_time()
        await asyncio.sleep(10.0)
        share = (time.process_time() - cpu) / (time.monotonic() - begun)
        for server in ensemble.servers:
            server.start()
        started = now()
        await ensemble.ready()
        back = now()
        again = await usable(session)
        print(
            f"all down 10 s: CPU {share:.2%}, usable {again - back:+.2f} s after all serve, "
            f"{again - started:.2f} s after their start"
        )
        assert share < 0.02
        assert again - back < 0.6
        assert session.id == before
        assert requests.stat_of(await session.send(requests.exists(path))).owner == before


async def test_a_black_hole_beside_a_server_that_comes_back_does_not_hide_it(zookeeper: Ensemble) -> None:
    """One server's connects are never answered: a round over all servers must not last as long as that one's patience."""
    with Proxy(zookeeper.servers[0].address) as proxy, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = [_filler(deaf.getsockname()) for _ in range(4)]  # its queue is full: the kernel drops further SYNs
        async with living(f"{proxy.address},127.0.0.1:{deaf.getsockname()[1]}", 4.0) as (session, heard):
            before = session.id
            proxy.refuse()
            await heard.until(SessionState.SUSPENDED)
            await asyncio.sleep(0.1)
            proxy.heal()
            healed = now()
            again = await usable(session) - healed
            print(f"black hole beside it, T=4: usable {again:.2f} s after the other is back")
            assert again < 1.5
            assert session.id == before
        for filler in fillers:
            filler.close()


def _filler(address: Any) -> socket.socket:
    filler = socket.socket()
    filler.setblocking(False)
    filler.connect_ex(address)
    return filler


async def _next_change(session: Any) -> None:
    changed = asyncio.Event()
    unsubscribe = session.subscribe(changed.set)
    try:
        await changed.wait()
    finally:
        unsubscribe()
