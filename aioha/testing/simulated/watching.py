"""Which connections a server tells when a node changes. One-shot, and of this server alone.

A connection may have ended while its question waited behind a write. Nobody would take its watch away again: it gets none.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from .codes import Event
from .tree import Tree

__all__ = ["WatchTables"]

Table = dict[str, dict[Any, None]]  # path -> connections, in the order in which they asked


class WatchTables:
    """Connections are told by their `notify(event, path)`. A watch on a path without a node is one on its data."""

    def __init__(self) -> None:
        self._data: Table = {}
        self._child: Table = {}

    def __len__(self) -> int:
        return sum(len(watchers) for table in (self._data, self._child) for watchers in table.values())

    def watch_data(self, path: str, connection: Any) -> None:
        _watch(self._data, path, connection)

    def watch_children(self, path: str, connection: Any) -> None:
        _watch(self._child, path, connection)

    def forget(self, connection: Any) -> None:
        for table in (self._data, self._child):
            for path in [path for path, watchers in table.items() if connection in watchers]:
                del table[path][connection]
                if not table[path]:
                    del table[path]

    def fire(self, events: Iterable[tuple[int, str]]) -> None:
        """Tell each watcher of a node once of each event, even where it watches data and children."""
        for event, path in events:
            told: dict[Any, None] = {}
            if event != Event.CHILDREN:
                told |= self._data.pop(path, {})
            if event in (Event.CHILDREN, Event.DELETED):
                told |= self._child.pop(path, {})
            for connection in told:
                connection.notify(event, path)

    def set_again(
        self, tree: Tree, zxid: int, data: Sequence[str], exist: Sequence[str], child: Sequence[str], connection: Any
    ) -> None:
        """SetWatches: what has changed since `zxid` is told at once, the rest watched."""
        for path in data:
            node = tree.get(path)
            if node is None:
                connection.notify(Event.DELETED, path)
            elif node.mzxid > zxid:
                connection.notify(Event.DATA, path)
            else:
                self.watch_data(path, connection)
        for path in exist:
            if tree.get(path) is not None:
                connection.notify(Event.CREATED, path)
            else:
                self.watch_data(path, connection)
        for path in child:
            node = tree.get(path)
            if node is None:
                connection.notify(Event.DELETED, path)
            elif node.pzxid > zxid:
                connection.notify(Event.CHILDREN, path)
            else:
                self.watch_children(path, connection)


def _watch(table: Table, path: str, connection: Any) -> None:
    if connection.is_open:
        table.setdefault(path, {})[connection] = None
