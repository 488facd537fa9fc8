"""One term on this host: what the elector sees of it, and how it is given up."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ...clock import wall_time
from ...errors import ElectionError
from ...guardian import facts
from ...guardian.guarded import Guardian
from ..protocol import Operation, Predecessor
from . import record
from .lockfile import Lock
from .place import refusal
from .record import Account, Slot
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
        self,
        lock: Lock,
        slot: Slot,
        account: Account,
        predecessor: Predecessor | None,
        stop_grace: float,
        guardian: Guardian | None,
    ) -> None:
        self.token = slot.token
        self.number: int | None = slot.number
        self.leader = leader_of(account.terms[-1])
        self.predecessor = predecessor
        self.stop_grace = stop_grace
        self.ended: str | None = None
        self._lock = lock
        self._slot = slot
        self._account = account
        self._guardian = guardian
        self._released = False
        self._listener: Callable[[], None] = lambda: None

    def listen(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    @property
    def seated(self) -> bool:
        """Whether the lock is ours still; nobody else can lead while it is."""
        return self._lock.intact()

    @property
    def unfenced(self) -> Sequence[Predecessor]:
        return self._account.unfenced

    async def leased(self, interrupted: asyncio.Event) -> None:
        """There is no lease to wait for."""

    async def ready(self, interrupted: asyncio.Event) -> None:
        """The work is about to start: should we die, our guardian holds the lock until nothing of it is left."""
        if self._guardian is not None:
            self._guardian.know(facts.HELD, True, self._lock.descriptors)

    async def fenced(self, predecessor: Predecessor) -> None:
        """Blocks for one fsync."""
        left = tuple(each for each in self._account.unfenced if each.token != predecessor.token)
        self._account = replace(self._account, unfenced=left)
        await self.confirm()
        if self.ended is not None or self._released:
            return
        try:
            self._lock.follow_path()
            slot = record.renewed(self._slot)
            self._lock.save(slot, self._account)
            self._slot = slot  # only now: the next one must be written over the other, whichever of them counts
        except OSError as error:
            raise refusal(self._lock.place, "write", error) from None

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

    @property
    def no_transactions(self) -> str | None:
        return (
            "an election on this host has no store to write to: send term.token with every write to a store that "
            "compares it (docs/fencing.md), or hold the election on ZooKeeper"
        )

    async def commit(self, operations: Sequence[Operation], check: Callable[[], None]) -> bool:
        raise ElectionError(self.no_transactions)

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
                *terms, mine = self._account.terms
                done = replace(mine, until=wall_time(), how="released")
                account = replace(self._account, terms=(*terms, done))
                self._lock.save(record.end(self._slot), account, lasting=False)
        except OSError as error:
            log.error("term %d of %s: cannot write that it ended: %s", self.token, self._lock.where, error.strerror)  # noqa: TRY400 - the reason is all there is to say
        finally:
            try:
                if self._guardian is not None:  # its copy of the socket would keep the next one from binding the name
                    self._guardian.forget(facts.HELD)
                    await self._guardian.heard()
            finally:
                self._lock.close()
