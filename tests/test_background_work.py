"""Background work (`work=`) that fails at an inconvenient moment: what becomes of the block, and of the next term."""

import asyncio
import contextlib
import uuid
from pathlib import Path
from typing import Any

import pytest
from stores import BOUND, Store, local_store, zookeeper_store

from aioha import Elector, LeadershipLost, Term
from aioha.testing import Ensemble, Proxy

pytestmark = pytest.mark.anyio


class Boom(Exception):
    """What the work fails with."""


class Panic(BaseException):
    """What code below Python may fail with."""


@pytest.fixture(params=["local", "zookeeper"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return local_store(tmp_path) if request.param == "local" else zookeeper_store(request.getfixturevalue("zookeeper"))


def criticals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]


@pytest.mark.parametrize("on_failure", ["raise", "retry", "exit"])
async def test_a_cleanup_that_fails_as_the_block_ends_is_raised_and_nothing_begins_again(
    store: Store, caplog: pytest.LogCaptureFixture, on_failure: Any
) -> None:
    begun: list[int] = []
    working = asyncio.Event()

    async def work(term: Term) -> None:
        begun.append(term.token)
        working.set()
        try:
            await asyncio.sleep(BOUND)
        finally:
            raise Boom("rollback")

    async with asyncio.timeout(BOUND):
        with pytest.raises(Boom, match="rollback"):
            async with store.elector(work, on_failure=on_failure):
                await working.wait()
    assert len(begun) == 1
    assert len(criticals(caplog)) == 1
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("on_failure", ["raise", "retry"])
@pytest.mark.parametrize("failure", [Panic("below"), BaseExceptionGroup("two", [Panic("a"), Panic("b")])])
async def test_a_failure_that_is_no_exception_of_pythons_ends_the_block(
    store: Store, caplog: pytest.LogCaptureFixture, on_failure: Any, failure: BaseException
) -> None:
    async def work(term: Term) -> None:
        raise failure

    async with asyncio.timeout(BOUND):
        with pytest.raises(type(failure)) as raised:
            async with store.elector(work, on_failure=on_failure):
                await asyncio.sleep(BOUND)
    assert raised.value is failure
    assert len(criticals(caplog)) == 1


@pytest.mark.parametrize(
    ("on_failure", "outcome"),
    [("raise", pytest.raises(Boom, match="and no server answers")), ("retry", contextlib.nullcontext())],
    ids=["raised", "nobody tries again"],
)
async def test_a_failure_is_told_also_where_the_block_ends_before_its_term_is_released(
    zookeeper: Ensemble, caplog: pytest.LogCaptureFixture, on_failure: Any, outcome: Any
) -> None:
    failing = asyncio.Event()

    async def work(term: Term) -> None:
        proxy.silence()
        failing.set()
        raise Boom("and no server answers")

    where = f"/tests/{uuid.uuid4().hex}"
    async with asyncio.timeout(BOUND):
        with Proxy(zookeeper.connect_string) as proxy, outcome:
            async with Elector(f"zk://{proxy.address}{where}", work, session_timeout=4.0, on_failure=on_failure):
                await failing.wait()
                await asyncio.sleep(0)  # the release has begun
    assert len(criticals(caplog)) == 1


async def test_work_that_has_been_cancelled_by_itself_fails_aloud_all_the_same(store: Store) -> None:
    async def work(term: Term) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            task.cancel()
            await asyncio.sleep(BOUND)
        except asyncio.CancelledError:
            pass  # and nobody takes the request back
        raise Boom("later")

    async with asyncio.timeout(BOUND):
        with pytest.raises(Boom, match="later"):
            async with store.elector(work):
                await asyncio.sleep(BOUND)


@pytest.mark.parametrize("lost", [False, True])
async def test_the_end_of_another_electors_term_is_a_failure_here(
    zookeeper: Ensemble, caplog: pytest.LogCaptureFixture, lost: bool
) -> None:
    failing = asyncio.Event()

    async def work(term: Term) -> None:
        if lost:
            proxy.silence()
        failing.set()
        raise LeadershipLost("of another election")

    async with asyncio.timeout(BOUND):
        with Proxy(zookeeper.connect_string) as proxy, pytest.raises(LeadershipLost, match="of another election"):
            async with Elector(f"zk://{proxy.address}/tests/{uuid.uuid4().hex}", work, session_timeout=4.0):
                await failing.wait()
                await asyncio.sleep(0 if lost else BOUND)
    assert len(criticals(caplog)) == 1
