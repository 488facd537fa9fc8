"""Replies that come late, get lost or are read too late, and what a candidate says of itself then and afterwards."""

import asyncio
import threading
import time
from typing import Any

import pytest
from livesession import Fake, fake
from stores import BOUND, Store, leading, until, zookeeper_store

from aioha import Elector, LeadershipLost, Term, TermEnded, Unavailable
from aioha.clock import boottime
from aioha.lease import Anchor
from aioha.testing import Ensemble, Op, Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(zookeeper: Ensemble) -> Store:
    return zookeeper_store(zookeeper)


def current(elector: Elector) -> Any:
    election: Any = elector.election
    return election._sessions.current


async def proof_takes_two_round_trips(elector: Elector) -> None:
    """From here on a committed write alone proves nothing: a `sync` follows its reply."""
    session = current(elector)

    def relayed() -> bool:
        anchor = session.lease.anchor(boottime())
        return anchor is not None and anchor.needs_relay

    await until(relayed)


async def asked_the_ensemble(elector: Elector) -> None:
    """A bid or a proof has just been sent, and its reply not been read. Nothing but a look each turn shows that."""
    while not any(request.opcode == Op.MULTI for request in current(elector).connection._pending):
        await asyncio.sleep(0)


def answer_and_die(store: Store) -> None:
    """The loop is blocked while the server answers what is under way; then the server is gone."""
    assert store.ensemble is not None
    time.sleep(0.2)
    store.ensemble.servers[0].kill()


async def restart(store: Store) -> None:
    assert store.ensemble is not None
    store.ensemble.servers[0].start()
    await store.ensemble.ready()


@pytest.mark.parametrize("needs_c", [False, True])
async def test_a_bid_whose_connection_ends_right_behind_the_reply_goes_on(store: Store, needs_c: bool) -> None:
    won = asyncio.Event()

    async def body(term: Term) -> None:
        won.set()

    async with store.elector(identity="us") as elector, asyncio.timeout(BOUND):
        async with elector.campaign():
            pass  # so that the record is there
        await proof_takes_two_round_trips(elector)
        if needs_c:  # as where heartbeats have prepared too little
            election: Any = elector.election
            election._bidder._enough = lambda session: BOUND
        task = asyncio.create_task(leading(elector, body))
        await asked_the_ensemble(elector)
        answer_and_die(store)
        await restart(store)
        await task
        assert won.is_set()


async def test_a_confirm_whose_connection_ends_right_behind_the_reply_is_unavailable(store: Store) -> None:
    async with store.elector(identity="us") as elector, asyncio.timeout(BOUND), elector.campaign() as term:
        await proof_takes_two_round_trips(elector)
        asked = asyncio.create_task(term.confirm())
        await asyncio.sleep(0)
        answer_and_die(store)
        with pytest.raises(Unavailable):
            await asked
        await restart(store)


async def test_a_cancelled_bid_whose_reply_was_lost_is_withdrawn_after_an_outage(store: Store) -> None:
    assert store.ensemble is not None
    server = store.ensemble.servers[0]
    with Proxy(server.address) as proxy:
        where = store.where.replace(server.address, proxy.address)
        async with asyncio.timeout(BOUND), Elector(where, identity="us", session_timeout=1.0) as elector:
            async with elector.campaign():
                pass  # so that the record is there
            proxy.drop_reply(Op.MULTI)
            task = asyncio.create_task(leading(elector, lambda term: asyncio.sleep(BOUND)))
            await until(lambda: proxy.dropped > 0)
            server.kill()
            task.cancel()
            await asyncio.wait({task})
            await restart(store)
            await current(elector).attached()
            async with asyncio.timeout(5), store.elector(identity="other", session_timeout=1.0) as other, other.campaign():
                pass


# ---------------------------------------------------------------------- what is said


@pytest.mark.parametrize("asker", ["the loop", "a thread"])
async def test_a_term_once_found_over_stays_over_although_a_late_proof_renews_the_lease(store: Store, asker: str) -> None:
    """The proof's last reply lay unread while the loop was blocked until the lease was over."""
    blocked, checked = 0.0, list[str]()

    def clock() -> float:
        return boottime() + blocked

    def check(term: Term) -> None:
        try:
            term.check()
        except TermEnded:
            checked.append("over")
        else:
            checked.append("stands")

    async with store.elector(clock=clock) as elector:
        with pytest.raises(LeadershipLost):
            async with elector.campaign() as term:
                check(term)
                blocked = 60.0
                if asker == "the loop":
                    check(term)
                else:
                    thread = threading.Thread(target=check, args=(term,))
                    thread.start()
                    thread.join(BOUND)
                current(elector).lease.proved(Anchor(clock(), needs_relay=False))
                check(term)
                assert not elector.is_leading
        assert checked == ["stands", "over", "over"]


async def test_a_term_that_has_ended_has_no_time_remaining(store: Store) -> None:
    async with store.elector() as elector:
        async with elector.campaign() as term:
            assert term.remaining > 0
        assert term.remaining <= 0


async def test_entering_waits_little_for_the_first_look_once_connected() -> None:
    async def connects_and_says_no_more(server: Fake) -> None:
        await server.greet(timeout=30.0)
        await server.reader.read()

    async with fake(connects_and_says_no_more) as address:
        begun = time.monotonic()
        async with Elector(f"zk://{address}/x", session_timeout=30.0, connect_timeout=1.0):
            assert time.monotonic() - begun < 2.5


class FailsFirst:
    """Background work that fails once, and then works for ever."""

    def __init__(self) -> None:
        self.terms = 0
        self.again = asyncio.Event()

    async def __call__(self, term: Term) -> None:
        self.terms += 1
        if self.terms == 1:
            raise KeyError("first")
        self.again.set()
        await asyncio.sleep(BOUND)


async def test_an_elector_used_again_knows_nothing_of_a_failure_in_its_first_use(store: Store) -> None:
    work = FailsFirst()
    elector = store.elector(work, on_failure="raise")
    async with asyncio.timeout(BOUND):
        with pytest.raises(KeyError):
            async with elector:
                await asyncio.sleep(BOUND)
        async with elector:
            await work.again.wait()


async def test_an_elector_used_again_takes_no_cancellation_of_others_for_its_own(store: Store) -> None:
    work, cancels = FailsFirst(), list[int]()
    elector = store.elector(work, on_failure="raise")

    async def use() -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with elector:
                await asyncio.sleep(BOUND)
        finally:
            cancels.append(task.cancelling())

    async with asyncio.timeout(BOUND):
        with pytest.raises(KeyError):
            await asyncio.create_task(use())
        again = asyncio.create_task(use())
        await work.again.wait()
        again.cancel()
        await asyncio.wait({again})
    assert cancels == [0, 1]
