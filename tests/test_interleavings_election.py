"""Moments at which an election once went wrong: releases, seats, tokens, unclean ends, shared sessions, wiped data."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from operator_client import operator
from rawzk import end_session
from stores import BOUND, Store, leading, until, zookeeper_store

from aioha import Elector, LeadershipLost, Session, Term
from aioha.testing import Ensemble, Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(zookeeper: Ensemble) -> Store:
    return zookeeper_store(zookeeper)


class Work:
    """Work until `over`. Cancelled, it takes `cleanup` seconds to end, or until `over`."""

    def __init__(self, cleanup: float = 0.0) -> None:
        self.cleanup = cleanup
        self.term: Any = None
        self.began = asyncio.Event()
        self.told = asyncio.Event()
        self.ended = asyncio.Event()
        self.over = asyncio.Event()
        self.beside: list[Work] = []  # who was still working when this began
        self.others: list[Work] = []

    async def __call__(self, term: Term) -> None:
        self.beside += [other for other in self.others if other.began.is_set() and not other.ended.is_set()]
        self.term = term
        self.began.set()
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.told.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), self.cleanup)
            raise
        finally:
            self.ended.set()


@contextlib.asynccontextmanager
async def campaigning(elector: Elector, work: Work) -> AsyncIterator["asyncio.Task[Any]"]:
    """A campaign in a task of its own, ended with the block at the latest."""
    task = asyncio.ensure_future(leading(elector, work))
    try:
        yield task
    finally:
        work.over.set()
        task.cancel()
        await asyncio.wait({task}, timeout=BOUND)


def server_of(store: Store) -> str:
    assert store.ensemble is not None
    return store.ensemble.connect_string


async def delete(store: Store, path: str) -> None:
    with operator(server_of(store)) as client:
        await asyncio.to_thread(client.delete, path, recursive=True)


def path_of(store: Store) -> str:
    return "/" + store.where.split("/", 3)[3]


def close_session(store: Store, elector: Elector) -> None:
    """As anybody may who knows its id and password."""
    session = current(elector)
    end_session(server_of(store), session.id, session.password)


def current(elector: Elector) -> Any:
    election: Any = elector.election
    return election._sessions.current


@pytest.mark.parametrize("options", [{"record": False}, {"layout": "mooon"}], ids=["no record", "mooon"])
async def test_a_term_that_lost_its_node_leaves_the_next_ones_node_alone(store: Store, options: Any) -> None:
    first, second = Work(cleanup=BOUND), Work()
    async with (
        asyncio.timeout(BOUND),
        store.elector(identity="a", **options) as a,
        store.elector(identity="b", **options) as b,
        campaigning(a, first) as ended,
    ):
        await first.began.wait()
        async with campaigning(b, second):
            await delete(store, path_of(store))
            await second.began.wait()
            await first.told.wait()
            first.over.set()
            await asyncio.wait({ended})
            await second.term.confirm()
            assert isinstance(ended.exception(), LeadershipLost)


async def test_a_term_that_has_not_heard_of_its_loss_leaves_the_next_ones_node_alone(store: Store) -> None:
    first, second = Work(), Work()
    with Proxy(server_of(store)) as proxy:
        async with (
            asyncio.timeout(BOUND),
            Elector(f"zk://{proxy.address}{path_of(store)}", identity="a", record=False, session_timeout=10) as a,
            store.elector(identity="b", record=False) as b,
            campaigning(a, first) as ended,
        ):
            await first.began.wait()
            async with campaigning(b, second):
                await b.leader()
                await first.term.confirm()  # what a has asked for, its watch too, has been answered
                proxy.delay(0.3)
                await delete(store, path_of(store))
                await second.began.wait()
                first.over.set()  # the news is still under way
                await asyncio.wait({ended})
                await second.term.confirm()


async def test_confirm_fails_without_a_record_although_the_news_is_still_under_way(store: Store) -> None:
    first, second = Work(), Work()
    async with asyncio.timeout(BOUND), store.elector(identity="b", record=False) as b:
        with Proxy(server_of(store)) as proxy:
            async with (
                Elector(f"zk://{proxy.address}{path_of(store)}", identity="a", record=False, session_timeout=10) as a,
                campaigning(a, first),
            ):
                await first.began.wait()
                async with campaigning(b, second):
                    await b.leader()
                    await first.term.confirm()  # a's watch is set: what it tells comes before any later answer
                    proxy.delay(0.2)
                    await delete(store, path_of(store))
                    await second.began.wait()
                    with pytest.raises(LeadershipLost, match="deleted by someone else"):
                        await first.term.confirm()


@pytest.mark.parametrize("fate", ["its node is deleted", "it is resigned", "it leaves", "its session is closed"])
async def test_the_wait_after_an_unclean_end_outlives_who_wins_first_and(store: Store, fate: str) -> None:
    """a cleans up for a good part of its stop_grace of 1 s; b, with one of 0.1 s, wins and does not come to work."""
    old, new, third = Work(cleanup=0.6), Work(), Work()  # the rest is for a busy machine
    new.others = third.others = [old]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(BOUND))
        a, c = [await stack.enter_async_context(store.elector(identity=name, stop_grace=1.0)) for name in "ac"]
        await stack.enter_async_context(campaigning(a, old))
        await old.began.wait()
        async with store.elector(new, identity="b", stop_grace=0.1) as b:
            await b.leader()
            close_session(store, a)
            await until(lambda: b._campaign is not None and b._campaign.holding)
            await stack.enter_async_context(campaigning(c, third))
            await c.leader()
            if fate == "its node is deleted":
                await delete(store, path_of(store))
            elif fate == "it is resigned":
                await b.resign()
            elif fate == "its session is closed":
                close_session(store, b)
            await until(lambda: fate == "it leaves" or new.began.is_set() or third.began.is_set())
        await until(lambda: new.began.is_set() or third.began.is_set())
        assert old.ended.is_set()
        assert not new.beside
        assert not third.beside


async def test_who_is_far_away_has_its_whole_stop_grace_after_its_session_was_closed(store: Store) -> None:
    """Old and new both keep the rules; the old one hears of it some round trips later."""
    old, new = Work(cleanup=0.8), Work()
    new.others = [old]
    options: dict[str, Any] = {"session_timeout": 4.0, "stop_grace": 1.0}
    with Proxy(server_of(store)) as proxy:
        proxy.delay(0.1)
        async with (
            asyncio.timeout(BOUND),
            Elector(f"zk://{proxy.address}{path_of(store)}", identity="a", **options) as a,
            store.elector(identity="b", **options) as b,
            campaigning(a, old),
        ):
            await old.began.wait()
            async with campaigning(b, new):
                await b.leader()
                await asyncio.to_thread(close_session, store, a)
                await new.began.wait()
                assert not new.beside


async def test_tokens_rise_although_the_record_was_deleted_where_there_is_a_floor(store: Store) -> None:
    tokens: list[int] = []
    for each in range(5):
        if each == 4:
            await delete(store, f"{path_of(store)}.aioha")
        async with asyncio.timeout(BOUND), store.elector(token_floor=10**6) as elector, elector.campaign() as term:
            tokens.append(term.token)
    assert tokens == sorted(set(tokens))


async def test_one_refuted_term_spoils_no_lease_on_a_shared_session(store: Store) -> None:
    one, two, path = Work(cleanup=BOUND), Work(), path_of(store)
    async with (
        asyncio.timeout(BOUND),
        Session(f"zk://{server_of(store)}", session_timeout=2.0) as session,
        session.elector(path) as first,
        session.elector(f"{path}-2") as second,
        campaigning(first, one),
        campaigning(second, two),
    ):
        await one.began.wait()
        await two.began.wait()
        with operator(server_of(store)) as client:
            await asyncio.to_thread(client.set, f"{path}.aioha", b"{}")
        await one.told.wait()  # and goes on ending
        for _ in range(3):
            async with asyncio.timeout(1.5):
                await current(second).heartbeat.next_proof()
        assert second.is_leading


async def test_somebody_leads_again_after_the_servers_data_was_wiped() -> None:
    terms: asyncio.Queue[int] = asyncio.Queue()

    async def work(term: Term) -> None:
        terms.put_nowait(term.token)
        await asyncio.sleep(BOUND)

    async with Ensemble() as ensemble, asyncio.timeout(BOUND):
        [server] = ensemble.servers
        async with Elector(ensemble.where("/wiped"), work, session_timeout=1.0):
            before = await terms.get()
            server.kill()
            shutil.rmtree(server._home / "data" / "version-2")
            server.start()
            assert await terms.get() > before
