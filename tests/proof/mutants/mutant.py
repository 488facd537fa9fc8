"""What a planted bug is: some attributes of production code, replaced for a while."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

__all__ = ["Change", "Mutant"]


@dataclass(frozen=True)
class Change:
    """`owner` is a class or a module of production code, `attribute` one that it has: a renamed one raises."""

    owner: Any
    attribute: str
    planted: Any


@dataclass(frozen=True)
class Mutant:
    """`wrong`: what is, in one line. `breaks`: the invariants of which one is expected to show it.

    `shows`: text of the violations that count, where another defence that is gone as well shows by itself.
    """

    name: str
    wrong: str
    breaks: tuple[str, ...]
    changes: tuple[Change, ...]
    shows: str = ""

    @contextmanager
    def planted(self) -> Generator[None]:
        with ExitStack() as stack:
            for change in self.changes:
                stack.enter_context(patch.object(change.owner, change.attribute, change.planted))
            yield
