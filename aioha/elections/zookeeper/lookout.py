"""What a standby in a queue hears: which nodes have changed since it looked, and whether that is still worth anything."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ...session import ZooKeeperSession
from ...wire.watches import DELETED

__all__ = ["Lookout"]


class Lookout:
    """A context manager: at its end nobody is called any more. `moved`: the connection has changed since `reset`, and with
    it all that was heard is worth nothing: look again.
    """

    def __init__(self, session: ZooKeeperSession) -> None:
        self.session = session
        self.moved = False
        self._changed = set[str]()  # paths
        self._gone = dict[str, None]()  # in the order in which they went
        self._is_awake = False
        self._waiter: asyncio.Future[None] | None = None
        self._unsubscribe: Callable[[], None] = session.subscribe(self.doubt)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._unsubscribe()
        self.session.forget(self.on_event)

    def reset(self) -> None:
        """Before looking at everything anew."""
        self.moved = False
        self._changed.clear()
        self._gone.clear()
        self._is_awake = False

    def on_event(self, event: int, path: str) -> None:
        """For `ZooKeeperSession.watching`."""
        self._changed.add(path)
        if event == DELETED and not self.moved:
            self._gone.setdefault(path)
        self.wake()

    def has_changed(self, path: str) -> bool:
        return path in self._changed

    def has_gone(self, path: str) -> bool:
        return path in self._gone

    def went_first(self, path: str, other: str) -> bool:
        """Whether that one has gone while the other was still there."""
        return next((each for each in self._gone if each in (path, other)), None) == path

    async def wait(self, bound: float) -> None:
        """Until something happens, at most `bound` seconds. What happened before is not lost."""
        if not self._is_awake:
            loop = asyncio.get_running_loop()
            self._waiter, timer = loop.create_future(), loop.call_later(bound, self.wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                timer.cancel()
        self._is_awake = False

    def wake(self) -> None:
        """Something else has happened."""
        self._is_awake = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def doubt(self) -> None:
        """Look at everything again."""
        self.moved = True
        self.wake()
