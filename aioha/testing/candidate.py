"""One copy of a service in a trial, and whether it works: known from what its work has told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

__all__ = ["AnyServer", "Candidate", "Service", "name_of"]

Service = Callable[[str], Awaitable[Any]]  # one copy of it, given where the election is held; runs until cancelled


class AnyServer(Protocol):
    """A server, real or simulated."""

    @property
    def number(self) -> int: ...
    @property
    def address(self) -> str: ...

    @property
    def alive(self) -> bool: ...


class Candidate:
    """One copy of the service. `name`: in the history; its host's, where hosts are simulated. `where`: what it was given."""

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        self.where = where
        self.task: asyncio.Task[Any] | None = None
        self.token = 0  # of the term that its work is in; 0: it does not work
        self.is_dead = False  # killed
        self.is_frozen = False

    def __repr__(self) -> str:
        what = "dead" if self.is_dead else "frozen" if self.is_frozen else f"works, {self.token}" if self.token else "idle"
        return f"<Candidate {self.name}: {what}>"

    @property
    def is_working(self) -> bool:
        """Its recorded work runs, as far as anybody but a frozen process can say."""
        return bool(self.token) and not self.is_dead and not self.is_frozen

    @property
    def takes_part(self) -> bool:
        return not self.is_dead and (self.task is None or not self.task.done())


def name_of(whom: Candidate | AnyServer) -> str:
    """In the history."""
    return whom.name if isinstance(whom, Candidate) else f"server {whom.number}"
