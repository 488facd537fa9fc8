"""What happens in the forks: the tests that reach each function, and the first test that notices a mutant."""

import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from .changes import Mutant, function

LONGEST = 10.0  # seconds: a test that takes longer is left to `make test`
STARTING = 30.0  # seconds for a server, on a busy machine
Reach = dict[str, tuple[float, list[str]]]  # by test: its seconds, the functions that it calls


def reached(items: list[pytest.Item], functions: list[tuple[str, str]]) -> Reach:
    """Run each test once, unchanged. Tests that fail, last too long or call none of the functions are left out."""
    names = {id(function(*each).__code__): ":".join(each) for each in functions}
    called: set[str] = set()

    def look(frame: FrameType, _event: str, _argument: object) -> None:
        name = names.get(id(frame.f_code))
        if name is not None:
            called.add(name)

    signal.signal(signal.SIGALRM, _give_up)
    found = {}
    for item in items:
        called.clear()
        threading.settrace(look)
        sys.settrace(look)
        seconds, failed = _attempt(item, 2 * LONGEST)
        sys.settrace(None)
        if not failed and seconds < LONGEST and called:
            found[item.nodeid] = (seconds, sorted(called))
    return found


def noticed(mutant: Mutant, groups: list[list[tuple[pytest.Item, float]]], budget: float) -> str | None:
    """The first test, in this order, that fails with this mutant and passes without it, in this same process; None if none
    does within the budget, which is that of each group; "" if there is no such mutant. A test that takes far too long ends
    the process by SIGALRM."""
    try:
        end = mutant.begin()
    except ValueError:  # it uses other names of the functions around it
        return ""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for tests in groups:
        until = time.monotonic() + budget
        for item, seconds in tests:
            if time.monotonic() > until:
                break
            limit = 10 * seconds + STARTING
            if _attempt(item, limit)[1]:
                end()
                if not _attempt(item, limit)[1]:
                    return item.nodeid
                mutant.begin()  # the test is at fault, not the mutant
    return None


def _give_up(_number: int, _frame: object) -> None:
    sys.settrace(None)
    pytest.fail("takes too long")


def _attempt(item: pytest.Item, limit: float) -> tuple[float, bool]:
    """Its seconds, and whether it failed."""
    begun = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, limit, 2.0)  # again, where a loop has swallowed what was raised
    session: Any = item.session  # as if next: all is torn down but what the whole run shares
    try:
        failed = any(report.failed for report in runtestprotocol(item, log=False, nextitem=session))
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - told once more to give up, in the midst of reporting it
        failed = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return time.monotonic() - begun, failed
