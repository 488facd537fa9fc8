"""One candidate's part in an election on this host.

The kernel holds the lease: it has no deadline, and it ends with the process. What this file alone decides is the order
of things: lock, file, fsync, and only then a socket that others can connect to; at the end the file, then the lock.
"""

import asyncio
import logging
import os
from dataclasses import replace

from ...clock import wall_time
from ...ended import newest
from ...errors import SessionFailed
from ...guardian.guarded import Guardian
from ...settings import Settings
from ..protocol import Candidates, Leader, Predecessor, SessionView
from . import record
from .grant import LocalGrant
from .lockfile import Lock
from .place import PASSING, Place, locate, prepare, refusal
from .presence import POLL, Watch, socket_name, this_process
from .record import Account, Process, RecordedTerm, Slot
from .view import View

__all__ = ["LocalElection"]

log = logging.getLogger("aioha")
MOST_TOKEN = 2**63 - 1
VACANT_POLL = 0.2  # seconds; nothing tells of a first leader
FIRST_LOOK = 0.001
YIELD_POLL = 0.01


class LocalElection:
    """An election among the processes of one user on one host. Takes the part of a `where` behind "local:".

    Raises `ValueError`; `SessionFailed` for an unusable `$AIOHA_DIR`.
    """

    def __init__(self, path_or_name: str, settings: Settings) -> None:
        if settings.token_floor >= MOST_TOKEN:
            raise ValueError(f"token_floor: at most {MOST_TOKEN - 1}, got {settings.token_floor}")
        self._place: Place = locate(path_or_name)
        self._settings = settings
        self._view = View(self._place)
        self._name = socket_name(self._place.path, os.geteuid())
        self._guardian = Guardian(settings.clock, tree=settings.guardian == "tree") if settings.guardian else None
        self._grant: LocalGrant | None = None
        self._lock: Lock | None = None
        self._process: Process | None = None
        self._seen = 0  # the highest token known: tokens rise even if the file is lost while we watch
        self._warned = False

    @property
    def session(self) -> SessionView | None:
        return None

    @property
    def guardian(self) -> Guardian | None:
        return self._guardian

    async def open(self) -> None:
        """Check where the lock file lies, creating nothing. Does not block. Raises `SessionFailed`."""
        prepare(self._place, create=False)
        if self._guardian is not None:
            self._guardian.start()

    async def win(self, *, yielding: bool = False) -> LocalGrant:
        """Stand by until this process holds the lock. Raises `SessionFailed`: the file is of no use, or the disk full."""
        prepare(self._place, create=True)
        if yielding:
            await self._let_another_lead()
        self._process = this_process()  # now rather than between the lock and the work
        watch = Watch(self._place.where, self._name)
        try:
            while True:
                grant = self._attempt()
                if grant is not None:
                    return grant
                await watch.wait(self._holder)
        finally:
            watch.close()

    async def _let_another_lead(self) -> None:
        """Wait until there is a token above the newest one known, at most min(1 s, T/4)."""
        loop = asyncio.get_running_loop()
        until = loop.time() + min(1.0, self._settings.session_timeout / 4)
        last = self._newest_token() if self._grant is None else self._grant.token
        while self._newest_token() <= last and loop.time() < until:  # noqa: ASYNC110 - others' doing: no event tells
            await asyncio.sleep(min(YIELD_POLL, max(until - loop.time(), 0.0)))

    def _attempt(self) -> LocalGrant | None:
        """One try at the lock: a term, or None while somebody else has it. Blocks for one fsync if it is ours."""
        try:
            lock = Lock.acquire(self._place, self._name)
        except FileNotFoundError:  # the directory went while we stood by
            prepare(self._place, create=True)
            return None
        except OSError as error:
            if error.errno not in PASSING:
                raise refusal(self._place, "open", error) from None
            if not self._warned:
                log.warning("%s: cannot try for the lock now, trying on: %s", self._place.where, error.strerror)
            self._warned = True
            return None
        if lock is None:
            return None
        try:
            grant = self._begin(lock)
        except BaseException:
            lock.close()
            raise
        self._lock, self._grant, self._warned = lock, grant, False
        return grant

    def _begin(self, lock: Lock) -> LocalGrant:
        try:
            raw = lock.read()
            last, account = self._parse(raw)
            predecessor = _predecessor(last, record.term_of(last, account.terms))
            if predecessor is not None and not predecessor.ended_cleanly:
                account = replace(account, unfenced=newest((predecessor, *account.unfenced)))
            ready = record.raised(last, max(self._settings.token_floor, self._seen))
            if ready != last:
                lock.save(ready, account)
            slot = record.begin(ready)
            now = wall_time()
            mine = RecordedTerm(
                self._settings.identity, self._settings.payload, slot.token, slot.number, now, process=self._process
            )
            account = replace(account, terms=(*_closed(account.terms, last, now), mine)[-record.KEPT_TERMS :])
            lock.save(slot, account)
            lock.announce()
        except OSError as error:
            raise refusal(self._place, "write", error) from None
        self._seen = slot.token
        grace = self._settings.grace_within(self._settings.session_timeout)
        return LocalGrant(lock, slot, account, predecessor, grace, self._guardian)

    def _parse(self, raw: bytes) -> tuple[Slot, Account]:
        """The file's state and account, for who holds the lock. Raises `SessionFailed` if tokens could go back."""
        try:
            slot = record.newest_slot(raw)
        except record.Unreadable as error:
            raise SessionFailed(
                f"{self._place.where}: {self._place.path} is damaged ({error}), so the last token is lost; stop every "
                f"candidate, remove the file, and set token_floor to a number no token has reached"
            ) from None
        if slot.suspect:
            log.warning("%s: one half of the lock file was damaged; repaired, one token skipped", self._place.where)
        try:
            account = record.unpack_account(raw)
        except record.Unreadable as error:
            log.warning("%s: the %s; the history of terms starts anew", self._place.where, error)
            account = Account()
        if slot.number and not account.terms:  # lost, and with it who was still to be fenced
            account = Account((), newest((*account.unfenced, Predecessor("", b"", slot.token, ended_cleanly=False))))
        # The account is written first: a term above the slot's never began.
        return slot, replace(account, terms=tuple(term for term in account.terms if term.token <= slot.token))

    def _holder(self) -> Process | None:
        """Which process leads according to the file."""
        state = self._view.peek()
        if state is None:
            return None
        slot, terms, _ = state
        self._seen = max(self._seen, slot.token)
        term = record.term_of(slot, terms)
        return None if term is None or slot.ended else term.process

    def _newest_token(self) -> int:
        state = self._view.peek()
        self._seen = max(self._seen, 0 if state is None else state[0].token)
        return 0 if state is None else state[0].token

    async def leader(self) -> Leader | None:
        """Who leads now. Creates nothing, locks nothing; waits 0.1 s at most for a file in the writing.

        Raises `SessionFailed` where the file may not be read, `Unavailable` when out of descriptors.
        """
        return await self._view.leader()

    async def candidates(self) -> Candidates:
        """Those who wait for a lock leave no trace: who leads is all that can be seen."""
        return await self.leader(), ()

    async def leader_after(self, last: Leader | None, *, first: bool) -> Leader | None:
        """The present leader as soon as it differs from `last`; a vacancy's end is seen within 0.2 s."""
        watch = Watch(self._place.where, self._name)
        pause = FIRST_LOOK
        try:
            while True:
                now = await self.leader()
                if first or now != last:
                    return now
                if now is None:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, VACANT_POLL)
                else:
                    await watch.wait(self._holder, POLL)
        finally:
            watch.close()

    async def history(self) -> tuple[RecordedTerm, ...]:
        """The last 64 terms, oldest first, as far as the file can be read."""
        state = self._view.peek()
        return () if state is None else tuple(term for term in state[1] if term.token <= state[0].token)

    async def close(self) -> None:
        """Let go of everything. A term that was not released does not count as having ended cleanly. Idempotent."""
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()
        if self._guardian is not None:
            await self._guardian.stop()


def _predecessor(last: Slot, term: RecordedTerm | None) -> Predecessor | None:
    if last.number == 0:
        return None
    if term is None:
        return Predecessor("", b"", last.token, last.ended)
    return Predecessor(term.identity, term.data, term.token, last.ended)


def _closed(terms: tuple[RecordedTerm, ...], last: Slot, now: float) -> tuple[RecordedTerm, ...]:
    """The account with the last term ended, if its leader has not written that itself."""
    if not terms or terms[-1].until is not None:
        return terms
    return (*terms[:-1], replace(terms[-1], until=now, how="released" if last.ended else "died"))
