"""Shared by all tests: real servers, the one asyncio backend, and no test skipped in silence."""

import os
from collections import Counter

import pytest

from aioha.testing.fixtures import ensemble, require, session_ensemble, session_zookeeper, zookeeper

__all__ = ["ensemble", "session_ensemble", "session_zookeeper", "zookeeper"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The only loop that aiozk, and so aioha, runs on."""
    return "asyncio"


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
