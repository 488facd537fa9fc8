"""Clocks that jump. Wall time is for people only: no decision hangs on it. The clock of leases counts suspension."""

import asyncio
import math
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from turns import BOUND, Turns

import aioha.clock
from aioha import Elector, Term
from aioha.clock import boottime
from aioha.testing import Ensemble

pytestmark = pytest.mark.anyio

HOURS = 2 * 3600.0


@pytest.fixture(params=["local", "zookeeper"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return f"local:{tmp_path}/election.lock"
    ensemble: Ensemble = request.getfixturevalue("zookeeper")
    return ensemble.where(f"/clocks/{uuid.uuid4().hex}")


@pytest.fixture
def set_wall_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[float], float]], None]:
    """What wall time is from now on, given what it would be."""
    real = time.time

    def set_it(shown: Callable[[float], float]) -> None:
        def wall() -> float:
            return shown(real())

        monkeypatch.setattr(time, "time", wall)
        monkeypatch.setattr(time, "time_ns", lambda: round(wall() * 1e9))
        for module in ("clock", "elections.local.grant", "elections.local.election"):
            monkeypatch.setattr(f"aioha.{module}.wall_time", wall)

    return set_it


def test_wall_time_is_read_in_few_places() -> None:
    """In the account of terms of a local election, and where people read it: else the tests below would see too little."""
    package = Path(aioha.clock.__file__).parent
    sources = {str(file.relative_to(package)): file.read_text() for file in package.rglob("*.py")}
    readers = {name for name, text in sources.items() if "time.time" in text or "wall_time" in text}
    assert {name for name in readers if not name.startswith(("testing/", "cli/"))} == {
        "clock.py",
        "elections/local/grant.py",
        "elections/local/election.py",
        "elections/zookeeper/turn.py",  # when a member of a queue began to lead
        "guardian/process.py",  # its log
    }


async def leads_through(where: str, change: Callable[[], None]) -> None:
    """The leader leads on, and the next one leads after it, as if nothing had happened."""
    turns = Turns()
    async with asyncio.timeout(BOUND), Elector(where, turns.work("a"), session_timeout=10.0) as a:
        await turns.begun(1)
        async with Elector(where, turns.work("b"), session_timeout=10.0):
            change()
            await asyncio.sleep(0.4)
            assert turns.who == ["a"]
            await a.resign()
            assert (await turns.begun(2)).begun - turns.turns[0].ended < 2.0
            change()
            await asyncio.sleep(0.2)
            assert turns.turns[1].ended == math.inf
    turns.assert_one_at_a_time()


async def test_wall_clock_two_hours_ahead(where: str, set_wall_clock: Callable[[Callable[[float], float]], None]) -> None:
    await leads_through(where, lambda: set_wall_clock(lambda now: now + HOURS))


async def test_wall_clock_two_hours_back(where: str, set_wall_clock: Callable[[Callable[[float], float]], None]) -> None:
    await leads_through(where, lambda: set_wall_clock(lambda now: now - HOURS))


async def test_wall_clock_five_times_as_fast(where: str, set_wall_clock: Callable[[Callable[[float], float]], None]) -> None:
    begun = time.time()
    await leads_through(where, lambda: set_wall_clock(lambda now: begun + 5 * (now - begun)))


class HostClock:
    """Of a host that is suspended: it jumps, and no timer has noticed, since the loop's own clock stood still."""

    def __init__(self) -> None:
        self.suspended = 0.0

    def __call__(self) -> float:
        return boottime() + self.suspended


async def test_the_host_was_suspended(zookeeper: Ensemble) -> None:
    """The work waits, so that no step of it is in time to be refused: the next heartbeat ends it."""
    clock, tokens = HostClock(), list[int]()

    async def work(term: Term) -> None:
        tokens.append(term.token)
        if len(tokens) == 1:
            asyncio.get_running_loop().call_later(0.2, setattr, clock, "suspended", 30.0)
            await asyncio.sleep(BOUND)
            pytest.fail("it went on")

    where = zookeeper.where(f"/suspended/{uuid.uuid4().hex}")
    async with asyncio.timeout(BOUND / 2), Elector(where, session_timeout=4.0, clock=clock) as elector:
        await elector.lead(work)
    assert tokens[0] < tokens[1]
