"""A thread that judges deadlines, since the event loop may be the thing that hangs.

One for the whole process, while any elector is open. It looks when the earliest deadline has come and, if the work is
still running then, reports it once, from the thread: what must have ended by its deadline and has not is *stuck*.
It cannot run while C code holds the GIL, nor in a stopped process.
"""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

from .clock import Clock

__all__ = ["Watched", "acquire", "release", "stacks", "watch"]

log = logging.getLogger("aioha")

LONGEST_STACK = 50  # lines
LONGEST_LOOK = 1.0  # seconds; a deadline may move, and a thread's wait does not count suspend


class Watched:
    """Work with a deadline. `due`: when it must have ended, on `clock`; may change. `stuck`: called once if it has not."""

    def __init__(self, due: Callable[[], float], clock: Clock, stuck: Callable[[], None]) -> None:
        self.due = due
        self.clock = clock
        self.stuck = stuck

    def done(self) -> None:
        """The work has ended."""
        with _lock:
            _watched.discard(self)


_watched: set[Watched] = set()
_lock = threading.RLock()  # held by itself where nobody is to be woken: `Condition` enters it in Python
_changed = threading.Condition(_lock)
_users = 0
_thread: threading.Thread | None = None


def acquire() -> None:
    """An elector opens: from now on `watch` costs no thread's start."""
    global _users, _thread  # noqa: PLW0603 - one thread a process is the point
    with _changed:
        _users += 1
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_look_on, name="aioha watchdog", daemon=True)
            _thread.start()


def release() -> None:
    """An elector closes; the last one waits until the thread has ended, a moment."""
    global _users, _thread  # noqa: PLW0603 - as above
    with _changed:
        _users = max(_users - 1, 0)  # in a forked child an elector may be left that was opened by the parent
        ending = _thread if _users == 0 else None
        if ending is not None:
            _thread = None
        _changed.notify()
    if ending is not None:
        ending.join()


def watch(watched: Watched) -> Watched:
    """Judge this from now on."""
    with _lock:
        _watched.add(watched)
        if watched.due() - watched.clock() < LONGEST_LOOK:  # else it looks in time anyway; waking it would hold the work up
            _changed.notify()
    return watched


def _look_on() -> None:
    mine = threading.current_thread()
    while True:
        with _changed:
            if _thread is not mine:
                return
            late = [each for each in _watched if each.clock() >= each.due()]
            _watched.difference_update(late)
            if not late:
                ahead = min((each.due() - each.clock() for each in _watched), default=LONGEST_LOOK)
                _changed.wait(min(max(ahead, 0.001), LONGEST_LOOK))
        for each in late:
            try:
                each.stuck()
            except Exception:  # others are watched by this thread, too
                log.critical("aioha failed to say that work is stuck", exc_info=True)


def _begin_anew() -> None:
    """In a forked child: what the parent has to watch is not ours to judge, and its thread is not here."""
    global _lock, _changed, _users, _thread  # noqa: PLW0603 - as above
    _lock = threading.RLock()
    _changed, _users, _thread = threading.Condition(_lock), 0, None
    _watched.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def stacks(task: Any, thread: int) -> str:
    """Where a task stands, and what the thread of its loop is doing; for a log, from another thread."""
    frame: FrameType | None = sys._current_frames().get(thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - documented, for this very use
    doing = "".join(traceback.format_stack(frame)) if frame is not None else "  (no such thread)\n"
    return f"The work stands at:\n{''.join(_awaiting(task.get_coro()))}The thread of its event loop is at:\n{doing}"


def _awaiting(awaited: Any) -> list[str]:
    """The lines of a suspended coroutine and of everything it awaits, outermost first."""
    lines: list[str] = []
    while awaited is not None and len(lines) < LONGEST_STACK:
        frame = _first(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            lines.extend(traceback.format_list(traceback.extract_stack(frame, limit=1)))
        awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")
    return lines


def _first(thing: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(thing, name, None)) is not None), None)
