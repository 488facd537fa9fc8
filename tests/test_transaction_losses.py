"""Fenced transactions of a term that ends: nothing is written, the error says so, and a loss stays a loss."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from operator_client import operator
from stores import BOUND, until

from aioha import Elector, Fenced, LeadershipLost, LeadershipResigned, Standing, Term, Unavailable
from aioha.testing import Ensemble, Op, Proxy, no_leaks

TIMEOUT, GRACE = 2.0, 0.4


@pytest.fixture
def path() -> str:
    return f"/tests/{uuid.uuid4().hex}"


@pytest.fixture
def link(zookeeper: Ensemble) -> Iterator[Proxy]:
    with Proxy(zookeeper.servers[0].address) as proxy:
        yield proxy


@pytest.fixture
async def elector(link: Proxy, path: str) -> AsyncIterator[Elector]:
    """One whose lease, of 1.6 s, ends behind a link that fell silent."""
    where = f"zk://{link.address}{path}"
    async with asyncio.timeout(BOUND), Elector(where, session_timeout=TIMEOUT, stop_grace=GRACE) as elector:
        yield elector
        link.heal()


async def write(term: Term, path: str) -> None:
    async with term.transaction() as t:
        t.create(path, b"")


@pytest.fixture
def hand(zookeeper: Ensemble) -> Iterator[Any]:
    """Somebody else's client, connected beforehand: while it connects our loop stands still, at times for a whole lease."""
    with operator(zookeeper.connect_string) as client:
        yield client


def take_over(hand: Any, path: str) -> None:
    """As a takeover does, and so quickly that nobody of this process hears of it: the loop does not run meanwhile."""
    hand.set(f"{path}.aioha", b"")


async def missing(ensemble: Ensemble, path: str) -> bool:
    return await asyncio.to_thread(_missing, ensemble, path)  # our loop must not stand still while it connects


def _missing(ensemble: Ensemble, path: str) -> bool:
    with operator(ensemble.connect_string) as client:
        return client.exists(path) is None


# ---------------------------------------------------------------------- told by the store


async def test_after_a_takeover_the_store_refuses_it_and_the_term_ends(
    zookeeper: Ensemble, hand: Any, elector: Elector, path: str
) -> None:
    with pytest.raises(LeadershipLost, match=r"took over \(the record has changed\)") as lost:
        async with elector.campaign() as term:
            take_over(hand, path)
            term.check()  # we know of nothing
            with pytest.raises(Fenced) as raised:
                await write(term, f"{path}-a")
            assert str(raised.value) == (
                f"nothing was written: term 1 of {path} is over: another candidate took over (the record has changed)"
            )
            assert raised.value.operation is None
            assert isinstance(raised.value.__cause__, LeadershipLost)
            with pytest.raises(LeadershipLost):
                term.check()
            await asyncio.sleep(BOUND)  # the body is told
    assert lost.value.__cause__ is None
    assert await missing(zookeeper, f"{path}-a")


@pytest.mark.parametrize("replaced", [True, False])
async def test_when_the_leaders_node_is_gone_or_anothers(
    zookeeper: Ensemble, hand: Any, elector: Elector, path: str, replaced: bool
) -> None:
    with pytest.raises(LeadershipLost, match="made anew" if replaced else "was deleted by someone else"):
        async with elector.campaign() as term:
            transaction = hand.transaction()
            transaction.delete(path)
            if replaced:
                transaction.create(path, b"stranger", ephemeral=True)
            assert not any(isinstance(each, Exception) for each in transaction.commit())
            await write(term, f"{path}-a")
    assert await missing(zookeeper, f"{path}-a")


async def test_when_the_record_is_gone(zookeeper: Ensemble, hand: Any, elector: Elector, path: str) -> None:
    with pytest.raises(LeadershipLost, match="the record was deleted by someone else"):
        async with elector.campaign() as term:
            hand.delete(f"{path}.aioha", recursive=True)
            await write(term, f"{path}-a")
    assert await missing(zookeeper, f"{path}-a")


async def test_let_out_of_the_body_it_is_a_loss_also_in_a_group(
    zookeeper: Ensemble, hand: Any, elector: Elector, path: str
) -> None:
    with pytest.raises(LeadershipLost) as lost:
        async with elector.campaign() as term:
            await term.confirm()  # the first heartbeat, which would tell us as well, is on its way by then
            take_over(hand, path)
            async with asyncio.TaskGroup() as group:
                for number in range(3):
                    group.create_task(write(term, f"{path}-{number}"))
    assert isinstance(lost.value.__cause__, Fenced | ExceptionGroup)


async def test_lead_campaigns_again_after_it(zookeeper: Ensemble, hand: Any, elector: Elector, path: str) -> None:
    tokens: list[int] = []

    async def work(term: Term) -> str:
        tokens.append(term.token)
        if len(tokens) == 1:
            take_over(hand, path)
        await write(term, f"{path}-a")
        return "written"

    assert await elector.lead(work) == "written"
    assert tokens[0] < tokens[1]
    assert not await missing(zookeeper, f"{path}-a")


# ---------------------------------------------------------------------- known without a round trip


async def test_after_the_lease_it_is_refused_without_a_round_trip(link: Proxy, elector: Elector, path: str) -> None:
    with pytest.raises(LeadershipLost, match="no answer from the ensemble"):
        async with elector.campaign() as term:
            link.hold()
            try:
                await asyncio.sleep(BOUND)
            finally:
                with pytest.raises(Fenced, match=rf"term 1 of {path} is over: no answer from the ensemble") as raised:
                    await asyncio.wait_for(write(term, f"{path}-a"), 0.05)
                assert raised.value.operation is None
                assert isinstance(raised.value.__cause__, LeadershipLost)


async def test_after_a_resignation(elector: Elector, path: str) -> None:
    with pytest.raises(LeadershipResigned):
        async with elector.campaign() as term:
            await elector.resign()
            with pytest.raises(Fenced, match=rf"^nothing was written: term 1 of {path} was resigned$"):
                await write(term, f"{path}-a")
            await write(term, f"{path}-a")  # let out, it does not hide that we resigned


async def test_after_the_end_of_the_body(zookeeper: Ensemble, elector: Elector, path: str) -> None:
    async with elector.campaign() as term:
        pass
    with pytest.raises(Fenced, match="its work has ended"):
        await write(term, f"{path}-a")
    assert await missing(zookeeper, f"{path}-a")


# ---------------------------------------------------------------------- while no server is attached


async def test_it_waits_for_the_next_server_while_the_term_holds(
    zookeeper: Ensemble, link: Proxy, elector: Elector, path: str
) -> None:
    async with elector.campaign() as term:
        link.refuse()
        await until(lambda: elector.standing is Standing.DOUBTFUL)
        writing = asyncio.create_task(write(term, f"{path}-a"))
        await asyncio.wait({writing}, timeout=0.2)
        assert not writing.done()
        link.heal()
        await writing
        assert not await missing(zookeeper, f"{path}-a")


async def test_it_waits_no_longer_than_the_lease(zookeeper: Ensemble, link: Proxy, elector: Elector, path: str) -> None:
    with pytest.raises(LeadershipLost):
        async with elector.campaign() as term:
            link.refuse()
            await until(lambda: elector.standing is Standing.DOUBTFUL)
            writing = asyncio.create_task(write(term, f"{path}-a"))
            try:
                await asyncio.sleep(BOUND)
            finally:
                with pytest.raises(Fenced, match="is over: no answer from the ensemble"):
                    await asyncio.wait_for(writing, GRACE / 4)
    link.heal()
    async with elector.campaign():
        assert await missing(zookeeper, f"{path}-a")


async def test_it_is_refused_when_the_session_turns_out_to_be_dead(
    zookeeper: Ensemble, link: Proxy, elector: Elector, path: str
) -> None:
    session: Any = elector.session
    with pytest.raises(LeadershipLost, match="expired"):
        async with elector.campaign() as term:
            stranger = (session.current.id, session.current.password)
            link.refuse()
            await until(lambda: elector.standing is Standing.DOUBTFUL)
            writing = asyncio.create_task(write(term, f"{path}-a"))
            with operator(zookeeper.connect_string, client_id=stranger):
                pass  # attaching takes the session, stopping closes it
            link.heal()
            with pytest.raises(Fenced, match="expired"):
                await asyncio.shield(writing)
    assert await missing(zookeeper, f"{path}-a")


async def test_one_that_waits_is_not_sent_once_the_block_has_ended(
    zookeeper: Ensemble, link: Proxy, elector: Elector, path: str
) -> None:
    """The record stays as it is until somebody takes over, and we are the ones who know better."""
    async with elector.campaign() as term:
        link.refuse()
        await until(lambda: elector.standing is Standing.DOUBTFUL)
        writing = asyncio.create_task(write(term, f"{path}-a"))
        await asyncio.wait({writing}, timeout=0.1)
    link.heal()
    with pytest.raises(Fenced, match="its work has ended"):
        await writing
    async with elector.campaign():
        assert await missing(zookeeper, f"{path}-a")


# ---------------------------------------------------------------------- when no reply comes


async def test_a_lost_reply_is_an_unknown_outcome_and_is_not_repeated(zookeeper: Ensemble, link: Proxy, path: str) -> None:
    async with asyncio.timeout(BOUND), Elector(f"zk://{link.address}{path}", session_timeout=8) as elector:
        session: Any = elector.session
        async with elector.campaign() as term:
            await write(term, f"{path}-a")
            await session.current.heartbeat.next_proof()  # so that ours is the next one
            link.drop_reply(Op.MULTI)
            with pytest.raises(
                Unavailable, match=r"may or may not have been carried out: the connection was lost"
            ) as raised:
                async with term.transaction() as t:
                    t.set_data(f"{path}-a", b"once")
            assert "term.confirm()" in str(raised.value)
            assert link.dropped == 1
            term.check()
            await term.confirm()
            assert await term.zookeeper.get_data(f"{path}-a") == b"once"
    with operator(zookeeper.connect_string) as client:
        assert client.get(f"{path}-a")[1].version == 1


async def test_cancelled_while_committing_it_ends_at_once_and_leaves_nothing_behind(
    zookeeper: Ensemble, link: Proxy, path: str
) -> None:
    elector = Elector(f"zk://{link.address}{path}", session_timeout=8)
    async with asyncio.timeout(BOUND), no_leaks(), elector, elector.campaign() as term:
        link.delay(0.1)
        writing = asyncio.create_task(write(term, f"{path}-a"))
        await asyncio.sleep(0)  # it is sent in its first step
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        link.heal()
        await term.confirm()  # what was sent has arrived by now
        assert not await missing(zookeeper, f"{path}-a")


async def test_no_reply_within_the_lease_is_the_end_of_the_term_and_an_unknown_outcome(
    link: Proxy, elector: Elector, path: str
) -> None:
    """For work of a term that is over this is a loss, not a failure of its own."""
    with pytest.raises(LeadershipLost):
        async with elector.campaign() as term:
            grant: Any = term._grant
            link.hold()
            grant.stop_grace += term.remaining - 0.1  # less than the time after which a silent server is left
            writing = asyncio.create_task(write(term, f"{path}-a"))
            try:
                await asyncio.sleep(BOUND)
            finally:
                with pytest.raises(LeadershipLost, match="last transaction may or may not have been") as raised:
                    await writing
                assert "the lease ended before the reply came" in str(raised.value.__cause__)
