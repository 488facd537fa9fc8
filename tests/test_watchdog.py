"""The watchdog thread itself: what it outlives, and what a forked child takes over of it."""

import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from aioha import watchdog
from aioha.watchdog import Watched

BOUND = 10.0


@pytest.fixture
def watching() -> Iterator[None]:
    watchdog.acquire()
    yield
    watchdog.release()


def late(stuck: Callable[[], None]) -> Watched:
    return watchdog.watch(Watched(lambda: 0.0, time.monotonic, stuck))


@pytest.mark.usefixtures("watching")
def test_who_fails_to_say_that_work_is_stuck_keeps_nobody_else_from_it(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise RuntimeError("can't start new thread")

    said = threading.Event()
    late(fails)
    late(said.set)
    assert said.wait(BOUND)
    again = threading.Event()
    late(again.set)
    assert again.wait(BOUND)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]


@pytest.mark.usefixtures("watching")
def test_a_forked_child_judges_nothing_of_its_parents() -> None:
    due = time.monotonic() + 0.3
    watched = watchdog.watch(Watched(lambda: due, time.monotonic, lambda: os._exit(75) if os.getpid() != parent else None))
    parent = os.getpid()
    child = os.fork()
    if not child:
        try:
            watchdog.acquire()
            time.sleep(1.5)  # longer than it takes the thread to look
            watchdog.release()
            watchdog.release()  # an elector that the parent had opened
            os._exit(0 if threading.active_count() == 1 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    watched.done()
    assert os.waitstatus_to_exitcode(status) == 0
