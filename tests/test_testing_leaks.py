"""`no_leaks` finds what was left behind, and nothing else."""

import asyncio
import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest

from aioha.testing import no_leaks


async def test_leaked_tasks_are_found() -> None:
    check = no_leaks(timeout=0.1)
    await check.__aenter__()
    task = asyncio.create_task(asyncio.sleep(60), name="forgotten")
    with pytest.raises(AssertionError, match="forgotten"):
        await check.__aexit__(None, None, None)
    task.cancel()


async def test_what_ends_by_itself_soon_is_no_leak() -> None:
    async with no_leaks():
        task = asyncio.create_task(asyncio.sleep(0.1))
    assert task.done()


def test_leaked_descriptors_threads_and_children_are_found() -> None:
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait, name="dangling")
    with contextlib.ExitStack() as stack:
        check = no_leaks(timeout=0.1)
        check.__enter__()
        stack.enter_context(Path(os.devnull).open())
        child = stack.enter_context(subprocess.Popen(["sleep", "60"]))
        stack.callback(child.kill)
        thread.start()
        stack.callback(leave.set)
        with pytest.raises(AssertionError, match="dangling") as caught:
            check.__exit__(None, None, None)
    thread.join()
    assert "-> /dev/null" in str(caught.value)
    assert f"child process {child.pid} (sleep)" in str(caught.value)


def test_a_failing_block_keeps_its_own_exception() -> None:
    def leak_and_fail() -> None:
        with no_leaks(timeout=0.1):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            raise KeyError

    with contextlib.ExitStack() as stack, pytest.raises(KeyError):
        leak_and_fail()
