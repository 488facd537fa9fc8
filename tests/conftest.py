"""Shared by all tests: real servers, the one asyncio backend, and no test skipped in silence."""

import os
import secrets
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import alive
from waiting import until

from aioha.testing.fixtures import ensemble, require, session_ensemble, session_zookeeper, zookeeper

__all__ = ["ensemble", "session_ensemble", "session_zookeeper", "zookeeper"]


# A run in the background of a shell inherits that the keyboard's signals are ignored, and would hand that on to all that it
# starts.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

LONGEST = 30.0  # seconds that guardians may live on: they wait for what their candidates have left, within bounds


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The only loop that aiozk, and so aioha, runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """The whole run leaves no process behind: none that we have started, in whatever way, and no guardian of one."""
    name, run = "RUN_OF_AIOHA_S_TESTS", secrets.token_hex(8)
    os.environ[name] = run
    yield
    until(lambda: not (left := started_by(f"{name}={run}".encode())) or print_left(left))
    # Guardians have no environment: those that are there now may be ours, later ones are of others on this machine.
    last = guardians_without_parent()
    until(lambda: not (left := [each for each in guardians_without_parent() if each in last]) or print_left(left), LONGEST)
    del os.environ[name]


def print_left(left: list[int]) -> bool:
    print("still running:", *(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in left if alive(pid)))
    return False


def started_by(mark: bytes) -> list[int]:
    """Processes with this in their environment, ourselves left out: we had none when we were started."""
    return [pid for pid in processes() if mark in contents(pid, "environ").split(b"\0") and alive(pid)]


def guardians_without_parent() -> list[int]:
    """They have no environment; among their arguments is the number of whom they guard."""
    found = []
    for pid in processes():
        if namespace(pid) != namespace(os.getpid()):
            continue  # where that is another's number
        arguments = contents(pid, "cmdline").split(b"\0")
        if len(arguments) > 8 and b"aioha.guardian" in arguments[4] and alive(pid) and not alive(int(arguments[7])):
            found.append(pid)
    return found


def processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def namespace(pid: int) -> str:
    """Of processes: which one it is in."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def contents(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("root") is not None:
        require(os.geteuid() == 0, "this test needs root: it changes networks, clocks or cgroups")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly what was not tested, after everything else that pytest prints of its own accord."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]) for report in skipped if isinstance(report.longrepr, tuple))
    if not reasons:
        return
    terminalreporter.section("NOT TESTED", red=True, bold=True)
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number} tests: {reason.removeprefix('Skipped: ')}", red=True)
