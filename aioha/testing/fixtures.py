"""Pytest fixtures: real servers shared by a whole test run. Import them into a conftest.py.

A test that cannot run here is skipped, and says why; with AIOHA_REQUIRE_ALL=1 in the environment it fails, so that a
build never passes because its machine lacked something.
"""

import os
from collections.abc import Iterator

import pytest

from .ensemble import Ensemble
from .java import missing

__all__ = ["ensemble", "require", "session_ensemble", "session_zookeeper", "zookeeper"]


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
