"""Runs a command's coroutine until it returns or a signal ends it; the exit code then is the shell's 128 + n."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["ENDING", "run_until_signalled", "take_signals"]

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run_until_signalled(main: Coroutine[Any, Any, int]) -> int:
    """`asyncio.run`, where the first signal cancels `main` and a second one ends the process without more ado."""
    return asyncio.run(_guarded(main))


async def _guarded(main: Coroutine[Any, Any, int]) -> int:
    task = asyncio.ensure_future(main)
    received: list[int] = []

    def on_signal(number: int) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        task.cancel()

    take_signals(on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]


def take_signals(handler: Callable[[int], None]) -> None:
    """Call `handler` with the number of each ending signal, on the running loop."""
    loop = asyncio.get_running_loop()
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and `&` in scripts ask that some be ignored
            loop.add_signal_handler(number, handler, number)
