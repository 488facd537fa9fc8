"""For pytest: real servers shared by a whole test run, and decorators that put a test's `trial` on servers of either kind.

    pytest_plugins = ["aioha.testing.fixtures"]      # in the top conftest.py; or `from aioha.testing.fixtures import *`

The fixtures are plain ones, and a decorated test is a plain function that runs its coroutine in a loop of its own: no
plugin for async tests is needed, and none disturbs.

A test that cannot run here is skipped, and says why; with AIOHA_REQUIRE_ALL=1 in the environment it fails, so that a
build never passes because its machine lacked something.
"""

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Literal

import pytest

from .ensemble import Ensemble
from .java import missing
from .real_trial import RealTrial
from .simulated import Weather
from .simulated_trial import simulate

__all__ = [
    "ensemble",
    "on_servers",
    "require",
    "session_ensemble",
    "session_zookeeper",
    "simulated",
    "zookeeper",
]

TestOfTrial = Callable[..., Awaitable[None]]
TRIAL = "trial"


def require(present: object, hint: str) -> None:
    """Skip the running test unless `present`, or fail it if AIOHA_REQUIRE_ALL=1. `hint`: what to do about it."""
    if present:
        return
    if os.environ.get("AIOHA_REQUIRE_ALL") == "1":
        pytest.fail(f"AIOHA_REQUIRE_ALL=1, but {hint}", pytrace=False)
    pytest.skip(hint)


@pytest.fixture(scope="session")
def session_zookeeper() -> Iterator[Ensemble]:
    """A lone server for the whole run. Tests had better use `zookeeper`."""
    yield from _running(1)


@pytest.fixture(scope="session")
def session_ensemble() -> Iterator[Ensemble]:
    """Three servers for the whole run. Tests had better use `ensemble`."""
    yield from _running(3)


@pytest.fixture
def zookeeper(session_zookeeper: Ensemble) -> Iterator[Ensemble]:
    """A lone ZooKeeper server, shared; whatever the test does to it is undone. tick 0.2 s, sessions 0.4 to 60 s."""
    yield session_zookeeper
    session_zookeeper.restore()


@pytest.fixture
def ensemble(session_ensemble: Ensemble) -> Iterator[Ensemble]:
    """A 3-server ensemble, shared; whatever the test does to it is undone. tick 0.2 s, sessions 0.4 to 60 s."""
    yield session_ensemble
    session_ensemble.restore()


def _running(servers: int) -> Iterator[Ensemble]:
    hint = missing()
    require(hint is None, hint or "")
    started = Ensemble(servers)
    started.start()
    yield started
    started.stop()


# ---------------------------------------------------------------------- tests of a `trial`


def simulated(
    *,
    servers: int = 3,
    seeds: int | Iterable[int] = 10,
    tick: float = 2.0,
    weather: Weather | None = None,
    takeover: float | None = None,
    **options: object,
) -> Callable[[TestOfTrial], Callable[..., None]]:
    """`async def test(trial)` becomes a test in virtual time on a simulated ensemble, once for each seed.

    seeds: so many, or these; the same seed gives the same run. For the rest see `simulate`. Other arguments of the test
    are fixtures and parameters as ever (no async fixtures: the loop is the simulation's).
    """

    def decorate(test: TestOfTrial) -> Callable[..., None]:
        def run(*args: Any, seed: int, **given: Any) -> None:
            simulate(
                lambda trial: test(*args, **{TRIAL: trial}, **given),
                seed,
                servers=servers,
                tick=tick,
                weather=weather,
                takeover=takeover,
                **options,
            )

        every = range(seeds) if isinstance(seeds, int) else seeds
        mark = pytest.mark.parametrize("seed", list(every), ids=lambda seed: f"seed{seed}")
        marked: Callable[..., None] = mark(_instead_of(test, run, "seed"))
        return marked

    return decorate


def on_servers(
    servers: Literal[1, 3] = 3, *, takeover: float | None = None, **options: object
) -> Callable[[TestOfTrial], Callable[..., None]]:
    """`async def test(trial)` becomes a test on real servers: those of the fixture `zookeeper` (1) or `ensemble` (3).

    takeover: see `Trial`. options: of `where`, for all candidates: `@on_servers(session_timeout=2.0)`.
    """

    def decorate(test: TestOfTrial) -> Callable[..., None]:
        fixture = "zookeeper" if servers == 1 else "ensemble"

        async def main(used: Ensemble, args: tuple[Any, ...], given: dict[str, Any]) -> None:
            async with RealTrial(used, takeover=takeover, **options) as trial:
                await test(*args, **{TRIAL: trial}, **given)

        def run(*args: Any, **given: Any) -> None:
            asyncio.run(main(given.pop(fixture), args, given))

        return _instead_of(test, run, fixture)

    return decorate


def _instead_of(test: TestOfTrial, run: Callable[..., None], wants: str) -> Callable[..., None]:
    """`run` by the name of `test`, as pytest sees it: with `wants` in place of the trial among what it takes."""
    signature = inspect.signature(test)
    if not inspect.iscoroutinefunction(test) or TRIAL not in signature.parameters:
        raise TypeError(
            f"{test.__qualname__}{signature} cannot be put on trial: write async def {test.__name__}(trial, ...)"
        )
    if wants in signature.parameters:
        raise TypeError(f"{test.__qualname__}: {wants!r} is what the decorator asks for itself; see the trial's own")
    kept = [each for name, each in signature.parameters.items() if name != TRIAL]
    made = functools.wraps(test)(run)
    wanted = inspect.Parameter(wants, inspect.Parameter.KEYWORD_ONLY)
    made.__signature__ = signature.replace(parameters=[*kept, wanted])  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess] - what `inspect` looks for
    return made
