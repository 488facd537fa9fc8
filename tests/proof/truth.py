"""What the ensemble has committed: who owns the leader's node, which sessions are over, and which writes came too late.

From the servers, never from a candidate. Judges I8 (a term begins on a node that is committed as its own) and stale
transactions, and tells the history what the servers alone know: RELEASED and EXPIRED.
"""

from collections.abc import Callable
from typing import Any

from aioha.testing.checks import Violation
from aioha.testing.history import History, Kind
from aioha.testing.simulated import SimulatedEnsemble
from aioha.testing.simulated.codes import Op
from aioha.testing.simulated.tree import Tree, Txn

from .candidate import Candidate
from .operator import FIRST_SESSION
from .work import COUNTER

__all__ = ["Truth"]


class Truth:
    """`happened(event)` is told of "taken", "released" and "session". `by_hand`: sessions and nodes (by czxid) that
    somebody else has ended.
    """

    def __init__(
        self,
        ensemble: SimulatedEnsemble,
        path: str,
        history: History,
        candidates: list[Candidate],
        happened: Callable[[str], None],
    ) -> None:
        self.violations: list[Violation] = []
        self.by_hand: set[int] = set()
        self.node = path  # the leader's; empty: there is none, and its name cannot be known
        self.owner = 0  # of the leader's node; 0: there is none
        self.czxid = 0  # of the newest leader's node
        self.transactions = 0
        self._told = 0  # zxid
        self._ensemble = ensemble
        self._path = path
        self._history = history
        self._candidates = candidates
        self._happened = happened
        ensemble.on_committed = self._committed
        ensemble.on_session_over = self._session_over

    def newest(self) -> Tree:
        """Of all servers. What is committed may be in their logs only, while all that have applied it are rolled back."""
        return max((server.tree for server in self._ensemble.servers), key=lambda tree: tree.zxid)

    @property
    def agreed(self) -> int:
        """zxid up to which all is committed, as far as anybody has been told."""
        return max(self.newest().zxid, self._told)

    def began(self, candidate: Candidate, session: int, czxid: int) -> None:
        """I8."""
        mine = (self.owner, self.czxid) == (session, czxid)
        if not mine and not self.by_hand & {session, czxid}:
            found = f"it is of session {self.owner:#x}, made at {self.czxid:#x}" if self.owner else "there is none"
            what = f"{candidate.name} begins on a leader's node of session {session:#x}, made at {czxid:#x}, and {found}"
            self._violated("I8", what)

    def owning(self, session: int) -> Candidate | None:
        """Whose session that is now."""
        return next((each for each in self._candidates if each.session_id == session), None)

    # ------------------------------------------------------------------ what the servers commit

    def _committed(self, txn: Txn) -> None:
        self._told = max(self._told, txn.zxid)
        if txn.op == Op.CREATE_SESSION:
            self._happened("session")
        for change in txn.changes:
            op: int = change[0]
            about: Any = change[1] if len(change) > 1 else None  # a path, or paths
            if about == COUNTER and op == Op.SET:
                self._wrote(txn, int(list(change)[2]))
            elif op in (Op.CREATE, Op.CREATE2):
                self._created_node(about, txn)
            elif op == Op.DELETE:
                self._deleted_node(about, txn)
            elif op == Op.CLOSE:
                for path in about:
                    self._deleted_node(path, txn)

    def _created_node(self, path: str, txn: Txn) -> None:
        if path == self._path:
            self._taken(txn.session, txn.zxid)

    def _deleted_node(self, path: str, txn: Txn) -> None:
        if path == self._path:
            self._deleted(txn)

    def _taken(self, session: int, czxid: int) -> None:
        self.owner, self.czxid = session, czxid
        self._happened("taken")

    def _deleted(self, txn: Txn) -> None:
        owner, self.owner = self.owner, 0
        if txn.session >= FIRST_SESSION:
            self.by_hand.add(self.czxid)
        self._happened("released")
        candidate = self.owning(owner)
        if txn.session != owner or (txn.op == Op.CLOSE and txn.cxid == 0) or self.by_hand & {owner, self.czxid}:
            return  # it was not its owner's doing
        if candidate is not None and candidate.czxid == self.czxid:
            self._history.add(Kind.RELEASED, candidate.name, token=candidate.token)

    def _wrote(self, txn: Txn, czxid: int) -> None:
        self.transactions += 1
        if czxid < self.czxid:
            self._violated("I2", f"a transaction of the term of {czxid:#x} is committed after that of {self.czxid:#x} began")

    def _session_over(self, session: int, expired: bool) -> None:
        candidate = self.owning(session)
        if expired and candidate is not None and session not in self.by_hand:
            self._history.add(Kind.EXPIRED, candidate.name, until=candidate.lease_deadline)

    def _violated(self, invariant: str, what: str) -> None:
        self.violations.append(Violation(invariant, self._ensemble.network.loop.time(), what))
