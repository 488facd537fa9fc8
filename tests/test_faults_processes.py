"""Real candidates that are stopped, starved of processor time, or out of file descriptors."""

import asyncio
import contextlib
import math
import resource
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psutil
import pytest
from beside import beside
from candidates import Candidate, Event, History, now
from controlgroups import Freezer, freezer, slow
from standstill import stopped_between_steps

from aioha import Elector
from aioha.testing import Ensemble, Proxy

pytestmark = pytest.mark.anyio

BOUND = 30.0  # seconds: more than anything here takes


@contextlib.asynccontextmanager
async def pair(
    where: str, other: str | None = None, *, session_timeout: float, **options: Any
) -> AsyncIterator[tuple[History, Candidate, Elector]]:
    """The candidate "a", a process that leads, and "b", which stands by (at `other`)."""
    history = History()
    options["session_timeout"] = session_timeout
    async with Candidate(history, where, "a", **options) as a:
        await history.next("START", "a")
        async with beside(history, other or where, "b", session_timeout=session_timeout) as b:
            yield history, a, b
    history.assert_one_at_a_time()


def path() -> str:
    return f"/processes/{uuid.uuid4().hex}"


async def test_stopped_for_less_than_its_lease(ensemble: Ensemble) -> None:
    async with pair(ensemble.where(path()), session_timeout=10.0) as (history, a, _):
        a.signal(signal.SIGSTOP)
        await asyncio.sleep(1.0)
        a.signal(signal.SIGCONT)
        await a.server()  # it answers
        await asyncio.sleep(0.3)
        assert [(who, end) for _, end, who, _ in history.terms()] == [("a", math.inf)]


@pytest.fixture
def cold() -> Iterator[Freezer]:
    with freezer() as made:
        yield made


@pytest.mark.root
async def test_frozen_by_its_control_group(ensemble: Ensemble, cold: Freezer) -> None:
    """It cannot be told of anything while others work; the first thing that its work does after the thaw is to end."""
    async with pair(ensemble.where(path()), session_timeout=2.0, ticks=True) as (history, a, _):
        cold.add(a.pid)
        frozen = await stopped_between_steps(history, "a", cold.freeze, cold.thaw)
        await history.next("START", "b", after=frozen)
        thawed = now()
        cold.thaw()
        end = await history.next("END", "a", after=thawed)
        assert [each for each in history.events if each.kind == "TICK" and each.at > thawed] == []
        # Frozen, it could not say when its work had stopped.
        history.events = [each if each is not end else Event("END", "a", end.token, frozen) for each in history.events]


@pytest.mark.root
async def test_two_percent_of_a_processor(ensemble: Ensemble) -> None:
    """For the leader, through the end of its term. The term may be lost, and is never shared."""
    async with pair(ensemble.where(path()), session_timeout=2.0, ticks=True) as (history, a, _):
        begun = now()
        with slow(0.02, [a.pid]):
            await asyncio.sleep(1.0)
            a.tell("resign")
            await history.next("START", after=begun, bound=BOUND)


async def test_out_of_file_descriptors(zookeeper: Ensemble) -> None:
    """It cannot connect anew, so that its term ends; with descriptors it takes part again."""
    place = path()
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with pair(f"zk://{proxy.address}{place}", zookeeper.where(place), session_timeout=2.0) as (history, a, b):
            process = psutil.Process(a.pid)
            soft, hard = process.rlimit(resource.RLIMIT_NOFILE)
            process.rlimit(resource.RLIMIT_NOFILE, (3, hard))
            cut = now()
            proxy.cut()
            end = await history.next("END", "a", after=cut, bound=BOUND)
            start = await history.next("START", "b", after=cut, bound=BOUND)
            assert end.at < start.at
            process.rlimit(resource.RLIMIT_NOFILE, (soft, hard))
            async with asyncio.timeout(BOUND):
                while history.terms()[-1][2] != "a":
                    await b.resign()
                    await asyncio.sleep(0.3)
