"""CMD's first moments: between fork and exec it is still of our process group, and must neither hear nor tell."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The child is kept between fork and exec until it is told to go on. What the loop has heard by then is printed.
PROGRAM = """
import asyncio, os, signal, sys
from aioha.cli.spawn import spawn

def linger():
    os.write(1, b"forked\\n")
    os.read(0, 1)

async def main():
    loop, heard = asyncio.get_running_loop(), []
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard.append, number)
    os.register_at_fork(after_in_child=linger)
    cmd = spawn(["sh", "-c", "echo began; exec sleep 1000"], os.environ, None)
    while not heard:
        await asyncio.sleep(0.01)
    print(*map(int, heard), "still" if cmd.poll() is None else cmd.returncode, flush=True)
    cmd.kill()
    cmd.wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_our_group_is_heard_once_and_not_by_cmd(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        process_group=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"forked\n"
        os.killpg(process.pid, number)
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.readline() == b"began\n"
        assert process.stdout.readline().split() == [str(int(number)).encode(), b"still"]


def test_cmd_has_neither_our_mask_nor_our_handlers() -> None:
    program = (
        "import signal, subprocess, sys; from aioha.cli.spawn import spawn; "
        "signal.signal(signal.SIGUSR1, print); signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "cmd = spawn(['cat', '/proc/self/status'], {'PATH': '/usr/bin:/bin'}, None); cmd.wait(); "
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ).stdout.splitlines()
    found = {line[:6]: int(line.split()[1], 16) for line in said if line.startswith((b"SigBlk", b"SigIgn", b"SigCgt"))}
    assert found[b"SigBlk"] == found[b"SigCgt"] == 0
    assert found[b"SigIgn"] & 1 << signal.SIGHUP - 1, "what we were started to ignore CMD ignores too"
    assert not found[b"SigIgn"] & (1 << signal.SIGUSR1 - 1 | 1 << signal.SIGINT - 1)
