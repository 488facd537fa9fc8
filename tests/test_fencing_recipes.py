"""docs/fencing.md: its code is taken from there and run against the real thing, with leaders that are too late."""

import ast
import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import databases
import pytest
from aiohttp import web
from operator_client import operator
from recipes import recipe, snippets
from redis.asyncio import BlockingConnectionPool, Redis, UnixDomainSocketConnection

import aioha
from aioha import Elector, Fenced
from aioha.testing import Ensemble, Op, Proxy
from aioha.testing.fixtures import require

BOUND = 20.0


@pytest.mark.parametrize("section", ["ZooKeeper", "PostgreSQL", "Redis", "HTTP"])
def test_what_is_imported_from_aioha_exists(section: str) -> None:
    code = snippets(section)
    assert code
    for node in ast.walk(ast.parse("".join(code))):
        if isinstance(node, ast.ImportFrom) and node.module == "aioha":
            assert {name.name for name in node.names} <= set(aioha.__all__)


# ---------------------------------------------------------------------- ZooKeeper


@pytest.fixture
def orders(zookeeper: Ensemble) -> Iterator[Any]:
    """An operator's client, where two orders are open."""
    with operator(zookeeper.connect_string) as client:
        for path in ("/orders/done", "/orders/open/1", "/orders/open/2"):
            client.create(path, b"", makepath=True)
        yield client
        client.delete("/orders", recursive=True)


async def test_zookeeper_all_or_nothing_and_only_for_this_term(zookeeper: Ensemble, orders: Any) -> None:
    recipes, election = recipe("ZooKeeper"), f"/tests/{uuid.uuid4().hex}"
    with pytest.raises(aioha.LeadershipLost):
        async with Elector(zookeeper.where(election)) as elector, elector.campaign() as term:
            await recipes.finish(term, "1")
            assert orders.get("/orders/done/1")[0] == b"by term %d" % term.token
            with pytest.raises(Fenced) as raised:
                await recipes.finish(term, "1")
            assert raised.value.operation == 2
            orders.set(f"{election}.aioha", b"")  # as a takeover does, which the old leader has not heard of
            await recipes.finish_surely(term, "2")
    assert (orders.get_children("/orders/open"), orders.get_children("/orders/done")) == (["2"], ["1"])


async def test_zookeeper_a_lost_reply_is_found_out(zookeeper: Ensemble, orders: Any) -> None:
    recipes = recipe("ZooKeeper")
    with Proxy(zookeeper.servers[0].address) as link:
        where = f"zk://{link.address}/tests/{uuid.uuid4().hex}"
        async with asyncio.timeout(BOUND), Elector(where, session_timeout=8) as elector, elector.campaign() as term:
            session: Any = elector.session
            await session.current.heartbeat.next_proof()  # so that ours is the next one
            link.drop_reply(Op.MULTI)
            await recipes.finish_surely(term, "1")
            assert link.dropped == 1
            assert orders.get_children("/orders/done") == ["1"]


# ---------------------------------------------------------------------- Redis


@pytest.fixture(scope="module")
def redis_socket() -> Iterator[str]:
    hint = databases.redis_missing()
    require(hint is None, hint or "")
    with databases.redis() as socket:
        yield socket


@pytest.fixture
async def redis(redis_socket: str) -> AsyncIterator[Redis]:
    pool = BlockingConnectionPool(connection_class=UnixDomainSocketConnection, path=redis_socket, max_connections=8)
    async with Redis.from_pool(pool) as client:  # which closes the pool, too
        await client.flushall()
        yield client
    await asyncio.sleep(0)  # its transports are gone at the loop's next turn


async def test_redis_refuses_older_tokens_to_the_last_digit(redis: Redis) -> None:
    recipes = recipe("Redis")
    rising = [1, 9, 10, 11, 99, 100, 2**53, 2**53 + 1, 2**53 + 2, 2**63 - 2, 2**63 - 1]
    for older, token in itertools.pairwise(rising):
        for _ in range(2):  # a leader writes more than once
            await recipes.fenced_set(redis, "billing", token, "state", str(token))
        with pytest.raises(recipes.Stale):
            await recipes.fenced_set(redis, "billing", older, "state", "stale")
        assert await redis.get("{billing}:state") == str(token).encode()
    await recipes.fenced_set(redis, "shipping", 1, "state", "another election's")


async def test_redis_raced_by_leaders_that_do_not_stop(redis: Redis) -> None:
    recipes, refused = recipe("Redis"), list[int]()

    async def write(token: int) -> None:
        try:
            await recipes.fenced_set(redis, "billing", token, "state", str(token))
        except recipes.Stale:
            refused.append(token)
        else:
            assert int(await redis.get("{billing}:state") or 0) >= token

    await asyncio.gather(*(write(token) for token in [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5] * 20))
    assert refused
    assert await redis.get("{billing}:state") == b"9"


# ---------------------------------------------------------------------- HTTP


async def serving(app: web.Application, stack: AsyncExitStack) -> str:
    runner = web.AppRunner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}/state"


async def test_http_a_service_of_ones_own_compares_tokens() -> None:
    recipes, app = recipe("HTTP"), web.Application()
    app[recipes.HELD], app[recipes.STATE] = {}, {}
    app.router.add_put("/state", recipes.put)
    async with AsyncExitStack() as stack:
        url = await serving(app, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def status(token: int) -> int:
            async with http.put(url, data=b"%d" % token, headers={"Fencing-Token": str(token)}) as response:
                return response.status

        assert [await status(token) for token in (7, 7, 8, 7, 2**63 - 1, 8)] == [204, 204, 204, 412, 204, 412]
        assert app[recipes.STATE] == {"/state": b"%d" % (2**63 - 1)}
        results = await asyncio.gather(*(status(2**63 - 1 - n % 2) for n in range(40)))
        assert results == [204, 412] * 20


async def test_http_an_old_leader_is_refused_also_where_the_new_one_has_not_been() -> None:
    recipes, app = recipe("HTTP"), web.Application()
    app[recipes.HELD], app[recipes.STATE] = {}, {}
    app.router.add_put("/{name}", recipes.put)
    async with AsyncExitStack() as stack:
        url = await serving(app, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for path, token, expected in (("/a", 7, 204), ("/a", 8, 204), ("/b", 7, 412)):
            async with http.put(url.replace("/state", path), headers={"Fencing-Token": str(token)}) as response:
                assert response.status == expected


class Conditional:
    """Somebody else's service: it knows `ETag`, `If-Match` and `If-None-Match`, and nothing of tokens."""

    def __init__(self) -> None:
        self.body: bytes | None = None
        self.version = self.puts = 0
        self.weak = False
        self.after_get = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.app = web.Application()
        self.app.router.add_get("/state", self.get)
        self.app.router.add_put("/state", self.put)

    async def get(self, _: web.Request) -> web.Response:
        if self.body is None:
            response = web.Response(status=404)
        else:
            headers = {"ETag": f'{"W/" * self.weak}"{self.version}"', "Content-Type": "application/json"}
            response = web.Response(body=self.body, headers=headers)
        self.after_get.set()
        await self.may_answer.wait()
        return response

    async def put(self, request: web.Request) -> web.Response:
        body, headers = await request.read(), request.headers
        self.puts += 1
        passes = headers["If-Match"] == f'"{self.version}"' if "If-Match" in headers else headers["If-None-Match"] == "*"
        if not passes or (self.body is not None and "If-None-Match" in headers):
            return web.Response(status=412)
        self.body, self.version = body, self.version + 1
        return web.Response(status=204)


async def test_http_other_peoples_services_by_if_match() -> None:
    recipes, service = recipe("HTTP"), Conditional()
    async with AsyncExitStack() as stack:
        url = await serving(service.app, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await recipes.fenced_put(http, url, 7, "first")
        await recipes.fenced_put(http, url, 8, "second")
        with pytest.raises(recipes.Stale):
            await recipes.fenced_put(http, url, 7, "stale")
        assert service.version == 2
        await asyncio.gather(*(recipes.fenced_put(http, url, 8, str(n)) for n in range(10)))
        assert service.version == 12  # those that were overtaken have read again
        assert service.puts > 12


@pytest.mark.parametrize("exists", [True, False])
async def test_http_one_that_stops_between_reading_and_writing_is_refused(exists: bool) -> None:
    recipes, service = recipe("HTTP"), Conditional()
    async with asyncio.timeout(BOUND), AsyncExitStack() as stack:
        url = await serving(service.app, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        if exists:
            await recipes.fenced_put(http, url, 7, "first")
        service.after_get.clear()
        service.may_answer.clear()
        stale = asyncio.create_task(recipes.fenced_put(http, url, 7, "stale"))
        await service.after_get.wait()  # it has read what the new leader is about to change
        held, service.may_answer = service.may_answer, asyncio.Event()
        service.may_answer.set()
        await recipes.fenced_put(http, url, 8, "new")
        held.set()
        with pytest.raises(recipes.Stale):
            await stale
        assert service.body is not None
        assert b"new" in service.body


async def test_http_an_etag_that_the_service_does_not_take_is_no_reason_to_ask_for_ever() -> None:
    recipes, service = recipe("HTTP"), Conditional()
    service.weak = True
    async with asyncio.timeout(BOUND), AsyncExitStack() as stack:
        url = await serving(service.app, stack)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await recipes.fenced_put(http, url, 7, "first")
        with pytest.raises(RuntimeError, match="a weak one"):
            await recipes.fenced_put(http, url, 7, "second")
        assert service.puts == 2
