"""Work whose every step asks the clock first.

A loop that was blocked, or a process that was stopped, wakes with the work's next step already due. A timer can lose
that race; a look at the clock in front of the step cannot. The step is not refused but put behind the cancellation
that `Task.cancel` has asked for, so the work sees exactly what it sees in every other ending.
"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

__all__ = ["Steps"]

T = TypeVar("T")


class Steps(Generic[T]):
    """Await it in place of `work`. `over` is asked before each step; it cancels the task where the term is over."""

    def __init__(self, work: Awaitable[T], over: Callable[[], bool]) -> None:
        self._work = work
        self._over = over

    def __await__(self) -> Generator[Any, Any, T]:
        return _Guarded(self._work, self._over)


class _Guarded(Generator[Any, Any, T]):
    def __init__(self, work: Awaitable[T], over: Callable[[], bool]) -> None:
        self.gi_yieldfrom = work  # so that the stack of a task can be read through this
        self._steps = work.__await__()
        self._over = over
        self._started = False

    def send(self, value: Any) -> Any:
        if self._started and self._over():
            return None  # a bare yield: the task runs its next step at once, and that one raises the cancellation
        self._started = True
        return self._steps.send(value) if hasattr(self._steps, "send") else next(self._steps)

    def throw(self, *args: Any) -> Any:
        if self._started and self._over():  # a timeout of the work's own, or a failed future: also a step
            return None
        return self._steps.throw(*args)

    def close(self) -> None:
        self._steps.close()
