"""What a server's disk keeps: the tree, the transactions not known to be committed, and the newest that were.

A real server's tree is in its memory, and on its disk there are snapshots and a log that make the same one: so here it
is one thing. A copy of it, put back later, is a data directory restored from a backup.
"""

import itertools
from collections import deque
from dataclasses import dataclass, field

from .tree import Tree, Txn

__all__ = ["Difference", "Disk"]

MOST_HISTORY = 500  # transactions kept for followers that come back; who lacks more gets everything anew


@dataclass(frozen=True, slots=True)
class Difference:
    """For a follower: up to where it agrees with us, or else a whole tree; what it lacks; how far to apply that."""

    keep_to: int
    snapshot: Tree | None
    txns: list[Txn]
    commit_to: int


@dataclass(slots=True)
class Disk:
    """`log`: written down, and not known to be committed. `floor`: the zxid in front of `history`."""

    tree: Tree = field(default_factory=Tree)
    log: deque[Txn] = field(default_factory=deque[Txn])
    history: deque[Txn] = field(default_factory=lambda: deque[Txn](maxlen=MOST_HISTORY))
    floor: int = 0
    accepted_epoch: int = 0
    current_epoch: int = 0

    @property
    def newest(self) -> int:
        """zxid of the newest transaction written down."""
        return self.log[-1].zxid if self.log else self.tree.zxid

    @property
    def applied(self) -> int:
        """zxid of the newest transaction in the tree: a new leader's tree begins with its epoch, and none of its own."""
        return self.history[-1].zxid if self.history else self.floor

    def copy(self) -> "Disk":
        return Disk(
            self.tree.copy(), self.log.copy(), self.history.copy(), self.floor, self.accepted_epoch, self.current_epoch
        )

    def next_committed(self) -> Txn:
        """The oldest transaction in the log is committed; to be applied now."""
        txn = self.log.popleft()
        if len(self.history) == MOST_HISTORY:
            self.floor = self.history[0].zxid
        self.history.append(txn)
        return txn

    def difference(self, newest: int, applied: int, *, committed_only: bool) -> Difference:
        """For a follower that has written down so much, and applied so much."""
        known = [*self.history, *(() if committed_only else self.log)]
        commit_to = known[-1].zxid if known else self.tree.zxid
        keep_to = max((txn.zxid for txn in known if txn.zxid <= newest), default=self.floor)
        if newest < self.floor or applied > keep_to:  # the latter has had a future that is none any more
            pending = [] if committed_only else list(self.log)
            return Difference(self.tree.zxid, self.tree.copy(), pending, commit_to)
        return Difference(keep_to, None, list(itertools.dropwhile(lambda txn: txn.zxid <= keep_to, known)), commit_to)

    def bring_up_to_date(self, difference: Difference) -> None:
        """Only the log: nothing is applied yet."""
        if difference.snapshot is not None:
            self.tree = difference.snapshot
            self.log.clear()
            self.history.clear()
            self.floor = self.tree.zxid
        while self.log and self.log[-1].zxid > difference.keep_to:
            self.log.pop()
        self.log.extend(txn for txn in difference.txns if txn.zxid > self.tree.zxid)
