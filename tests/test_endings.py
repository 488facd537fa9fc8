"""Every ending of a campaign block, on every store: what the body sees, what the block raises, what is released."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from stores import BOUND, Store, local_store, zookeeper_store

from aioha import Elector, LeadershipResigned, SessionFailed, Standing, Term, TermEnded
from aioha.testing import Ensemble

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["local", "zookeeper"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return local_store(tmp_path)
    ensemble: Ensemble = request.getfixturevalue("zookeeper")
    return zookeeper_store(ensemble)


@pytest.fixture
async def elector(store: Store) -> AsyncIterator[Elector]:
    async with asyncio.timeout(BOUND), store.elector(identity="us") as elector:
        yield elector


class Boom(Exception):
    """A user's own exception."""


async def assert_released(store: Store) -> None:
    """Nobody leads, and another candidate gets the term at once."""
    async with store.elector(identity="other") as other:
        assert await other.leader() is None
        async with asyncio.timeout(2), other.campaign():
            pass


async def test_body_ends(store: Store, elector: Elector) -> None:
    async with elector.campaign() as term:
        assert elector.is_leading
        assert elector.standing is Standing.LEADING
        leader = await elector.leader()
        assert leader is not None
        assert (leader.identity, leader.data, leader.token) == ("us", b"us", term.token)
    assert not elector.is_leading
    assert elector.standing is Standing.OUT
    await assert_released(store)


async def test_body_raises_its_own_exception_ungrouped(store: Store, elector: Elector) -> None:
    boom = Boom("mine")
    with pytest.raises(Boom) as raised:
        async with elector.campaign():
            raise boom
    assert raised.value is boom
    await assert_released(store)


async def test_resign_from_inside_returns_at_once_and_cancels(store: Store, elector: Elector) -> None:
    seen: list[str] = []
    with pytest.raises(LeadershipResigned):
        async with elector.campaign() as term:
            await term.resign()
            seen.append("returned")
            try:
                await asyncio.sleep(BOUND)
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
    assert seen == ["returned", "cancelled"]
    await assert_released(store)


async def test_resign_from_another_task_returns_when_released(store: Store, elector: Elector) -> None:
    entered = asyncio.Event()

    async def campaign() -> None:
        async with elector.campaign():
            entered.set()
            try:
                await asyncio.sleep(BOUND)
            finally:
                assert elector.standing is Standing.RESIGNING
                assert not elector.is_leading
                await asyncio.sleep(0.05)

    task = asyncio.create_task(campaign())
    await entered.wait()
    await elector.resign()
    assert await elector.leader() is None
    with pytest.raises(LeadershipResigned):
        await task


async def test_outer_timeout_wins(store: Store, elector: Elector) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            async with elector.campaign():
                await asyncio.sleep(BOUND)
    await assert_released(store)


async def test_outer_cancellation_wins_also_when_we_resigned(store: Store, elector: Elector) -> None:
    entered = asyncio.Event()

    async def campaign() -> None:
        async with elector.campaign() as term:
            entered.set()
            try:
                await asyncio.sleep(BOUND)
            finally:
                await term.resign()

    task = asyncio.create_task(campaign())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    await assert_released(store)


async def test_cancelled_while_standing_by_leaves_nothing(store: Store, elector: Elector) -> None:
    async with store.elector(identity="leader") as other, other.campaign():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), elector.campaign():
                pytest.fail("two leaders")
        assert elector.standing is Standing.OUT
    await assert_released(store)


async def test_anyio_scope_outside_cancels_and_releases(store: Store, elector: Elector) -> None:
    with anyio.move_on_after(0.5) as scope:
        async with elector.campaign():
            await anyio.sleep(BOUND)
    assert scope.cancelled_caught
    await assert_released(store)


async def test_body_that_lets_term_ended_from_check_out_is_a_loss(store: Store, elector: Elector) -> None:
    with pytest.raises(LeadershipResigned) as raised:
        async with elector.campaign() as term:
            await term.resign()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(BOUND)
            term.check()
    assert "was resigned" in str(raised.value)
    await assert_released(store)


async def test_check_in_a_task_group_of_the_body_is_a_loss_too(store: Store, elector: Elector) -> None:
    async def sub_task(term: Term) -> None:
        await term.resign()

    with pytest.raises(LeadershipResigned):
        async with elector.campaign() as term, asyncio.TaskGroup() as group:
            group.create_task(sub_task(term))
            await asyncio.sleep(BOUND)
    await assert_released(store)


async def test_cleanup_that_raises_wins_with_a_note(store: Store, elector: Elector) -> None:
    with pytest.raises(Boom) as raised:
        async with elector.campaign() as term:
            try:
                await term.resign()
                await asyncio.sleep(BOUND)
            finally:
                raise Boom("in cleanup")
    assert any("was resigned" in note for note in raised.value.__notes__)
    await assert_released(store)


async def test_finally_may_await(store: Store, elector: Elector) -> None:
    done: list[str] = []
    with pytest.raises(LeadershipResigned):
        async with elector.campaign() as term:
            try:
                await term.resign()
                await asyncio.sleep(BOUND)
            finally:
                for _ in range(5):
                    await asyncio.sleep(0.02)
                done.append("plain")
    with pytest.raises(LeadershipResigned):
        async with elector.campaign() as term:
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep, BOUND)
                    await term.resign()
                    await anyio.sleep(BOUND)
            finally:
                await anyio.sleep(0.1)
                done.append("anyio")
    assert done == ["plain", "anyio"]


async def test_swallowed_cancellation_is_a_loss_at_the_exit(store: Store, elector: Elector) -> None:
    with pytest.raises(LeadershipResigned):
        async with elector.campaign() as term:
            await term.resign()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(BOUND)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_cancellation_count_is_left_as_found(store: Store, elector: Elector) -> None:
    task = asyncio.current_task()
    assert task is not None
    for _ in range(3):
        with suppress(TermEnded):
            async with elector.campaign() as term:
                await term.resign()
                await asyncio.sleep(BOUND)
        assert task.cancelling() == 0
    await asyncio.sleep(0)  # and nothing is pending


async def test_lead_returns_what_the_work_returns_and_campaigns_again_after_resign(store: Store, elector: Elector) -> None:
    tokens: list[int] = []

    async def work(term: Term) -> str:
        tokens.append(term.token)
        if len(tokens) < 3:
            await term.resign()
            await asyncio.sleep(BOUND)
        return "done"

    assert await elector.lead(work) == "done"
    assert tokens == sorted(set(tokens))
    assert len(tokens) == 3
    await assert_released(store)


async def test_lead_raises_what_the_work_raises(store: Store, elector: Elector) -> None:
    boom = Boom("work")

    async def work(term: Term) -> None:
        raise boom

    with pytest.raises(Boom) as raised:
        await elector.lead(work)
    assert raised.value is boom
    await assert_released(store)


async def test_who_resigned_lets_a_standby_go_first(store: Store, elector: Elector) -> None:
    turns: list[str] = []

    async def work(term: Term) -> None:
        turns.append(term.leader.identity)
        if len(turns) < 6:
            await term.resign()
            await asyncio.sleep(BOUND)

    async with store.elector(identity="them") as other:
        both = [asyncio.create_task(elector.lead(work)), asyncio.create_task(other.lead(work))]
        _, rest = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
    assert all(first != second for first, second in itertools.pairwise(turns)), turns


async def test_campaigns_give_one_after_another(store: Store, elector: Elector) -> None:
    tokens: list[int] = []
    async for campaign in elector.campaigns():
        with suppress(TermEnded):
            async with campaign as term:
                tokens.append(term.token)
                if len(tokens) == 2:
                    break
                await term.resign()
                await asyncio.sleep(BOUND)
    assert len(tokens) == 2
    assert tokens[0] < tokens[1]


async def test_predecessor_and_number_go_on_from_term_to_term(store: Store, elector: Elector) -> None:
    async with elector.campaign() as first:
        assert first.predecessor is None
        assert first.number == 1
    async with store.elector(identity="next") as other, other.campaign() as second:
        assert second.number == 2
        assert second.token > first.token
        assert second.predecessor is not None
        assert second.predecessor.identity == "us"
        assert second.predecessor.token == first.token
        assert second.predecessor.ended_cleanly


async def test_observe_gives_the_latest_and_every_change(store: Store, elector: Elector) -> None:
    async with store.elector(identity="observer") as observer:
        seen = observer.observe()
        assert await anext(seen) is None
        async with elector.campaign() as term:
            leader = await anext(seen)
            assert leader is not None
            assert leader.token == term.token
        assert await anext(seen) is None


async def test_confirm_and_check_pass_while_leading(store: Store, elector: Elector) -> None:
    async with elector.campaign() as term:
        term.check()
        await term.confirm()
        assert term.remaining > 0
    with pytest.raises(TermEnded):
        term.check()


async def test_one_campaign_at_a_time(store: Store, elector: Elector) -> None:
    async with elector.campaign():
        with pytest.raises(Exception, match="one campaign at a time"):
            async with elector.campaign():
                pytest.fail("entered twice")


async def test_who_observes_in_another_task_is_told_when_the_elector_has_been_left(zookeeper: Ensemble) -> None:
    store = zookeeper_store(zookeeper)
    async with asyncio.timeout(BOUND):
        async with store.elector() as elector:
            seen = elector.observe()
            assert await anext(seen) is None
            next_one = asyncio.ensure_future(anext(seen))
            for _ in range(3):  # it waits by then
                await elector.leader()
        with pytest.raises(SessionFailed, match="the elector is closed"):
            await next_one


# ---------------------------------------------------------------- background work


async def test_background_work_runs_and_is_ended_with_the_block(store: Store) -> None:
    events: list[str] = []
    started = asyncio.Event()

    async def work(term: Term) -> None:
        events.append("start")
        started.set()
        try:
            await asyncio.sleep(BOUND)
        finally:
            await asyncio.sleep(0.05)
            events.append("end")

    async with asyncio.timeout(BOUND), store.elector(work) as elector:
        await started.wait()
        assert elector.is_leading
    assert events == ["start", "end"]
    await assert_released(store)


async def test_failing_background_work_cancels_the_body_and_is_raised(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    boom = Boom("background")

    async def work(term: Term) -> None:
        raise boom

    cancelled = False
    with pytest.raises(Boom) as raised:
        async with store.elector(work):
            try:
                await asyncio.sleep(BOUND)
            except asyncio.CancelledError:
                cancelled = True
                raise
    assert raised.value is boom
    assert cancelled
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert any(record.levelname == "CRITICAL" for record in caplog.records)
    await assert_released(store)


async def test_when_work_and_body_fail_the_works_failure_wins(store: Store) -> None:
    failed = asyncio.Event()

    async def work(term: Term) -> None:
        failed.set()
        raise Boom("work")

    with pytest.raises(Boom, match="work") as raised:
        async with store.elector(work):
            try:
                await failed.wait()
                await asyncio.sleep(BOUND)
            finally:
                raise ValueError("body")
    assert isinstance(raised.value.__context__, ValueError)


async def test_background_work_that_fails_is_tried_again_when_asked_to(store: Store) -> None:
    tries: list[int] = []
    done = asyncio.Event()

    async def work(term: Term) -> None:
        tries.append(term.token)
        if len(tries) == 1:
            raise Boom("once")
        done.set()

    async with asyncio.timeout(BOUND), store.elector(work, on_failure="retry"):
        await done.wait()
    assert len(tries) == 2
    assert tries[0] < tries[1]


async def test_elector_may_be_entered_and_left_in_different_tasks(store: Store) -> None:
    started = asyncio.Event()

    async def work(term: Term) -> None:
        started.set()
        await asyncio.sleep(BOUND)

    elector = store.elector(work)
    await asyncio.create_task(elector.__aenter__())
    await started.wait()
    await asyncio.create_task(elector.__aexit__(None, None, None))
    await assert_released(store)


async def test_work_that_is_no_async_function_is_named(store: Store, elector: Elector) -> None:
    with pytest.raises(TypeError, match="async function"):
        await elector.lead(lambda term: 3)  # type: ignore[arg-type,return-value]
    await assert_released(store)
