"""What the lock file and its socket show to who does not hold the lock. Creates nothing, locks nothing."""

import asyncio
import os

from ...errors import Unavailable
from ..protocol import Leader
from . import record
from .place import PASSING, Place, refusal
from .presence import connect, socket_name
from .record import RecordedTerm, Slot
from .storage import read_file

__all__ = ["View", "leader_of"]

READ_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)  # seconds
UNKNOWN = "unknown"  # who leads where the file does not say


def leader_of(term: RecordedTerm) -> Leader:
    return Leader(term.identity, term.data, term.token, term.since)


class View:
    """One election, seen from outside."""

    def __init__(self, place: Place) -> None:
        self._place = place

    async def leader(self) -> Leader | None:
        """Who leads now. Creates nothing, locks nothing; waits 0.1 s at most for a file in the writing.

        Raises `SessionFailed` where the file may not be read, `Unavailable` when out of descriptors.
        """
        found: Leader | None = None
        for pause in (*READ_PAUSES, 0.0):
            alive, found = self.look()
            if not alive or (found is not None and found.identity != UNKNOWN):
                break
            await asyncio.sleep(pause)
        return found

    def look(self) -> tuple[bool, Leader | None]:
        """Whether somebody listens, and the leader according to the file, which is certain if it is not UNKNOWN."""
        try:
            read = read_file(self._place.path)
            # The owner's socket, so that root sees it too.
            name = socket_name(self._place.path, os.geteuid() if read is None else read[1])
            alive, connection = connect(name)
            if connection is not None:
                connection.close()
        except OSError as error:
            if error.errno in PASSING:
                raise Unavailable(f"{self._place.where}: cannot see who leads: {error.strerror}") from None
            raise refusal(self._place, "read", error) from None
        if not alive:
            return False, None
        state = self.peek()  # read after the connect: a leader that listens has written it
        if state is None:
            return True, Leader(UNKNOWN, b"", 0, 0.0)
        slot, terms, _ = state
        if slot.ended:  # about to let go
            return True, None
        term = record.term_of(slot, terms)
        return True, Leader(UNKNOWN, b"", slot.token, 0.0) if term is None else leader_of(term)

    def peek(self) -> tuple[Slot, tuple[RecordedTerm, ...], int] | None:
        """Slot, terms, owner's uid as far as they can be read without the lock: the file may be in the writing."""
        try:
            found = read_file(self._place.path)
            if found is None:
                return None
            raw, uid = found
            slot = record.newest_slot(raw)
        except (OSError, record.Unreadable):
            return None
        try:
            return slot, record.unpack_account(raw).terms, uid
        except record.Unreadable:
            return slot, (), uid
