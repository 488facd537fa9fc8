"""One term on this host: what the elector sees of it, and how it is given up."""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...clock import wall_time
from ...errors import ElectionError
from ..protocol import Predecessor
from . import record
from .lockfile import Lock
from .record import RecordedTerm, Slot
from .view import leader_of

__all__ = ["LocalGrant"]

log = logging.getLogger("aioha")


class LocalGrant:
    """One term on this host. It ends when we release it or die; nothing else can take it."""

    settle = 0.0
    deadline = math.inf
    lease = math.inf
    doubtful = False

    def __init__(
        self, lock: Lock, slot: Slot, terms: tuple[RecordedTerm, ...], predecessor: Predecessor | None, stop_grace: float
    ) -> None:
        mine = terms[-1]
        self.token = slot.token
        self.number: int | None = slot.number
        self.leader = leader_of(mine)
        self.predecessor = predecessor
        self.stop_grace = stop_grace
        self.ended: str | None = None
        self._lock = lock
        self._slot = slot
        self._terms = terms
        self._released = False
        self._listener: Callable[[], None] = lambda: None

    def listen(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    @property
    def seated(self) -> bool:
        """Whether the lock is ours still; nobody else can lead while it is."""
        return self._lock.intact()

    async def ready(self, interrupted: asyncio.Event) -> None:
        """There is no lease to wait for."""

    async def confirm(self) -> None:
        """Look whether this process still has the lock. Never blocks, raises nothing."""
        if not self._lock.in_owner:
            self._end("this is a child of the process that leads")
        elif not self._released and not self._lock.intact():
            self._end("something in this process closed the lock file")

    def _end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why
            self._listener()

    def client(self) -> Any:
        raise ElectionError("an election on this host has no ZooKeeper client")

    async def release(self) -> None:
        """Write that the term ended cleanly, then let the lock go. Idempotent, never raises, does not block.

        Not synced: the next term does that, and after a power cut "not known to have ended" is the safe answer.
        """
        if self._released or not self._lock.in_owner:
            return
        self._released = True
        try:
            if self._lock.intact():
                self._lock.follow_path()
                done = replace(self._terms[-1], until=wall_time(), how="released")
                self._lock.save(record.end(self._slot), (*self._terms[:-1], done), lasting=False)
        except OSError as error:
            log.error("term %d of %s: cannot write that it ended: %s", self.token, self._lock.where, error.strerror)  # noqa: TRY400 - the reason is all there is to say
        finally:
            self._lock.close()
