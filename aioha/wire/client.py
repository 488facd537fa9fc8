"""aiozk's client on a session of ours, for users: `term.zookeeper`.

The facade is aiozk's, with its documented methods and its exceptions; what lies below it is not. Three of its habits
are taken away: null data (Curator fails on it), a version cache that makes unforced writes fail or overwrite, and
closing a session that is not its own.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# (a subclass of aiozk's client, which carries no types)
import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from .errors import ConnectionLoss, OperationTimeout
from .requests import Request
from .untyped import Features, States, ZKClient, protocol
from .watches import SESSION_OVER

__all__ = ["client_on"]

SERVER_VERSION = (3, 5, 0)  # container nodes and create-with-stat; the oldest release still in use


def client_on(session: Any) -> Any:
    """A client that asks this session. Its requests wait for a server, at most one session timeout."""
    return _Client(session)


class _Client(ZKClient):  # type: ignore[misc]  # a base class without types
    def __init__(self, session: Any) -> None:
        super().__init__("unused:0")
        self.session = _Session(session)
        self.stat_cache = _Forgetful()

    @property
    def features(self) -> Any:
        return Features(SERVER_VERSION)


class _Forgetful(dict[str, Any]):
    """A cache of versions that keeps none: a write without a version is a write to any version."""

    def __setitem__(self, key: str, value: Any) -> None:
        pass


class _Session:
    """The part of aiozk's Session that its client and its recipes use."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._callbacks: dict[tuple[int, str], set[Callable[[str], None]]] = {}
        self.state = _State(session)
        self.conn = None

    async def start(self) -> None:
        await self._session.attached()

    async def close(self) -> None:
        """Closes nothing: the session is the elector's."""

    async def ensure_safe_state(self, writing: bool = False) -> None:
        await self._session.attached()

    async def send(self, request: Request) -> Any:
        for each in (request, *getattr(request, "requests", ())):
            if isinstance(each, protocol.CreateRequest | protocol.SetDataRequest) and each.data is None:
                each.data = b""
        try:
            async with asyncio.timeout(self._session.timeout):
                await self._session.attached()
        except TimeoutError:
            raise OperationTimeout from None
        try:
            if getattr(request, "watch", False):
                return await self._session.watching(request, self._dispatch)
            return await self._session.send(request)
        except ConnectionError:
            raise ConnectionLoss from None

    def add_watch_callback(self, event_type: int, path: str, callback: Callable[[str], None]) -> None:
        self._callbacks.setdefault((event_type, path), set()).add(callback)

    def remove_watch_callback(self, event_type: int, path: str, callback: Callable[[str], None]) -> None:
        callbacks = self._callbacks.get((event_type, path), set())
        callbacks.discard(callback)
        if not callbacks:
            self._callbacks.pop((event_type, path), None)

    def _dispatch(self, event: int, path: str) -> None:
        events = [event] if event != SESSION_OVER else [known for known, where in self._callbacks if where == path]
        for each in events:
            for callback in tuple(self._callbacks.get((each, path), ())):
                asyncio.get_running_loop().call_soon(callback, path)


class _State:
    """Waits for one of aiozk's state names."""

    _NAMES: ClassVar = {"connected": States.CONNECTED, "suspended": States.SUSPENDED, "connecting": States.SUSPENDED}

    def __init__(self, session: Any) -> None:
        self._session = session

    @property
    def current_state(self) -> str:
        return str(self._NAMES.get(self._session.state.value, States.LOST))

    def wait_for(self, *states: str) -> asyncio.Future[None]:
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def look() -> None:
            if self.current_state in states and not reached.done():
                reached.set_result(None)

        unsubscribe = self._session.subscribe(look)
        reached.add_done_callback(lambda _: unsubscribe())
        look()
        return reached

    def remove_waiting(self, future: asyncio.Future[None], *states: str) -> None:
        future.cancel()

    def __eq__(self, state: object) -> bool:
        return self.current_state == state

    def __hash__(self) -> int:
        return hash(self.current_state)
