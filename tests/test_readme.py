"""The README's Python is compiled, type-checked in its use of aioha, and run where that needs no ensemble."""

import ast
import asyncio
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import aioha

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)

SURROUNDINGS = """
import asyncio
from contextlib import asynccontextmanager, suppress
from aiohttp import web
from aioha import Elector, Term, TermEnded, active_standby
ELECTOR = web.AppKey("elector", Elector)
served: list[int] = []
async def serve(port: int = 0, *, token: int) -> None:
    served.append(token)
async def run_scheduler(term: Term) -> None:
    served.append(term.token)
"""


def runnable(snippet: str, directory: Path) -> str:
    """The snippet with every ensemble replaced by a lock file of its own."""
    return re.sub(r'"(zk|local):[^"]*"', f'"local:{directory}/lock"', snippet)


def test_the_three_usages_are_in_the_first_screen() -> None:
    screen = README.splitlines()[:50]
    assert sum(line.startswith("```python") for line in screen) == 3


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_compile_and_import_what_exists(snippet: str) -> None:
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.ImportFrom) and node.module == "aioha":
            for name in node.names:
                assert name.name in aioha.__all__


def test_the_decorated_program_runs(tmp_path: Path) -> None:
    program = SURROUNDINGS + runnable(SNIPPETS[0], tmp_path) + "\nassert served == [1], served\n"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


def names(tmp_path: Path, *snippets: str) -> dict[str, object]:
    space: dict[str, object] = {"__name__": "readme"}
    exec(SURROUNDINGS + "".join(runnable(snippet, tmp_path) for snippet in snippets), space)  # noqa: S102 - the README's own
    return space


async def test_the_lifespan_runs_its_scheduler(tmp_path: Path) -> None:
    space = names(tmp_path, SNIPPETS[1])

    class App:
        class state:  # noqa: N801 - as FastAPI names it
            elector: aioha.Elector

    async with asyncio.timeout(10), space["lifespan"](App):  # type: ignore[operator]
        while not space["served"]:
            await asyncio.sleep(0.01)
    assert space["served"] == [1]


async def test_the_block_by_hand_runs(tmp_path: Path) -> None:
    space = names(tmp_path, SNIPPETS[2])
    async with asyncio.timeout(10):
        await space["once"]()  # type: ignore[operator]
    assert space["served"] == [1]


async def test_campaigns_and_observe_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = names(tmp_path, SNIPPETS[3])
    async with aioha.Elector(f"local:{tmp_path}/lock") as elector:
        await space["by_hand"](elector)  # type: ignore[operator]
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await space["watch"](elector)  # type: ignore[operator]
    assert space["served"] == [1]
    assert "leader: nobody" in capsys.readouterr().out


async def test_the_aiohttp_context_runs(tmp_path: Path) -> None:
    space = names(tmp_path, SNIPPETS[4])
    from aiohttp import web

    app = web.Application()
    app.cleanup_ctx.append(space["leading"])  # type: ignore[arg-type]
    runner = web.AppRunner(app)
    async with asyncio.timeout(10):
        await runner.setup()
        while not space["served"]:
            await asyncio.sleep(0.01)
        await runner.cleanup()
    assert space["served"] == [1]


def test_commands_and_exits_named_here_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aioha", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    listed = set(re.findall(r"^aioha (\w+)", README, flags=re.MULTILINE))
    assert listed == {"run", "status", "watch", "demo"}
    for command in listed:
        assert command in done.stdout


def test_every_option_in_the_table_is_one() -> None:
    table = README.split("## Options")[1].split("###")[0]
    named = set(re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE))
    assert named == set(aioha.settings.Options.__annotations__) - {"clock"}  # type: ignore[attr-defined]
