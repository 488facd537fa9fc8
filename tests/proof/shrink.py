"""The shortest schedule that still fails: entries are left out as long as the failure stays (delta debugging)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["shrunk"]

T = TypeVar("T")


def shrunk(entries: Sequence[T], fails: Callable[[Sequence[T]], bool], most: int = 200) -> list[T]:
    """A part of `entries` that fails, and of which no single entry can be left out; after `most` trials as far as it got.

    `entries` itself must fail.
    """
    kept, parts, trials = list(entries), 2, 0
    if fails([]):
        return []
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            trials += 1
            if trials > most:
                return kept
            if rest and fails(rest):
                kept, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(kept))
    return kept
