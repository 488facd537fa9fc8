"""A task group that lives in a task of its own, so that it may be started in one task and stopped in another.

Nothing of anyio's then encloses the user's code, and no child is ever an orphan: the first failure ends the group,
is kept, and is told.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, cast

import anyio
import anyio.abc

__all__ = ["Host"]


class Host:
    """Children started by `spawn` run until `stop`. `on_failure` hears of the first failure, once all have ended."""

    def __init__(self, name: str, on_failure: Callable[[BaseException], None]) -> None:
        self._name = name
        self._on_failure = on_failure
        self._group: anyio.abc.TaskGroup | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._group is not None

    async def start(self) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(ready), name=self._name)
        try:
            await ready
        except BaseException:
            self._task.cancel()
            raise

    def spawn(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `function()` as a child. Only between `start` and `stop`."""
        assert self._group is not None, f"{self._name} is not running"
        self._group.start_soon(function)

    async def stop(self) -> None:
        """Cancel the children and wait until they have ended. Cancelling this call does not hurry them."""
        if self._group is not None:
            self._group.cancel_scope.cancel()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self, ready: asyncio.Future[None]) -> None:
        forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                ready.set_result(None)
                await forever
        except BaseExceptionGroup as failures:
            self._on_failure(_first_leaf(failures))
        finally:
            self._group = None


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


async def finish(work: "asyncio.Future[Any]", bound: float) -> asyncio.CancelledError | None:
    """Wait for `work` at most `bound` seconds, whatever happens to this task meanwhile.

    Returns the cancellation that arrived while waiting, for the caller to raise when its own duty is done.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + bound
    interrupted: asyncio.CancelledError | None = None
    while not work.done() and (left := until - loop.time()) > 0:
        try:
            with anyio.CancelScope(shield=True):  # a cancelled scope around us would cancel each wait at once
                await asyncio.wait({work}, timeout=None if left == float("inf") else left)
        except asyncio.CancelledError as cancellation:
            interrupted = cancellation
    with contextlib.suppress(asyncio.CancelledError):
        if work.done():
            work.exception()
    return interrupted
