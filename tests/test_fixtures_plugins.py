"""The kit as a stranger uses it: in a directory of its own, with each of the ways to run async tests, or none of them."""

import importlib.util
from pathlib import Path

import pytest
from pytest_runs import run_pytest, write

from aioha.testing.fixtures import require
from aioha.testing.java import missing

pytestmark = pytest.mark.timeout(180)  # whole runs of pytest
PLUGIN = 'pytest_plugins = ["aioha.testing.fixtures"]\n'
IMPORTED = "from aioha.testing.fixtures import *\n"
NO_ASYNCIO = ("-p", "no:asyncio")  # which warns of settings that it misses
NO_ZOOKEEPER = "import pathlib\nimport aioha.testing.java\naioha.testing.java.JARS = pathlib.Path('/nowhere')\n"

SERVICE = '''
"""A service and its helpers."""
import asyncio
from aioha import Elector
from aioha.testing import recorded

@recorded
async def work(term):
    await asyncio.sleep(3600)

async def copy(where):
    async with Elector(where, work):
        await asyncio.Event().wait()

async def play(trial):
    trial.start("a", copy)
    first = await trial.leader()
    trial.start("b", copy)
    await trial.stop(first)
    await trial.leader(besides=first)
'''

DECORATED = """
from aioha.testing.fixtures import on_servers, simulated
from service import play

test_simulated = simulated(seeds=3)(play)
test_on_servers = on_servers(1, session_timeout=1.0)(play)
"""

ASYNC = """
from aioha import Elector
from aioha.testing import RealTrial
from service import play

{mark}
async def test_in_the_plugins_loop(zookeeper):
    async with RealTrial(zookeeper, session_timeout=1.0) as trial:
        await play(trial)

{mark}
async def test_without_a_trial(zookeeper):
    async with Elector(zookeeper.where("/mine")) as elector, elector.campaign() as term:
        assert elector.is_leading
"""

OVERLAPPING = """
import asyncio
from types import SimpleNamespace
from aioha.testing import recorded
from aioha.testing.fixtures import simulated

@simulated(seeds=[41, 42])
async def test_overlap(trial):
    async def rogue(where):
        await recorded(lambda term: asyncio.sleep(60))(SimpleNamespace(token=1))
    trial.start("a", rogue)
    trial.start("b", rogue)
    await asyncio.sleep(1)
"""


def pytest_in(directory: Path, *arguments: str, conftest: str = PLUGIN, ini: str = "", **files: str) -> tuple[int, str]:
    write(directory, {"conftest": conftest, "service": SERVICE, **files}, ini)
    return run_pytest(directory, *arguments)


@pytest.fixture
def has_zookeeper() -> None:
    require((hint := missing()) is None, hint or "")


@pytest.mark.usefixtures("has_zookeeper")
def test_without_any_plugin_for_async_tests(tmp_path: Path) -> None:
    none = (*NO_ASYNCIO, "-p", "no:anyio", "-p", "no:timeout", "-p", "no:xdist")
    code, said = pytest_in(tmp_path, *none, conftest=IMPORTED, test_decorated=DECORATED)
    assert code == 0, said
    assert "4 passed" in said


@pytest.mark.usefixtures("has_zookeeper")
def test_with_anyios(tmp_path: Path) -> None:
    backend = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    marked = "import pytest\n@pytest.mark.anyio"
    code, said = pytest_in(
        tmp_path,
        *NO_ASYNCIO,
        conftest=PLUGIN + backend,
        test_decorated=DECORATED,
        test_async=ASYNC.format(mark=marked),
    )
    assert code == 0, said
    assert "6 passed" in said


@pytest.mark.usefixtures("has_zookeeper")
@pytest.mark.skipif(importlib.util.find_spec("pytest_asyncio") is None, reason="pytest-asyncio is not installed")
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_with_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    mark = "" if mode == "auto" else "import pytest\n@pytest.mark.asyncio"
    code, said = pytest_in(
        tmp_path,
        ini=f"asyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function",
        test_decorated=DECORATED,
        test_async=ASYNC.format(mark=mark),
    )
    assert code == 0, said
    assert "6 passed" in said


def test_where_zookeeper_is_missing_its_package_is_named(tmp_path: Path) -> None:
    code, said = pytest_in(tmp_path, *NO_ASYNCIO, conftest=PLUGIN + NO_ZOOKEEPER, test_decorated=DECORATED)
    assert code == 0, said
    assert "3 passed, 1 skipped" in said
    assert "apt-get install zookeeper" in said


def test_a_violation_is_a_failure_that_its_seed_repeats(tmp_path: Path) -> None:
    one = "test_overlap.py::test_overlap[seed42]"
    code, said = pytest_in(tmp_path, *NO_ASYNCIO, one, test_overlap=OVERLAPPING)
    assert code == 1
    assert "1 failed" in said
    assert "b begins (token 1) and a still works" in said
