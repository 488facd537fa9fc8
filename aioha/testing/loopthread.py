"""A thread with an asyncio loop of its own.

The fault proxies live here: they must go on working, or go on failing, while a test blocks its own loop.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["LoopThread"]

BOUND = 10.0  # seconds; nothing called in this thread takes longer unless it hangs

R = TypeVar("R")


class LoopThread:
    """Starts at once and ends with `stop()`; a daemon, so that a forgotten one does not keep the process."""

    def __init__(self, name: str) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.SelectorEventLoop()  # whatever policy a test has installed
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], R]) -> R:
        """Run `function` in the thread; returns its result once it has run. Blocks; raises `TimeoutError` after 10 s."""
        if threading.current_thread() is self._thread:
            return function()
        result: concurrent.futures.Future[R] = concurrent.futures.Future()

        def run() -> None:
            try:
                result.set_result(function())
            except Exception as error:  # noqa: BLE001 - handed to the caller, whatever it is
                result.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return result.result(BOUND)

    def stop(self) -> None:
        """Cancel what runs in the loop, wait for it, and end the thread. Idempotent; blocks for at most 10 s."""
        if self.loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self.loop).result(BOUND)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(BOUND)
        self.loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
