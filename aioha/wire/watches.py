"""Which one-shot watches the server holds for this session, and who waits for each. No I/O.

A watch is armed by the *reply* to a watching request, so what is tracked here is what the server watches. After a
re-attach all of it is sent again with the last zxid seen on the old connection, and the server fires at once what has
been missed. An event says "look again", not what happened: a node deleted and made anew while we were away may be
reported as changed.
"""

from collections.abc import Callable, Iterator
from enum import Enum

from .requests import Request
from .untyped import protocol

__all__ = ["CHANGED", "DELETED", "OnEvent", "WatchKind", "Watches"]

OnEvent = Callable[[int, str], None]  # event type (0: the session is over) and path
# Servers refuse frames above jute.maxbuffer (1 MiB): stay far below, as their own client does.
LARGEST_REQUEST = 128 * 1024
SESSION_OVER = 0
DELETED: int = protocol.WatchEvent.DELETED
CHANGED: int = protocol.WatchEvent.DATA_CHANGED


class WatchKind(Enum):
    """The three tables of SetWatches."""

    __hash__ = object.__hash__  # `Enum`'s own is Python, on the way of every event

    DATA = "data"  # armed on a node that exists
    EXIST = "exist"  # armed on a path where there is none yet
    CHILD = "child"


_EVENT = protocol.WatchEvent
_FIRED_BY: dict[int, tuple[WatchKind, ...]] = {
    _EVENT.CREATED: (WatchKind.EXIST, WatchKind.DATA),
    _EVENT.DELETED: (WatchKind.DATA, WatchKind.EXIST, WatchKind.CHILD),
    _EVENT.DATA_CHANGED: (WatchKind.DATA, WatchKind.EXIST),
    _EVENT.CHILDREN_CHANGED: (WatchKind.CHILD,),
}


class Watches:
    """See the head of this file."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[WatchKind, str], list[OnEvent]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def armed(self, kind: WatchKind, path: str, on_event: OnEvent) -> None:
        """The server watches `path` now; `on_event` is called once, when it says so."""
        waiting = self._waiting.setdefault((kind, path), [])
        if on_event not in waiting:
            waiting.append(on_event)

    def fired(self, event: int, path: str) -> None:
        """The server reported an event, and with it dropped the watch."""
        for kind in _FIRED_BY.get(event, ()):
            for on_event in self._waiting.pop((kind, path), ()):
                on_event(event, path)

    def dropped(self) -> None:
        """The session is over: nothing will ever fire. Everybody must look again (and will see why)."""
        waiting, self._waiting = self._waiting, {}
        for (_, path), callbacks in waiting.items():
            for on_event in callbacks:
                on_event(SESSION_OVER, path)

    def forget(self, on_event: OnEvent) -> None:
        """Nobody waits for this any more. The server's watch stays and will fire for nobody."""
        for key, callbacks in list(self._waiting.items()):
            if on_event in callbacks:
                callbacks.remove(on_event)
                if not callbacks:
                    del self._waiting[key]

    def requests(self, last_zxid: int) -> Iterator[Request]:
        """SetWatches requests that arm everything again, each below the size that servers accept."""
        tables = _empty_tables()
        size = 0
        for kind, path in self._waiting:
            tables[kind].append(path)
            size += len(path.encode()) + 4
            if size > LARGEST_REQUEST:
                yield _set_watches(last_zxid, tables)
                tables, size = _empty_tables(), 0
        if size:
            yield _set_watches(last_zxid, tables)


def _empty_tables() -> dict[WatchKind, list[str]]:
    return {kind: [] for kind in WatchKind}


def _set_watches(last_zxid: int, tables: dict[WatchKind, list[str]]) -> Request:
    request = protocol.SetWatchesRequest(
        relative_zxid=last_zxid,
        data_watches=tables[WatchKind.DATA],
        exist_watches=tables[WatchKind.EXIST],
        child_watches=tables[WatchKind.CHILD],
    )
    request.special_xid = SET_WATCHES_XID
    return request


SET_WATCHES_XID = -8  # as ZooKeeper's own client; any number would do
