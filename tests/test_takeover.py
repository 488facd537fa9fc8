"""Standing ready: heartbeats that let a bid's own reply prove the lease, and bids that leave in the tick of the event."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from livesession import living
from stores import BOUND, Store, leading, stands_ready, until, zookeeper_store

from aioha import Elector, Term
from aioha.elections.zookeeper.takeover import Takeover
from aioha.testing import Ensemble, Op, Proxy
from aioha.wire import requests

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(zookeeper: Ensemble) -> Store:
    return zookeeper_store(zookeeper)


def current(elector: Elector) -> Any:
    election: Any = elector.election
    return election._sessions.current


@contextlib.asynccontextmanager
async def a_leader_and_a_standby(store: Store, **options: Any) -> AsyncIterator[tuple[Elector, Elector]]:
    """The first one leads until it resigns; the second has not begun to campaign."""

    async def lead(elector: Elector) -> None:
        with contextlib.suppress(Exception):
            await leading(elector, lambda term: asyncio.sleep(BOUND))

    async with (
        asyncio.timeout(BOUND),
        store.elector(identity="leader") as leader,
        store.elector(identity="standby", **options) as standby,
    ):
        task = asyncio.create_task(lead(leader))
        await until(lambda: leader.is_leading)
        yield leader, standby
        await task


def spy(elector: Elector) -> list[int]:
    """The op codes that this elector sends from now on."""
    connection, sent = current(elector).connection, list[int]()
    send = connection.send

    def sending(request: Any, then: Any = None) -> Any:
        sent.append(request.opcode)
        return send(request, then)

    connection.send = sending
    return sent


async def test_work_begins_on_the_reply_to_the_bid(store: Store) -> None:
    async with a_leader_and_a_standby(store) as (leader, standby):
        at_start: list[int] = []

        async def body(term: Term) -> None:
            at_start.extend(sent)
            assert term.remaining > 1.0

        task = asyncio.create_task(leading(standby, body))
        await until(lambda: stands_ready(standby))
        await asyncio.sleep(current(standby).timeout * 0.7)  # so that the attach itself is of no use any more
        sent = spy(standby)
        await leader.resign()
        await task
        beats = at_start[: at_start.index(Op.MULTI) - 1]
        assert set(beats) <= {Op.SYNC}
        assert at_start[len(beats) :] == [Op.GET_DATA, Op.MULTI]


async def test_a_lease_that_would_not_reach_far_enough_is_proved_by_c(store: Store) -> None:
    async with a_leader_and_a_standby(store, stop_grace=1.0) as (leader, standby):
        at_start: list[int] = []

        async def body(term: Term) -> None:
            at_start.extend(sent)

        task = asyncio.create_task(leading(standby, body))
        await until(lambda: stands_ready(standby))
        await asyncio.sleep(current(standby).timeout * 0.7)
        bidder: Any = standby.election
        bidder._bidder._prepared._enough = current(standby).timeout  # more than what any heartbeat can have prepared
        sent = spy(standby)
        await leader.resign()
        await task
        after = at_start[at_start.index(Op.MULTI) :]
        assert after[:2] == [Op.MULTI, Op.SYNC]


def then(what: Callable[[Takeover], object]) -> Callable[[Takeover], None]:
    send = Takeover.send

    def sending(takeover: Takeover) -> None:
        send(takeover)
        what(takeover)

    return sending


async def test_a_bid_whose_connection_is_lost_in_the_tick_in_which_it_is_sent(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have won: that is learnt on the next connection, and no second bid is sent before."""
    async with a_leader_and_a_standby(store) as (leader, standby):
        task = asyncio.create_task(leading(standby, lambda term: asyncio.sleep(0)))
        await until(lambda: stands_ready(standby))
        monkeypatch.setattr(
            Takeover, "send", then(lambda takeover: current(standby).connection.abort("lost behind the bid"))
        )
        await leader.resign()
        monkeypatch.undo()
        await task


async def test_a_campaign_cancelled_in_the_tick_in_which_its_bid_is_sent_leaves_nothing_behind(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_leader_and_a_standby(store) as (leader, standby):
        task = asyncio.create_task(leading(standby, lambda term: asyncio.sleep(BOUND)))
        await until(lambda: stands_ready(standby))
        monkeypatch.setattr(Takeover, "send", then(lambda takeover: task.cancel()))
        await leader.resign()
        await asyncio.wait({task})  # who resigns may hear of it before the standby does
        monkeypatch.undo()
        assert task.cancelled()
        assert await standby.leader() is None
        async with leader.campaign():
            pass


# ---------------------------------------------------------------------- heartbeats


async def test_who_stands_ready_beats_with_sync_and_everybody_else_pings(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.connect_string) as proxy:
        async with living(proxy.address, 1.6) as (session, _):

            async def beats() -> tuple[bool, bool]:
                await asyncio.sleep(session.heartbeat.pace * 1.5)  # one beat may be under way
                before = proxy.requests
                await until(lambda: (proxy.requests - before).total() > 1)
                made = proxy.requests - before
                return made[Op.PING] > 0, made[Op.SYNC] > 0

            assert await beats() == (True, False)
            first, second = session.heartbeat.stand_ready("/a"), session.heartbeat.stand_ready("/a")
            assert await beats() == (False, True)
            first()
            first()
            assert await beats() == (False, True), "the other one still stands ready"
            second()
            assert await beats() == (True, False)


async def test_where_one_server_is_all_nobody_needs_sync(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.connect_string) as proxy:
        async with living(proxy.address, 1.6) as (session, _):
            session.lease._pings_prove = True
            await session.send(requests.ping())  # all that it asked before has passed
            before = proxy.requests
            session.heartbeat.stand_ready("/a")
            await until(lambda: (proxy.requests - before)[Op.PING] > 1)
            assert (proxy.requests - before)[Op.SYNC] == 0
