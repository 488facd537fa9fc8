"""What a loop in virtual time schedules and waits for: asyncio's handles, tasks and futures, lighter, and in an order.

asyncio and anyio keep tasks and futures in sets, and iterate over those: here they hash by their number and not by
their address. Handles keep what a loop needs and nothing for debugging; there are hundreds of them in a virtual second.
"""

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

__all__ = ["ACTOR", "Alarm", "Future", "Handle", "Post", "Task"]

ACTOR: "contextvars.ContextVar[str]" = contextvars.ContextVar("aioha simulated actor", default="main")


class Handle:
    """Stands for `asyncio.Handle` and `TimerHandle`. `when`: as asked for, by the clock of who asked."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "reading")

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context | None, reading: float
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = contextvars.copy_context() if context is None else context
        self.is_cancelled = False
        self.reading = reading

    def cancel(self) -> None:
        """What it would have called may go at once: its time may be far away."""
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.reading

    def __repr__(self) -> str:
        return f"<Handle {'cancelled' if self.is_cancelled else self.callback} at {self.reading:g}>"


class Alarm(Handle):
    """Due by the clock that goes on while its host is suspended."""

    __slots__ = ()


class Post:
    """The network's handle: due by true time whatever clocks show, never cancelled, and its failure ends the run."""

    __slots__ = ("args", "callback", "context")
    is_cancelled = False

    def __init__(self, context: contextvars.Context, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        self.context = context
        self.callback = callback
        self.args = args


class Task(asyncio.Task[Any]):
    """`actor`: who has started it."""

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        self.number = number  # first: the base registers itself in a set
        self.actor = ACTOR.get()
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class Future(asyncio.Future[Any]):
    """`number`: to be set at once."""

    number: int

    def __hash__(self) -> int:
        return self.number


def _nothing() -> None:
    """What a cancelled handle calls."""
