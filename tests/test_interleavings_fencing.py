"""Cancelled, timed out or resigned at every await: of a campaign with a fence hook, and of a fenced transaction.

Each task's every suspension is one of these moments, the library's own tasks included. A run for each: it goes on until
a run has no such moment left.
"""

import asyncio
import contextlib
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from oldterms import Hook, crash, lead_once
from operator_client import operator
from stores import BOUND, Store, local_store, zookeeper_store
from test_interleavings_election import path_of, server_of

from aioha import Fenced, LeadershipResigned, Standing, TermEnded
from aioha.testing import Ensemble, no_leaks

pytestmark = pytest.mark.anyio

MOST_RUNS = 400  # far more moments than there are; what is not bounded is not tested


class Moments:
    """Counts how often any task begun inside `watching` is suspended, and acts at the given one."""

    def __init__(self, at: int, act: Callable[[], Any]) -> None:
        self.left = at
        self.come = False
        self.act = act

    @contextlib.contextmanager
    def watching(self) -> Iterator[Self]:
        loop = asyncio.get_running_loop()

        def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
            return asyncio.Task(self._wrapped(work), loop=loop, **options)

        loop.set_task_factory(factory)
        try:
            yield self
        finally:
            loop.set_task_factory(None)

    async def _wrapped(self, work: Coroutine[Any, Any, Any]) -> Any:
        return await self._counted(work)

    @types.coroutine
    def _counted(self, work: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        result, error = None, None
        while True:
            try:
                awaited = work.send(result) if error is None else work.throw(error)
            except StopIteration as end:
                return end.value
            if self.left == 0 and not self.come:
                self.come = True
                asyncio.get_running_loop().call_soon(self.act)
            self.left -= 1
            result = error = None
            try:
                result = yield awaited
            except BaseException as thrown:  # noqa: BLE001 - passed on
                error = thrown


@pytest.fixture(params=["local", "zookeeper"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    if request.param == "local":
        return lambda: local_store(tmp_path)
    ensemble: Ensemble = request.getfixturevalue("zookeeper")
    return lambda: zookeeper_store(ensemble)


@pytest.mark.parametrize("how", ["cancelled", "timed out", "resigned"])
async def test_a_campaign_with_a_hook(stores: Callable[[], Store], how: str) -> None:
    for at in range(MOST_RUNS):
        async with asyncio.timeout(BOUND), no_leaks():
            if not await campaign_with_a_hook(stores(), how, at):
                assert at > 3
                return
    pytest.fail("there was no end of moments")


async def campaign_with_a_hook(store: Store, how: str, at: int) -> bool:
    """Whether there was such a moment."""
    for identity in ("a", "b"):
        await crash(store, identity, stop_grace=0.001)
    fenced, running, working = list[str](), set[str](), asyncio.Event()

    async def fence(predecessor: Any) -> None:
        assert not working.is_set()
        running.add(predecessor.identity)
        try:
            async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:  # which counts cancellations too
                group.create_task(asyncio.sleep(0))
            fenced.append(predecessor.identity)
        finally:
            running.discard(predecessor.identity)

    async with store.elector(fence=fence, identity="us") as elector:
        timeouts: list[asyncio.Timeout] = []

        async def campaign() -> None:
            async with asyncio.timeout(None) as timeout:
                timeouts.append(timeout)
                async with elector.campaign():
                    assert set(fenced) == {"a", "b"}
                    working.set()
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0

        def act() -> None:
            if how == "cancelled":
                task.cancel()
            elif how == "resigned":
                resigning.append(asyncio.create_task(elector.resign()))
            elif timeouts and not task.done():
                timeouts[0].reschedule(0)

        resigning: list[asyncio.Task[None]] = []
        with Moments(at, act).watching() as moments:
            task = asyncio.create_task(campaign())
            await asyncio.wait({task})
        await asyncio.gather(*resigning)
        assert elector.standing is Standing.OUT
        assert not running
        if not task.cancelled() and task.exception() is not None:
            expected = TimeoutError if how == "timed out" else LeadershipResigned
            assert isinstance(task.exception(), expected), task.exception()
        hook = Hook()
        await lead_once(store, hook, identity="next")
        assert set(hook.whom) | set(fenced) == {"a", "b"}, "nobody is forgotten, and we, who left in order, are not fenced"
        assert not working.is_set() or not hook.given
        return moments.come


# ---------------------------------------------------------------------- transactions


@pytest.fixture
async def store(zookeeper: Ensemble) -> Store:
    store = zookeeper_store(zookeeper)
    with operator(server_of(store)) as client:
        await asyncio.to_thread(client.create, f"{path_of(store)}-data", b"", makepath=True)
    return store


@pytest.mark.parametrize("how", ["cancelled", "resigned"])
async def test_a_transaction(store: Store, how: str) -> None:
    """What it said is what has become of it; a cancelled one says nothing, and harms no other."""
    async with asyncio.timeout(BOUND), no_leaks():
        with operator(server_of(store)) as client:
            async with store.elector() as elector:
                for at in range(MOST_RUNS):
                    path = f"{path_of(store)}-data/{at}"
                    task, come = await transaction(elector, path, how, at)
                    exists = await asyncio.to_thread(client.exists, path) is not None
                    if not task.cancelled():
                        error = task.exception()
                        assert error is None or isinstance(error, Fenced | TermEnded), error
                        assert exists == (error is None)
                    if not come:
                        assert at > 0
                        return
    pytest.fail("there was no end of moments")


async def transaction(elector: Any, path: str, how: str, at: int) -> tuple["asyncio.Task[None]", bool]:
    async def write() -> None:
        async with term.transaction() as transaction:
            transaction.create(path, b"")

    def resign() -> None:
        resigning.append(asyncio.create_task(elector.resign()))

    def cancel() -> None:
        writing[0].cancel()

    resigning: list[asyncio.Task[None]] = []
    writing: list[asyncio.Task[None]] = []
    moments = Moments(at, resign if how == "resigned" else cancel)
    with contextlib.suppress(LeadershipResigned):
        async with elector.campaign() as term:
            with moments.watching():
                writing.append(asyncio.create_task(write()))
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait(writing)
                    if not moments.come or how == "cancelled":
                        await term.confirm()
                        async with term.transaction() as after:
                            after.check("/", -1)
    await asyncio.gather(*writing, *resigning, return_exceptions=True)
    return writing[0], moments.come
