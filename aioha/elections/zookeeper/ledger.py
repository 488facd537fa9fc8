"""The nodes of the `ephemeral` layout, and what the record beside the election says about the last terms.

<path>               EPHEMERAL   the leader's node
<path>.aioha         persistent  the record: changed by takeovers only
<path>.aioha/seat    EPHEMERAL   the session whose work has not ended yet
<path>.aioha/ended   persistent  token of the last term that ended cleanly
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from ...record import Record, parse_record
from ...session import ZooKeeperSession
from ...settings import GRACE_SHARE
from ...wire import requests
from ...wire.errors import NoAuth, NoNode
from ...wire.requests import Stat
from ...wire.watches import OnEvent
from ..protocol import Predecessor
from .znodes import mismatch, stat_or_none

__all__ = ["Ledger", "LedgerView", "Names", "View", "look"]

log = logging.getLogger("aioha")


@dataclass(frozen=True, slots=True)
class Names:
    """See the head of this file."""

    path: str

    @property
    def record(self) -> str:
        return f"{self.path}.aioha"

    @property
    def seat(self) -> str:
        return f"{self.path}.aioha/seat"

    @property
    def ended(self) -> str:
        return f"{self.path}.aioha/ended"


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The record as read; `version` is what the next takeover must still find."""

    record: Record
    version: int
    zxid: int  # of the takeover that wrote it
    ended: int  # token of the last term that ended cleanly; 0: none

    @property
    def token(self) -> int:
        """Of the term that the record names; 0: nobody has led yet."""
        return self.zxid + self.record.token_base if self.record.number else 0

    def predecessor(self, ended: int) -> Predecessor | None:
        """Who led last, given what `ended` said after the takeover."""
        if not self.token:
            return None
        return Predecessor(self.record.identity, self.record.data, self.token, ended == self.token)

    def settle(self, ended: int) -> float:
        """Seconds to give to work that may not know yet that it is over.

        A session can be closed by a stranger, and its owner learns of it only at the next attach.
        """
        if not self.token or ended == self.token:
            return 0.0
        owed = 0.0 if ended == self.record.owed_token else self.record.owed_grace
        return max(self.record.stop_grace, owed)


@dataclass(frozen=True, slots=True)
class View:
    """One look at an election. `ledger` is None where no record is kept, or none exists yet."""

    node: Stat | None
    ledger: LedgerView | None
    seat_taken: bool = False  # the leader's node is gone, and its work has not ended yet


class Ledger:
    """Requests for the record, sent now and read later, so that they can travel behind a bid."""

    def __init__(self, session: ZooKeeperSession, names: Names) -> None:
        self._names = names
        self._longest_grace = session.timeout * GRACE_SHARE
        self._record = session.send(requests.get(names.record))
        self._ended = session.send(requests.get(names.ended))

    async def read(self) -> LedgerView | None:
        """None where there is no record yet. Raises `ResponseError`, `ConnectionError`."""
        ended = 0
        with contextlib.suppress(NoNode, NoAuth):
            ended = _token((await asyncio.shield(self._ended)).data)
        try:
            reply = await asyncio.shield(self._record)
        except NoNode:
            return None
        stat = requests.stat_of(reply)
        return LedgerView(self._parse(reply.data or b""), stat.version, stat.mzxid, ended)

    def _parse(self, raw: bytes) -> Record:
        try:
            return parse_record(raw)
        except ValueError as error:
            log.warning("record %s cannot be read (%s); the next takeover replaces it", self._names.record, error)
            return Record(number=1, stop_grace=self._longest_grace)  # whose work it was cannot be known: wait long enough


async def look(session: ZooKeeperSession, names: Names, *, keeps_record: bool, on_event: OnEvent) -> View:
    """Who leads and what the record says: one round trip that leaves a watch on the leader's node.

    Raises `LayoutMismatch`, `ResponseError`, `ConnectionError`.
    """
    reply: asyncio.Future[Any] = session.exists(names.path, on_event)
    ledger = Ledger(session, names) if keeps_record else None
    node = await stat_or_none(reply)
    if node is not None and not node.is_ephemeral:
        raise await mismatch(session, names.path)
    return View(node, await ledger.read() if ledger is not None else None)


def _token(data: bytes | None) -> int:
    try:
        return int(data or b"0")
    except ValueError:
        return 0  # rubbish: no clean end is known
