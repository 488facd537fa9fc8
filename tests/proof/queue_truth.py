"""The same as `truth` where the leader is the first in a line of members."""

from collections.abc import Callable
from typing import Any

from aioha.elections.zookeeper.dialects import Dialect
from aioha.testing.history import History
from aioha.testing.simulated import SimulatedEnsemble
from aioha.testing.simulated.tree import Txn

from .candidate import Candidate
from .truth import Truth

__all__ = ["QueueTruth"]


class QueueTruth(Truth):
    """`members`: path of each member in line -> (its session, the change that made it), the first one first."""

    def __init__(
        self,
        ensemble: SimulatedEnsemble,
        path: str,
        history: History,
        candidates: list[Candidate],
        happened: Callable[[str], None],
        dialect: Dialect,
    ) -> None:
        super().__init__(ensemble, path, history, candidates, happened)
        self.members = dict[str, tuple[int, int]]()
        self.node = ""
        self._dialect = dialect

    def _created_node(self, path: Any, txn: Txn) -> None:
        if self._is_member(path):
            self.members[path] = (txn.session, txn.zxid)
            self._look_who_is_first()

    def _deleted_node(self, path: Any, txn: Txn) -> None:
        if self.members.pop(path, None) is not None and path == self.node:
            self.node = ""
            self._deleted(txn)
            self._look_who_is_first()

    def _is_member(self, path: str) -> bool:
        parent, _, name = path.rpartition("/")
        return parent == self._path and self._dialect.number(name) is not None

    def _look_who_is_first(self) -> None:
        if not self.node and self.members:
            self.node = next(iter(self.members))  # the servers number them in the order in which they come
            self._taken(*self.members[self.node])
