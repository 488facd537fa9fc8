"""Waiting in tests: never for a fixed time, always for something to come true."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 10.0) -> float:
    """Block until the condition holds; how long that took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < seconds, "it never came true"
        time.sleep(0.01)
    return time.monotonic() - begin
