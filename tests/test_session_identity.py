"""One session id from birth to death: whoever answers with another one, takes it, or ends it, is noticed."""

import asyncio
import struct

import pytest
from livesession import BOUND, Fake, Heard, Stranger, fake, living, new_path, session_on, usable

from aioha.heartbeat import Stake
from aioha.session import SessionState
from aioha.testing import Ensemble, Op, Proxy
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss, ResponseError, SessionExpired

pytestmark = pytest.mark.anyio


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("through", ["the same server", "another server"])
async def test_a_session_that_a_stranger_closed_is_expired_at_once(ensemble: Ensemble, through: str) -> None:
    first, second, _ = ensemble.servers
    address = (first if through == "the same server" else second).address
    async with living(first.address) as (session, heard):
        begun = now()
        with Stranger(address, session) as stranger:
            assert stranger.session == session.id
            stranger.send(struct.pack(">ii", 1, Op.CLOSE))
        expired = await heard.until(SessionState.EXPIRED) - begun
        print(f"closed by a stranger through {through}: EXPIRED after {expired * 1000:.0f} ms")
        assert expired < 0.5
        with pytest.raises(SessionExpired):
            session.send(requests.ping())
        assert session.lease.anchor(now()) is None
    assert session.state is SessionState.EXPIRED


async def test_the_server_is_asked_for_the_same_session_at_every_attach_and_another_one_is_refused() -> None:
    asked: list[int] = []

    async def script(server: Fake) -> None:
        granted = 8 if len(asked) in (1, 2) else 7  # confused twice
        asked.append(await server.greet(granted))
        if granted == 7 and len(asked) < 4:
            await server.answer()
            return
        while granted == 7:
            await server.answer()
        await server.reader.read(1)

    async with fake(script) as address, living(address) as (session, heard):
        async with asyncio.timeout(BOUND):
            while len(asked) < 4 or session.state is not SessionState.CONNECTED:
                await asyncio.sleep(0.01)
        assert asked == [0, 7, 7, 7]
        assert session.id == 7
        assert SessionState.EXPIRED not in heard.states


async def test_a_connect_request_that_is_not_answered_once_does_not_change_the_session(ensemble: Ensemble) -> None:
    with Proxy(ensemble.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard):
            before, path = session.id, new_path()
            await session.send(requests.create(path, b"", ephemeral=True))
            proxy.silence()  # accepts, and never answers
            lost = now()
            proxy.cut()
            await heard.until(SessionState.SUSPENDED, after=lost)
            async with asyncio.timeout(BOUND):
                while proxy.accepted < 3:  # one ConnectRequest was given up, the next is under way
                    await asyncio.sleep(0.01)
            proxy.heal()
            again = await usable(session) - lost
            print(f"ConnectRequest unanswered: usable {again:.2f} s after the cut")
            assert session.id == before
            assert SessionState.EXPIRED not in heard.states
            assert requests.stat_of(await session.send(requests.exists(path))).owner == before


@pytest.mark.parametrize("op", ["write", "multi"])
async def test_a_request_refused_because_the_session_was_moved_makes_us_attach_again(ensemble: Ensemble, op: str) -> None:
    """The server that has lost the session answers pings all the same; on a write it ends the connection."""
    first, second = ensemble.followers()
    async with living(first.address) as (session, heard):
        path, before = new_path(), session.id
        await session.send(requests.create(path, b""))
        with Stranger(second.address, session) as stranger:
            assert stranger.session == before
            moved = now()
            request = requests.set_data(path, b"1") if op == "write" else requests.multi(requests.check(path, -1))
            with pytest.raises(ConnectionLoss):
                await asyncio.wait_for(session.send(request), BOUND)
            await heard.until(SessionState.SUSPENDED, after=moved)
            again = await usable(session) - moved
            print(f"SESSIONMOVED ({op}): usable after {again * 1000:.0f} ms")
            assert session.id == before


async def test_a_moved_session_refutes_nobody_who_rests_on_it(ensemble: Ensemble) -> None:
    """Else a term would end, as if another candidate had taken over, because of a slow server."""
    first, second = ensemble.followers()
    async with living(first.address, 2.0) as (session, heard):
        path = new_path()
        await session.send(requests.create(path, b"", ephemeral=True))
        refuted: list[ResponseError] = []
        session.heartbeat.hold(Stake(path, [requests.check(path, 0)], refuted.append))
        await asyncio.wait_for(session.heartbeat.next_proof(), BOUND)
        moved = now()
        with Stranger(second.address, session):
            await heard.until(SessionState.SUSPENDED, after=moved)
            await heard.until(SessionState.CONNECTED, after=moved)
            await asyncio.wait_for(session.heartbeat.next_proof(), BOUND)
        assert refuted == []


async def test_a_server_that_thaws_and_answers_an_abandoned_connect_request_late_leaves_us_usable(
    ensemble: Ensemble,
) -> None:
    slow, other = ensemble.followers()
    async with living(other.address, 6.0) as (session, heard):
        before, path = session.id, new_path()
        await session.send(requests.create(path, b"", ephemeral=True))
        slow.freeze()
        with Stranger(slow.address, session, wait=False) as late:  # as we were, when we gave it up and went elsewhere
            await asyncio.sleep(0.3)  # shorter than the ensemble itself does without it
            slow.thaw()
            await asyncio.to_thread(late.receive)  # now the session is there, on a connection that nobody listens to
            moved = now()
            await usable(session)
            print(f"late answer to an abandoned ConnectRequest: usable {(now() - moved) * 1000:.0f} ms after it")
            assert now() - moved < 1.0
        assert session.id == before
        assert SessionState.EXPIRED not in heard.states
        assert requests.stat_of(await session.send(requests.exists(path))).owner == before


async def test_two_holders_of_one_session_do_not_chase_each_other_off_in_a_tight_loop(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, heard):
        twin = session_on(zookeeper.connect_string)
        twin.id, twin.password = session.id, session.password
        twin.lease.attached(0.0, 6.0, created=False)
        twin_heard = Heard(twin)
        task = asyncio.create_task(twin.run())
        await asyncio.sleep(2.0)
        attached = len(heard.changes) + len(twin_heard.changes)
        print(f"two holders of one session: {attached} changes of state in 2 s")
        assert attached < 100  # without a pause it was thousands
        twin.fail("given up")
        await asyncio.wait_for(task, 2.0)
        await usable(session)
