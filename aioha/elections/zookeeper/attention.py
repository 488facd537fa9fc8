"""Waiting for something to happen to a node, or to the session that watches it."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ...session import ZooKeeperSession

__all__ = ["Attention"]


class Attention:
    """An event that is set by a watch (`on_event`) and by every change of a session's state.

    `fired`: since `reset` a watch of ours fired, and the connection has not changed: what it was set on has happened.
    A context manager: at the end nobody is called any more.
    """

    def __init__(self, session: ZooKeeperSession) -> None:
        self.session = session
        self.fired = False
        self._moved = False
        self._wake = asyncio.Event()
        self._unsubscribe: Callable[[], None] = session.subscribe(self._session_changed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._unsubscribe()
        self.session.forget(self.on_event)

    def reset(self) -> None:
        self.fired = self._moved = False
        self._wake.clear()

    def on_event(self, event: int, path: str) -> None:
        """For `ZooKeeperSession.exists`."""
        self.fired = not self._moved
        self._wake.set()

    async def wait(self, bound: float) -> None:
        """Until something happens, at most `bound` seconds: a net, should an event ever be lost."""
        try:
            async with asyncio.timeout(bound):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _session_changed(self) -> None:
        self._moved, self.fired = True, False
        self._wake.set()
