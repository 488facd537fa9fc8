"""`active_standby` as a program uses it: arguments, results, signals."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_local_election import until_connected

from aioha import Term, active_standby

ROOT = Path(__file__).parent.parent
BOUND = 20.0

PROGRAM = """
import asyncio, sys
from aioha import active_standby

@active_standby(sys.argv[1])
async def main(term, port=80):
    print("leading", port, term.token, flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.1)
        print("cleaned up", flush=True)
        if "stuck" in sys.argv:
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass

print("result", asyncio.run(main(port=8080)), flush=True)
"""


async def test_arguments_and_result_pass_through(tmp_path: Path) -> None:
    @active_standby(f"local:{tmp_path}/lock")
    async def main(term: Term, port: int = 80, *, host: str) -> tuple[int, str, int]:
        return port, host, term.token

    async with asyncio.timeout(BOUND):
        assert await main(8080, host="x") == (8080, "x", 1)
        assert await main(host="y") == (80, "y", 2)


async def test_own_exception_comes_out_unwrapped(tmp_path: Path) -> None:
    @active_standby(f"local:{tmp_path}/lock")
    async def main(term: Term) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await main()


async def test_works_in_a_thread_where_no_signal_can_be_caught(tmp_path: Path) -> None:
    @active_standby(f"local:{tmp_path}/lock")
    async def main(term: Term) -> int:
        return term.token

    assert await asyncio.to_thread(lambda: asyncio.run(main())) == 1


async def test_a_main_that_is_not_async_is_named(tmp_path: Path) -> None:
    @active_standby(f"local:{tmp_path}/lock")
    def main(term: Term) -> Any:
        return term.token

    with pytest.raises(TypeError, match=r"async function \(async def\); .*main returned 1"):
        await main()


def program(tmp_path: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM, f"local:{tmp_path}/lock", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_resigns_and_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    with program(tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "leading 8080 1\n"
        process.send_signal(number)
        out, errors = process.communicate(timeout=BOUND)
    errors = [line for line in errors.splitlines() if not line.startswith("Executing ")]  # says asyncio of a busy machine
    assert (out, errors, process.returncode) == ("cleaned up\nresult None\n", [], 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_standing_by_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    with program(tmp_path) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline().startswith("leading")
        with program(tmp_path) as standby:
            lock = tmp_path / "lock"
            assert lock.exists()
            until_connected(tmp_path / "lock", 1)  # it stands by
            standby.send_signal(number)
            assert standby.communicate(timeout=BOUND)[0] == "result None\n"
            assert standby.returncode == 0
        leader.kill()
        leader.communicate()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_forces(tmp_path: Path, number: signal.Signals, status: int) -> None:
    with program(tmp_path, "stuck") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        assert process.stdout.readline() == "cleaned up\n"
        process.send_signal(number)
        assert process.wait(BOUND) == status
        process.communicate()
