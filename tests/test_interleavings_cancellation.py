"""Moments at which a cancellation was once lost or late: `lead`, background work, leaving the block."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest
from operator_client import operator
from stores import BOUND, Store, zookeeper_store

from aioha import ElectionError, Term, active_standby
from aioha.testing import Ensemble

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(zookeeper: Ensemble) -> Store:
    return zookeeper_store(zookeeper)


async def delete_node(store: Store) -> None:
    assert store.ensemble is not None
    with operator(store.ensemble.connect_string) as client:
        await asyncio.to_thread(client.delete, "/" + store.where.split("/", 3)[3])


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """What comes of it in a task of its own: its value, or its exception, `CancelledError` included."""
    task = asyncio.ensure_future(awaitable)
    done, _ = await asyncio.wait({task}, timeout=BOUND)
    assert done, "it hangs"
    return asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()


# ---------------------------------------------------------------------- a loss and somebody else's cancellation


class Tidy:
    """Work that takes every cancellation for the end of its term, and returns. A second term is a mistake."""

    def __init__(self) -> None:
        self.terms = 0
        self.began, self.told, self.once_more = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, term: Term) -> None:
        self.terms += 1
        if self.terms > 1:
            return
        self.began.set()
        try:
            await asyncio.sleep(BOUND)
        except asyncio.CancelledError:
            self.told.set()
            try:
                await asyncio.sleep(BOUND)
            except asyncio.CancelledError:
                self.once_more.set()


async def lose(store: Store, work: Tidy) -> None:
    await work.began.wait()
    await delete_node(store)
    await work.told.wait()


async def test_leaving_the_block_while_a_lost_term_is_ending_starts_no_other_term(store: Store) -> None:
    work = Tidy()
    async with asyncio.timeout(BOUND), store.elector(work):
        await lose(store, work)
    assert work.once_more.is_set()
    assert work.terms == 1


async def test_a_timeout_around_lead_while_a_lost_term_is_ending_is_obeyed(store: Store) -> None:
    work = Tidy()
    async with store.elector() as elector:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(BOUND) as bound, asyncio.TaskGroup() as group:
                losing = group.create_task(lose(store, work))
                losing.add_done_callback(lambda _: bound.reschedule(0))
                await elector.lead(work)
    assert work.terms == 1


async def test_sigterm_while_a_lost_term_is_ending_is_obeyed(store: Store) -> None:
    work = Tidy()
    service = asyncio.create_task(active_standby(store.where, session_timeout=4.0)(work)())
    await asyncio.wait_for(lose(store, work), BOUND)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await outcome(service) is None
    assert work.terms == 1


# ---------------------------------------------------------------------- background work, and leaving the block


async def test_work_that_lets_out_a_cancellation_that_nobody_asked_for_has_failed(store: Store) -> None:
    async def work(term: Term) -> None:
        subtask = asyncio.create_task(asyncio.sleep(BOUND))
        subtask.cancel()
        await subtask

    with pytest.raises(ElectionError, match="nobody had cancelled"):
        async with store.elector(work, on_failure="raise"):
            await asyncio.sleep(5.0)  # cut short


@pytest.mark.parametrize("record", [True, False], ids=["record", "no record"])
async def test_the_block_is_not_left_before_work_led_in_another_task_has_ended(store: Store, record: bool) -> None:
    began, other_began, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
    beside: list[bool] = []

    async def work(term: Term) -> None:
        began.set()
        try:
            await asyncio.sleep(BOUND)
        finally:
            told.set()
            await asyncio.wait({asyncio.ensure_future(other_began.wait())}, timeout=0.5)
            beside.append(other_began.is_set())

    async def other_work(term: Term) -> None:
        other_began.set()

    options: dict[str, Any] = {"record": record, "session_timeout": 1.0}
    async with asyncio.timeout(BOUND), store.elector(identity="b", **options) as other:
        async with store.elector(identity="a", **options) as elector:
            led = asyncio.create_task(elector.lead(work))
            await began.wait()
            following = asyncio.create_task(other.lead(other_work))
            await other.leader()
        assert beside == [False]
        await following
        assert isinstance(await outcome(led), asyncio.CancelledError)


async def test_waiting_for_work_inside_a_cancelled_anyio_scope_costs_no_cpu(store: Store) -> None:
    began, used = asyncio.Event(), list[float]()

    async def work(term: Term) -> None:
        began.set()
        try:
            await asyncio.sleep(BOUND)
        finally:
            before = time.process_time()
            await asyncio.sleep(0.4)
            used.append(time.process_time() - before)

    with anyio.CancelScope() as scope:
        async with store.elector(work), asyncio.timeout(BOUND):
            await began.wait()
            scope.cancel()
            await asyncio.sleep(BOUND)
    assert used[0] < 0.2


async def test_no_task_is_left_when_the_block_ends_while_servers_are_away(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.ensemble is not None
    monkeypatch.setattr("aioha.elector.LEAVE_BOUND", 0.2)
    before = asyncio.all_tasks()
    async with asyncio.timeout(BOUND), store.elector(session_timeout=1.0) as elector, elector.campaign():
        store.ensemble.servers[0].kill()
    assert asyncio.all_tasks() == before
