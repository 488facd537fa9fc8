"""Waiting for something to happen to a node, or to the session that watches it."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ...session import ZooKeeperSession
from ...wire.errors import SessionExpired
from ...wire.watches import DELETED

__all__ = ["Attention"]


class Attention:
    """An event that is set by a watch (`on_event`) and by every change of a session's state.

    `fired`: since `reset` a watch of ours fired, and the connection has not changed: what it was set on has happened.
    `when_gone` is called once, at once, when we hear that a node was deleted while nothing else has happened since
    `reset`. A context manager: at the end nobody is called any more.
    """

    def __init__(self, session: ZooKeeperSession) -> None:
        self.session = session
        self.fired = False
        self.when_gone: Callable[[], None] | None = None
        self._moved = False
        self._wake = asyncio.Event()
        self._unsubscribe: Callable[[], None] = session.subscribe(self._session_changed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.when_gone = None
        self._unsubscribe()
        self.session.forget(self.on_event)

    @property
    def moved(self) -> bool:
        """The connection has changed since `reset`."""
        return self._moved

    def reset(self) -> None:
        self.fired = self._moved = False
        self.when_gone = None
        self._wake.clear()

    def on_event(self, event: int, path: str) -> None:
        """For `ZooKeeperSession.exists`."""
        self.fired = not self._moved
        when_gone, self.when_gone = self.when_gone, None  # for the first event only
        self._wake.set()
        if event == DELETED and self.fired and when_gone is not None:
            with contextlib.suppress(ConnectionError, SessionExpired):  # who waits is awake, and will see why
                when_gone()

    async def wait(self, bound: float) -> bool:
        """Until something happens, at most `bound` seconds: a net, should an event ever be lost. False: nothing did. What
        happened before is not lost.
        """
        try:
            async with asyncio.timeout(bound):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    def wake(self) -> None:
        """Something else has happened."""
        self._wake.set()

    def _session_changed(self) -> None:
        self._moved, self.fired = True, False
        self._wake.set()
