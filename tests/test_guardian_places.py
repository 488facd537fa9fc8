"""Guardians where candidates live: in a server's worker process, and in a container as the child of PID 1."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Lines, alive
from machine import need

from aioha.testing import Ensemble

ROOT = Path(__file__).parent.parent
T = 4.0
AT_ONCE = 3.0  # seconds on a busy machine; without a guardian it takes the session timeout

SERVICE = """
import asyncio, contextlib, os, sys
import fastapi, uvicorn
from aioha import Elector

async def scheduler(term):
    print("leads", os.getpid(), flush=True)
    await asyncio.Event().wait()

@contextlib.asynccontextmanager
async def lifespan(app):
    async with Elector(os.environ["WHERE"], scheduler, on_failure="exit", guardian=True):
        print("up", os.getpid(), flush=True)
        yield

app = fastapi.FastAPI(lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run("service:app", port=0, workers=2, log_level="error")
"""


@contextmanager
def started(command: list[str], where: str, directory: Path) -> Iterator[Lines]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "WHERE": where, "PYTHONPATH": f"{ROOT}:{directory}"},
    )
    assert process.stdout is not None
    lines = Lines(process.stdout)
    killer = threading.Timer(50, process.kill)
    killer.start()
    try:
        yield lines
    finally:
        killer.cancel()
        process.terminate()
        process.wait()
        lines.join()


def pid_in(line: str) -> int:
    return int(line.split()[1])


def test_a_worker_of_uvicorn_is_killed(tmp_path: Path, zookeeper: Ensemble) -> None:
    (tmp_path / "service.py").write_text(SERVICE)
    with started(
        [sys.executable, str(tmp_path / "service.py")], zookeeper.where("/uvicorn", session_timeout=T), tmp_path
    ) as lines:
        leader = pid_in(lines.until("leads"))
        if sum(line.startswith("up") for line in lines.seen) < 2:
            lines.until("up")
        time.sleep(T / 2)  # the other one stands by with a lease of its own; nothing tells of that
        killed = time.monotonic()
        os.kill(leader, signal.SIGKILL)
        assert pid_in(lines.until("leads")) != leader
        assert time.monotonic() - killed < AT_ONCE


CANDIDATE = """
import asyncio, os
from aioha import Elector

async def work(term):
    print("leads", os.getpid(), flush=True)
    await asyncio.Event().wait()

async def main():
    async with Elector(os.environ["WHERE"], work, guardian=True):
        print("up", os.getpid(), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.root
def test_in_a_container_as_the_child_of_pid_1(tmp_path: Path, zookeeper: Ensemble) -> None:
    """PID 1 of its own pid namespace is a shell that goes on when its child is killed, as an entry point may."""
    container = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    need(subprocess.run([*container, "true"], check=False).returncode == 0, "this test needs pid namespaces (unshare)")
    program = tmp_path / "candidate.py"
    program.write_text(CANDIDATE)
    where = zookeeper.where("/container", session_timeout=T)
    # Nothing is started when the candidate dies: a guardian would have to take it for a child that was just orphaned.
    inside = [*container, "sh", "-c", f"sleep 12 & {sys.executable} {program} & wait $!; wait"]
    with started(inside, where, tmp_path) as first:
        first.until("leads")
        with started([sys.executable, str(program)], where, tmp_path) as second:
            second.until("up")
            time.sleep(T / 2)
            leader = next(pid for pid in candidates(program) if namespace(pid) != namespace(os.getpid()))
            killed = time.monotonic()
            os.kill(leader, signal.SIGKILL)
            second.until("leads")
            assert time.monotonic() - killed < AT_ONCE
            assert not alive(leader)


def candidates(program: Path) -> list[int]:
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[1:2] == [os.fsencode(program)]:
            found.append(int(name))
    return found


def namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/pid")
