"""The shortest way in: an async main that runs only while this copy leads."""

import asyncio
import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, Unpack

from .elector import Elector
from .settings import Options, Settings
from .term import Term
from .where import parse

__all__ = ["active_standby"]

P = ParamSpec("P")
R = TypeVar("R")
SIGNALS = (signal.SIGTERM, signal.SIGINT)


def active_standby(
    where: str, **options: Unpack[Options]
) -> Callable[[Callable[Concatenate[Term, P], Awaitable[R]]], Callable[P, Coroutine[Any, Any, R | None]]]:
    """Make an async main an active/standby service: stand by, lead, lose, stand by again.

    The decorated function takes the same arguments without the term, which is supplied. It returns the work's value,
    or None after SIGTERM or SIGINT, which resign and end it; a second signal ends the process at once (143 or 130).
    Raises `ValueError` at once for a malformed `where` or options; when called, what `Elector` and its `lead` raise.
    """

    if callable(where):
        raise TypeError("active_standby needs to know where: write @active_standby(where)")
    Settings.resolve(parse(where), **options)  # a mistake shows where it stands, not at the first call

    def decorate(main: Callable[Concatenate[Term, P], Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R | None]]:
        @functools.wraps(main)
        async def active(*args: P.args, **kwargs: P.kwargs) -> R | None:
            @functools.wraps(main)
            def work(term: Term) -> Awaitable[R]:
                return main(term, *args, **kwargs)

            elector = Elector(where, **options)
            result: R | None = None
            with _Signals() as signals, signals.end_quietly():
                async with elector:
                    result = await elector.lead(work)
            return result

        del active.__wrapped__  # its signature has the term, which callers do not give
        return active

    return decorate


class _Signals:
    """The first signal cancels the task that entered; the second ends the process."""

    def __init__(self) -> None:
        self._received = False
        self._task: asyncio.Task[Any] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in SIGNALS:
                before = signal.getsignal(number)
                with contextlib.suppress(NotImplementedError, RuntimeError):
                    loop.add_signal_handler(number, self._on_signal, number)
                    self._before[number] = before
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for number, before in self._before.items():
            loop.remove_signal_handler(number)
            if before is not None:
                signal.signal(number, before)

    @contextlib.contextmanager
    def end_quietly(self) -> Generator[None]:
        """A cancellation that came from a signal is an ordinary end."""
        assert self._task is not None
        try:
            yield
        except asyncio.CancelledError:
            if not self._received or self._task.uncancel() > 0:
                raise

    def _on_signal(self, number: signal.Signals) -> None:
        assert self._task is not None
        if self._received:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(128 + number)
        self._received = True
        self._task.cancel(f"received {number.name}")
