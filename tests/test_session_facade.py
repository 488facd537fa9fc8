"""`term.zookeeper`: aiozk's client and recipes on a session of ours, without the habits that hurt."""

import asyncio
from typing import Any

import pytest
from aiozk import WatchEvent, exc
from aiozk.recipes.counter import Counter
from aiozk.recipes.data_watcher import DataWatcher
from aiozk.recipes.lock import Lock
from livesession import BOUND, living, new_path, session_on, usable

from aioha.session import SessionState
from aioha.testing import Ensemble, Op, Proxy, no_leaks
from aioha.wire import requests
from aioha.wire.client import client_on

pytestmark = pytest.mark.anyio


def on(client: Any, recipe: Any) -> Any:
    recipe.set_client(client)
    return recipe


async def test_reads_and_writes(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, _), living(zookeeper.connect_string) as (other, _):
        client, path = client_on(session), new_path()
        assert await client.create(path, b"one") == path
        await other.send(requests.set_data(path, b"two"))  # behind the back of aiozk's cache of versions
        data, stat = await client.get(path)
        assert (data, stat.version) == (b"two", 1)
        await other.send(requests.set_data(path, b"three"))
        await client.set_data(path, b"four")
        assert await client.get_data(path) == b"four"
        with pytest.raises(exc.BadVersion):
            await client.set(path, b"five", 1)
        assert await client.create(f"{path}/child-", sequential=True) == f"{path}/child-0000000000"
        assert await client.get_children(path) == ["child-0000000000"]
        with pytest.raises(exc.NotEmpty):
            await client.delete(path)
        await other.send(requests.set_data(f"{path}/child-0000000000", b"new"))
        await client.delete(f"{path}/child-0000000000")
        await client.deleteall(path)
        assert not await client.exists(path)
        with pytest.raises(exc.NoNode):
            await client.get(path)


async def test_no_data_is_empty_data_and_never_null_whoever_makes_the_node(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, _):
        client, path = client_on(session), new_path()
        await client.create(path)
        await client.ensure_path(f"{path}/by/ensure_path")
        async with client.begin_transaction() as transaction:
            transaction.create(f"{path}/in-a-transaction")
        await client.create(f"{path}/set", b"something")
        await client.set_data(f"{path}/set", None)
        for name in ("", "/by", "/by/ensure_path", "/in-a-transaction", "/set"):
            assert await client.get_data(path + name) == b""


async def test_a_failed_transaction_raises_and_does_nothing(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, _):
        client, path = client_on(session), new_path()
        async with client.begin_transaction() as transaction:
            transaction.create(path, b"x")
            transaction.check_version(path, 0)
            transaction.set_data(path, b"y", 0)
        assert await client.get_data(path) == b"y"
        with pytest.raises(exc.TransactionFailed):
            async with client.begin_transaction() as transaction:
                transaction.delete(path)
                transaction.check_version(path, 7)
        assert await client.exists(path)


async def test_a_watch_wakes_who_waits_for_its_event_also_across_a_reconnect(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard), living(zookeeper.connect_string) as (other, _):
            client, path = client_on(session), new_path()
            created = client.wait_for_events([WatchEvent.CREATED], path)
            assert not await client.exists(path, watch=True)
            proxy.cut()
            await heard.until(SessionState.CONNECTED, after=await heard.until(SessionState.SUSPENDED))
            await usable(session)
            assert not created.done()
            await other.send(requests.create(path, b""))
            await asyncio.wait_for(created, BOUND)
            changed = client.wait_for_events([WatchEvent.DATA_CHANGED, WatchEvent.DELETED], path)
            assert await client.get_data(path, watch=True) == b""
            await other.send(requests.delete(path))
            await asyncio.wait_for(changed, BOUND)


async def test_the_end_of_the_session_wakes_who_waits_for_an_event(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, _):
        client, path = client_on(session), new_path()
        waiting = client.wait_for_events([WatchEvent.CREATED], path)
        assert not await client.exists(path, watch=True)
        await session.close()
        await asyncio.wait_for(waiting, 1.0)
        with pytest.raises(exc.SessionExpired):
            await client.exists(path)


async def test_closing_the_facade_closes_nothing(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, heard):
        client = client_on(session)
        await client.start()
        await client.close()
        assert await client.exists("/zookeeper")
        assert heard.states == [SessionState.CONNECTED]


async def test_a_request_made_while_down_waits_for_a_server_and_is_sent_once(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard):
            client, path = client_on(session), new_path()
            proxy.refuse()
            await heard.until(SessionState.SUSPENDED)
            creating = asyncio.create_task(client.create(path))
            await asyncio.sleep(0.2)
            proxy.heal()
            assert await asyncio.wait_for(creating, BOUND) == path
            assert proxy.requests[Op.CREATE2] == 1


@pytest.mark.parametrize("watch", [False, True])
async def test_failures_of_the_link_are_told_in_aiozks_exceptions(zookeeper: Ensemble, watch: bool) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address, 1.0) as (session, _):
            client = client_on(session)
            proxy.drop_reply(Op.EXISTS)
            with pytest.raises(exc.ConnectionLoss):
                await client.exists("/", watch=watch)
            await usable(session)
    down = session_on("127.0.0.1:1", 0.3)  # never runs
    with pytest.raises(exc.OperationTimeout):
        await asyncio.wait_for(client_on(down).exists("/", watch=watch), BOUND)


async def test_aiozks_lock_excludes_and_is_released_without_a_complaint(zookeeper: Ensemble) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    async with no_leaks(), living(zookeeper.connect_string) as (one, _), living(zookeeper.connect_string) as (two, _):
        path = new_path()
        first, second = on(client_on(one), Lock(path)), on(client_on(two), Lock(path))
        await first.acquire(timeout=5)
        waiting = asyncio.create_task(second.acquire(timeout=10))
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting), 0.3)
        await first.release()
        await asyncio.wait_for(waiting, BOUND)
        assert second.locked()
        async with asyncio.timeout(BOUND):
            await second.release()
    assert complaints == []


async def test_aiozks_counter_counts(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (one, _), living(zookeeper.connect_string) as (two, _):
        path = new_path()
        counters = [on(client_on(session), Counter(path)) for session in (one, two)]
        for counter in counters:
            await counter.start()
        await asyncio.wait_for(asyncio.gather(*(counter.incr() for counter in counters for _ in range(10))), BOUND)
        assert await counters[0].get_value() == 20


async def test_aiozks_data_watcher_follows_through_a_reconnect(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard), living(zookeeper.connect_string) as (other, _):
            path = new_path()
            await other.send(requests.create(path, b"0"))
            seen: asyncio.Queue[Any] = asyncio.Queue()
            watcher = on(client_on(session), DataWatcher())
            watcher.add_callback(path, seen.put_nowait)
            for number in range(3):
                assert await asyncio.wait_for(seen.get(), BOUND) == b"%d" % number
                cut = asyncio.get_running_loop().time()
                proxy.cut()
                await heard.until(SessionState.SUSPENDED, after=cut)
                await heard.until(SessionState.CONNECTED, after=cut)
                await other.send(requests.set_data(path, b"%d" % (number + 1)))
            loops = list(watcher.loops.values())
            watcher.remove_callback(path, seen.put_nowait)
            await asyncio.wait(loops, timeout=BOUND)
