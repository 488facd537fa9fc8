"""Work that does not end: reported with stacks from a thread at its deadline, or the process ends; never released early."""

import asyncio
import os
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aioha import Elector, LeadershipLost, Term, watchdog
from aioha.clock import boottime
from aioha.steps import Steps
from aioha.tenure import Tenure
from aioha.testing import Ensemble, Proxy
from aioha.watchdog import stacks

ROOT = Path(__file__).parent.parent
BOUND = 20.0

PROGRAM = """
import asyncio, sys, time
from aioha import Elector

async def sits_in_a_thread():
    await asyncio.to_thread(time.sleep, 60)

async def swallows_cancellation():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

async def blocks_the_loop():
    time.sleep(60)

async def main():
    async with Elector(sys.argv[1], session_timeout=2, on_stuck="exit") as elector:
        async with elector.campaign():
            print("leading", flush=True)
            await globals()[sys.argv[2]]()

asyncio.run(main())
"""


@pytest.mark.parametrize("work", ["swallows_cancellation", "blocks_the_loop"])
def test_the_process_ends_at_the_deadline_when_asked_to(zookeeper: Ensemble, work: str) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        where = f"zk://{proxy.address}/stuck/{uuid.uuid4().hex}"
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, where, work],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "leading\n"
        proxy.hold()
        begun = time.monotonic()
        _, errors = process.communicate(timeout=BOUND)
        assert process.returncode == 75
        assert time.monotonic() - begun < 2.0 + 1.5
        assert "this process ends" in errors
        assert work in errors  # the stack shows where


async def test_a_loop_that_is_blocked_is_reported_while_it_is(zookeeper: Ensemble, caplog: pytest.LogCaptureFixture) -> None:
    reported = threading.Event()

    class Hook:
        levelno = 0

        def __call__(self, record: object) -> bool:
            if getattr(record, "levelname", "") == "CRITICAL":
                reported.set()
            return True

    caplog.handler.addFilter(Hook())
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with Elector(f"zk://{proxy.address}/stuck/{uuid.uuid4().hex}", session_timeout=2) as elector:
            with pytest.raises(LeadershipLost):
                async with elector.campaign():
                    proxy.hold()
                    assert reported.wait(BOUND), "the watchdog must not need the loop"
            assert not elector.is_leading
            proxy.heal()
    [stuck] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "reported.wait" in stuck.getMessage()


async def test_stuck_work_is_not_released_before_it_ends(zookeeper: Ensemble, caplog: pytest.LogCaptureFixture) -> None:
    """The loop lives and the session too: only the lease was over. The node stays until the work has ended."""
    path = f"/stuck/{uuid.uuid4().hex}"
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with (
            Elector(f"zk://{proxy.address}{path}", session_timeout=2) as elector,
            Elector(zookeeper.where(path), session_timeout=2) as other,
        ):
            release = threading.Event()

            async def work(term: Term) -> None:
                while not release.is_set():
                    with suppress(asyncio.CancelledError):
                        await asyncio.sleep(0.05)

            async def campaign() -> None:
                async with elector.campaign() as term:
                    await work(term)

            task = asyncio.create_task(campaign())
            async with asyncio.timeout(BOUND):
                async for leader in other.observe():
                    if leader is not None:
                        break
                resigning = asyncio.create_task(elector.resign())
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0), other.campaign():
                        pytest.fail("two leaders")
                release.set()
                await resigning
                await asyncio.gather(task, return_exceptions=True)
                async with other.campaign():
                    pass


async def test_the_stack_of_guarded_work_shows_where_it_stands() -> None:
    async def innermost() -> None:
        await asyncio.sleep(BOUND)

    async def work() -> None:
        await innermost()

    async def lead() -> None:
        await Steps(work(), lambda: False)

    task = asyncio.create_task(lead())
    await asyncio.sleep(0)
    report = stacks(task, threading.get_ident())
    assert "in innermost" in report
    task.cancel()


WATCHED = """
import asyncio, sys, threading
from aioha import Elector

def watched():
    return any(thread.name == "aioha watchdog" for thread in threading.enumerate())

async def main(where):
    for _ in range(3):
        async with Elector(where) as elector, elector.campaign():
            assert watched()
        assert not watched()
    async with Elector(where), Elector(where + "2") as second:
        await second.__aexit__(None, None, None)  # and once more at the end of the block
        assert watched()
    assert not watched()
    async with Elector(where):
        assert watched()
    assert not watched()

asyncio.run(main(sys.argv[1]))
"""


def test_the_watchdog_ends_with_the_last_elector(zookeeper: Ensemble) -> None:
    """In a process of its own: candidates that crash in a simulation never end, and would count here as electors."""
    where = zookeeper.where(f"/stuck/{uuid.uuid4().hex}")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", WATCHED, where], env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


NO_THREADS = """
import asyncio, sys, threading
from aioha import Elector

def start(thread):
    raise RuntimeError("can't start new thread")

async def main():
    async with Elector(sys.argv[1], session_timeout=2, on_stuck="exit") as elector:
        async with elector.campaign():
            print("leading", flush=True)
            threading.Thread.start = start
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass

asyncio.run(main())
"""


def test_the_process_ends_also_where_no_thread_can_be_started(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-c", NO_THREADS, f"zk://{proxy.address}/stuck/{uuid.uuid4().hex}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "leading\n"
        proxy.hold()
        process.communicate(timeout=BOUND)
        assert process.returncode == 75


async def test_work_that_has_ended_is_not_stuck_however_long_its_release_takes(caplog: pytest.LogCaptureFixture) -> None:
    deadline, task = boottime() + 0.2, asyncio.current_task()
    terms: dict[str, Any] = {"token": 1, "number": 1, "lease": 1.0, "stop_grace": 0.0}
    grant: Any = SimpleNamespace(deadline=deadline, ended=None, doubtful=False, seated=True, listen=lambda _: None, **terms)
    assert task is not None
    watchdog.acquire()
    try:
        tenure = Tenure(grant, task, "/e", boottime, lambda _: None, exit_when_stuck=False)
        tenure.close()
        looked = threading.Event()
        watchdog.watch(watchdog.Watched(lambda: deadline + 0.1, boottime, looked.set))
        assert await asyncio.to_thread(looked.wait, BOUND)
        tenure.dismiss()
    finally:
        watchdog.release()
    assert not [record for record in caplog.records if record.levelname == "CRITICAL"]
