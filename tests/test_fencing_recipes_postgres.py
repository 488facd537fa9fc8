"""docs/fencing.md on PostgreSQL: leaders that are too late, at every moment that matters, and all at once."""

import asyncio
import itertools
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import databases
import psycopg
import pytest
from recipes import recipe, snippets

from aioha.testing.fixtures import require

BOUND = 20.0
Connection = psycopg.AsyncConnection[Any]

TABLES = """
CREATE TABLE account (name text PRIMARY KEY, balance bigint);
INSERT INTO account VALUES ('a', 100);
CREATE TABLE published (name text PRIMARY KEY, value text, token bigint);
INSERT INTO published VALUES ('n', '', 0);
CREATE TABLE written (id bigserial PRIMARY KEY, token bigint);
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    hint = databases.postgres_missing()
    require(hint is None, hint or "")
    with databases.postgres() as connect_string:
        yield connect_string


@pytest.fixture
async def connections(server: str) -> AsyncIterator[list[Connection]]:
    """Connections to a fresh database that holds the tables of the recipes."""
    name = f"d{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:

        async def connect(where: str) -> Connection:
            return await stack.enter_async_context(await psycopg.AsyncConnection.connect(where, autocommit=True))

        await (await connect(server)).execute(f"CREATE DATABASE {name}".encode())
        opened = [await connect(re.sub("dbname=.*", f"dbname={name}", server)) for _ in range(6)]
        (tables,) = snippets("PostgreSQL", "sql")
        await opened[0].execute((tables + TABLES).encode())
        yield opened


async def value(connection: Connection, query: str) -> Any:
    row = await (await connection.execute(query.encode())).fetchone()
    return row[0] if row is not None else None


async def blocked(connection: Connection, looking: Connection) -> None:
    """Wait until the server says that this connection waits for another one's lock."""
    pid = connection.info.backend_pid
    async with asyncio.timeout(BOUND):
        while not await value(looking, f"SELECT cardinality(pg_blocking_pids({pid}))"):
            await asyncio.sleep(0.005)


async def test_refuses_older_tokens(connections: list[Any]) -> None:
    recipes, (old, new, *_) = recipe("PostgreSQL"), connections
    for connection, token in ((old, 7), (old, 7), (new, 8), (new, 2**63 - 1)):
        await recipes.pay(connection, token, "a", 10)
    with pytest.raises(recipes.Stale):
        await recipes.pay(old, 8, "a", 10)
    assert await value(new, "SELECT balance FROM account") == 60
    await recipes.publish(new, 8, "n", "eight")
    with pytest.raises(recipes.Stale):
        await recipes.publish(old, 7, "n", "seven")
    assert await value(new, "SELECT value FROM published") == "eight"


@pytest.mark.parametrize("new_guard", ["guard", "begin"])
@pytest.mark.parametrize("old_guard", ["guard", "shared_guard"])
async def test_a_takeover_waits_for_what_has_passed_and_shuts_out_the_rest(
    connections: list[Any], old_guard: str, new_guard: str
) -> None:
    recipes, (old, late, new, looking, *_) = recipe("PostgreSQL"), connections
    await recipes.begin(old, "billing", 7)
    async with old.transaction():
        await getattr(recipes, old_guard)(old, "billing", 7)  # ... and here the old leader is stopped

        async def take_over() -> None:
            async with new.transaction():
                await getattr(recipes, new_guard)(new, "billing", 8)

        taking = asyncio.create_task(take_over())
        await blocked(new, looking)
        assert not taking.done()
        await old.execute("INSERT INTO written (token) VALUES (7)")
    await taking
    with pytest.raises(recipes.Stale):
        async with late.transaction():
            await getattr(recipes, old_guard)(late, "billing", 7)
    assert await value(looking, "SELECT token FROM fence") == 8


@pytest.mark.parametrize("guard", ["guard", "shared_guard"])
async def test_one_that_waited_for_the_takeover_is_refused(connections: list[Any], guard: str) -> None:
    """It looks at the row as the new leader has left it, not as it was when it began to wait."""
    recipes, (old, new, looking, *_) = recipe("PostgreSQL"), connections
    await recipes.begin(old, "billing", 7)

    async def too_late() -> None:
        async with old.transaction():
            await getattr(recipes, guard)(old, "billing", 7)

    async with new.transaction():
        await recipes.guard(new, "billing", 8)
        writing = asyncio.create_task(too_late())
        await blocked(old, looking)
    with pytest.raises(recipes.Stale):
        await writing


async def test_a_leader_shares_its_guard_with_itself(connections: list[Any]) -> None:
    recipes, (one, two, *_) = recipe("PostgreSQL"), connections
    await recipes.begin(one, "billing", 7)
    async with asyncio.timeout(BOUND), one.transaction(), two.transaction():
        await recipes.shared_guard(one, "billing", 7)
        await recipes.shared_guard(two, "billing", 7)


@pytest.mark.parametrize("guard", ["guard", "shared_guard"])
async def test_raced_by_leaders_that_do_not_stop(connections: list[Any], guard: str) -> None:
    """What was written lies in the order of the tokens; without a guard it does not."""
    recipes, tokens, refused = recipe("PostgreSQL"), itertools.count(1), list[int]()

    async def term(connection: Connection, token: int, *, guarded: bool) -> None:
        if guarded:
            await recipes.begin(connection, "billing", token)
        for _ in range(10):
            async with connection.transaction():
                if guarded:
                    await getattr(recipes, guard)(connection, "billing", token)
                await connection.execute("INSERT INTO written (token) VALUES (%s)", (token,))

    async def terms(connection: Connection, *, guarded: bool) -> None:
        for _ in range(15):
            token = next(tokens)
            try:
                await term(connection, token, guarded=guarded)
            except recipes.Stale:
                refused.append(token)

    async def ordered(*, guarded: bool) -> bool:
        await connections[0].execute("TRUNCATE written")
        await asyncio.gather(*(terms(connection, guarded=guarded) for connection in connections))
        rows = await (await connections[0].execute("SELECT token FROM written ORDER BY id")).fetchall()
        written = [token for (token,) in rows]
        assert len(written) >= 5
        return written == sorted(written)

    assert await ordered(guarded=True)
    assert refused
    assert not await ordered(guarded=False)
