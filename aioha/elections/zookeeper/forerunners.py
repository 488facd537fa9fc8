"""Who was ahead of us in a queue when we last looked, and which of them has led since, or may have.

Whoever is first in line leads, and says so in the record a moment later. One that is deleted by hand in that moment is known
to nobody but those behind it: its work may still be ending.
"""

from collections.abc import Sequence

from .ledger import LedgerView
from .studied import Ahead

__all__ = ["Forerunners", "is_unrecorded"]


class Forerunners:
    """`led`: the one that was first in line; it has led for certain. `perhaps`: those of ours behind it that we know of."""

    def __init__(self) -> None:
        self.led: Ahead | None = None
        self.perhaps: list[Ahead] = []

    def forget(self) -> None:
        """Whatever was, we have led since, or were not in line."""
        self.led, self.perhaps = None, []

    def saw(self, ahead: int, seen: Sequence[Ahead]) -> None:
        """We have looked: so many are ahead of us, and these are the last of them."""
        self.led = seen[0] if ahead == len(seen) else None
        self.perhaps = [each for each in seen if each.is_ours and each is not self.led]

    def leads(self, member: Ahead) -> None:
        """Nobody is ahead of it any more."""
        self.led, self.perhaps = member, []

    def withdrew(self, member: Ahead) -> None:
        """It has gone while somebody was ahead of it, so it has not led."""
        self.perhaps = [each for each in self.perhaps if each is not member]


def is_unrecorded(view: LedgerView, member: Ahead) -> bool:
    """If this member has led, the record does not know of it yet."""
    return view.token < member.stat.czxid + view.record.token_base
