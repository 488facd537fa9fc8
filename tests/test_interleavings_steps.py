"""Work whose steps come too late, and work that ends its own term: nothing runs on, and no cancellation leaks."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from operator_client import operator
from stores import BOUND, Store, leading, zookeeper_store

from aioha import Elector, LeadershipLost, LeadershipResigned, Term
from aioha.clock import boottime
from aioha.steps import Steps
from aioha.testing import Ensemble

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(zookeeper: Ensemble) -> Store:
    return zookeeper_store(zookeeper)


async def move_record_on(store: Store) -> None:
    """The same bytes once more: `confirm` is refuted by the version."""
    assert store.ensemble is not None
    path = "/" + store.where.split("/", 3)[3]
    with operator(store.ensemble.connect_string) as client:
        await asyncio.to_thread(lambda: client.set(f"{path}.aioha", client.get(f"{path}.aioha")[0]))


async def outcome(awaitable: Awaitable[Any]) -> Any:
    """What comes of it in a task of its own: its value, or its exception, `CancelledError` included."""
    task = asyncio.ensure_future(awaitable)
    done, _ = await asyncio.wait({task}, timeout=BOUND)
    assert done, "it hangs"
    return asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()


async def timed_out() -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(BOUND)


async def waited_for() -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(BOUND), 0.01)


async def failed() -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.call_later(0.01, lambda: future.done() or future.set_exception(OSError()))
    with contextlib.suppress(OSError):
        await future


@pytest.mark.parametrize("step", [timed_out, waited_for, failed], ids=lambda step: step.__name__)
async def test_no_step_runs_once_the_lease_is_over_however_the_work_is_woken(
    store: Store, step: Callable[[], Awaitable[None]]
) -> None:
    """The host sleeps for a minute, which timers do not count; then everything wakes."""
    slept, late, begun, told = 0.0, 0, asyncio.Event(), asyncio.Event()

    async def work(term: Term) -> None:
        nonlocal late
        try:
            while True:
                await step()
                late += slept > 0
                begun.set()
        except asyncio.CancelledError:
            told.set()
            raise

    async with store.elector(work, clock=lambda: boottime() + slept), asyncio.timeout(BOUND):
        await begun.wait()
        slept = 60.0
        await told.wait()
        assert late == 0


async def test_a_failed_future_that_is_already_due_wakes_no_work_whose_term_is_over() -> None:
    over, ran, failing = False, list[str](), asyncio.get_running_loop().create_future()

    def ask() -> bool:
        nonlocal over
        ended, over = over, False
        if ended:
            task.cancel("term over")
        return ended

    async def work() -> None:
        try:
            await failing
        except OSError:
            ran.append("step")
        finally:
            ran.append("cleanup")

    async def guarded() -> None:
        await Steps(work(), ask)

    task = asyncio.create_task(guarded())
    await asyncio.sleep(0)
    failing.set_exception(OSError())
    over = True
    with pytest.raises(asyncio.CancelledError, match="term over"):
        await task
    assert ran == ["cleanup"]


# ---------------------------------------------------------------------- a term ended from inside the work


async def resign_term(term: Term, elector: Elector, store: Store) -> None:
    await term.resign()


async def resign_elector(term: Term, elector: Elector, store: Store) -> None:
    await elector.resign()


async def confirm_in_vain(term: Term, elector: Elector, store: Store) -> None:
    await move_record_on(store)
    await term.confirm()


@pytest.mark.parametrize("end", [resign_term, resign_elector, confirm_in_vain], ids=lambda end: end.__name__)
async def test_work_that_ends_its_own_term_and_then_returns_leaks_no_cancellation(
    store: Store, end: Callable[[Term, Elector, Store], Awaitable[None]]
) -> None:
    terms = 0

    async def work(term: Term) -> str:
        nonlocal terms
        terms += 1
        if terms == 1:
            await end(term, elector, store)
        return f"term {terms}"

    expected = LeadershipLost if end is confirm_in_vain else LeadershipResigned
    async with store.elector(session_timeout=1.0) as elector:
        result = await outcome(leading(elector, lambda term: end(term, elector, store)))
        assert isinstance(result, expected)
        assert await outcome(elector.lead(work)) == "term 2"


async def test_background_work_whose_confirm_is_refuted_stands_by_again(store: Store) -> None:
    again = asyncio.Event()

    async def work(term: Term) -> None:
        if term.number != 1:
            again.set()
            return
        await move_record_on(store)
        await term.confirm()

    async with store.elector(work), asyncio.timeout(BOUND):
        await again.wait()
