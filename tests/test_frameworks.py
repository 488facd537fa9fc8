"""An elector inside real frameworks and their real servers, also when its work fails: never a server without its
scheduler."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BOUND = 20.0

FASTAPI = """
import asyncio, contextlib, sys
import fastapi, uvicorn
from aioha import Elector

WHERE, PORT, FAILS, ON_FAILURE = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "fails", sys.argv[4]

async def scheduler(term):
    print("scheduler starts", flush=True)
    try:
        if FAILS:
            await asyncio.sleep(0.2)
            raise RuntimeError("scheduler broke")
        await asyncio.sleep(60)
    finally:
        print("scheduler ends", flush=True)

@contextlib.asynccontextmanager
async def lifespan(app):
    async with Elector(WHERE, scheduler, on_failure=ON_FAILURE) as elector:
        app.state.elector = elector
        yield

app = fastapi.FastAPI(lifespan=lifespan)

@app.get("/")
async def root():
    return {"leading": app.state.elector.is_leading}

uvicorn.run(app, port=PORT, log_level="warning")
"""

AIOHTTP = """
import asyncio, sys
from aiohttp import web
from aioha import Elector

WHERE, PORT, FAILS, ON_FAILURE = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "fails", sys.argv[4]
ELECTOR = web.AppKey("elector", Elector)

async def scheduler(term):
    print("scheduler starts", flush=True)
    try:
        if FAILS:
            await asyncio.sleep(0.2)
            raise RuntimeError("scheduler broke")
        await asyncio.sleep(60)
    finally:
        print("scheduler ends", flush=True)

async def leading(app):
    async with Elector(WHERE, scheduler, on_failure=ON_FAILURE) as app[ELECTOR]:
        yield

async def root(request):
    return web.json_response({"leading": request.app[ELECTOR].is_leading})

app = web.Application()
app.cleanup_ctx.append(leading)
app.router.add_get("/", root)
web.run_app(app, port=PORT, host="127.0.0.1", print=None)
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def serve(program: str, where: str, *, fails: bool, on_failure: str) -> "tuple[subprocess.Popen[str], int]":
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", program, where, str(port), "fails" if fails else "works", on_failure],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return process, port


def answer(port: int) -> str:
    """What the server says, as soon as it listens."""
    end = time.monotonic() + BOUND
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=BOUND) as response:
                return str(response.read().decode())
        except urllib.error.URLError:
            assert time.monotonic() < end
            time.sleep(0.02)


@pytest.fixture(params=[FASTAPI, AIOHTTP], ids=["fastapi", "aiohttp"])
def program(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_scheduler_runs_in_one_of_two_servers_and_both_answer(program: str, tmp_path: Path) -> None:
    where = f"local:{tmp_path}/lock"
    first, first_port = serve(program, where, fails=False, on_failure="exit")
    assert first.stdout is not None
    assert first.stdout.readline() == "scheduler starts\n"
    second, second_port = serve(program, where, fails=False, on_failure="exit")
    assert second.stdout is not None
    try:
        assert "true" in answer(first_port)
        assert "false" in answer(second_port)
        first.send_signal(signal.SIGTERM)
        assert second.stdout.readline() == "scheduler starts\n"
        out, errors = first.communicate(timeout=BOUND)
        assert out == "scheduler ends\n", errors
        assert "true" in answer(second_port)
    finally:
        second.send_signal(signal.SIGTERM)
        out, errors = second.communicate(timeout=BOUND)
        first.kill()
    assert out == "scheduler ends\n", errors


def test_the_process_ends_when_the_scheduler_fails(program: str, tmp_path: Path) -> None:
    process, _ = serve(program, f"local:{tmp_path}/lock", fails=True, on_failure="exit")
    out, errors = process.communicate(timeout=BOUND)
    assert out == "scheduler starts\nscheduler ends\n"
    assert "scheduler broke" in errors
    assert process.returncode is not None


def test_aiohttp_raises_the_failure_of_the_scheduler(tmp_path: Path) -> None:
    process, _ = serve(AIOHTTP, f"local:{tmp_path}/lock", fails=True, on_failure="raise")
    _, errors = process.communicate(timeout=BOUND)
    assert "scheduler broke" in errors
    assert process.returncode != 0
