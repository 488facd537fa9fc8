"""The account of one term in a queue: written beside the election when the work has begun, closed when it has ended.

It fences nothing, the member node does. Whoever is next reads it, and hears on its watch when it is written once more: in
the transaction that ends the term cleanly, right before the member node is deleted.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import SessionFailed
from ...guardian import facts
from ...leaders import Predecessor
from ...record import Record
from ...wire import requests
from ...wire.errors import BadVersion, NoNode, ResponseError
from .grant import SessionGrant
from .ground import Ground
from .ledger import Ledger
from .place import Place
from .znodes import PASSING

__all__ = ["ANY_VERSION", "Accounting"]

log = logging.getLogger("aioha")

ANY_VERSION = -1  # of member nodes: their names are theirs alone, and anybody may set their data
STUMBLE = 0.05  # seconds, jittered, after a lost connection


@dataclass(frozen=True, slots=True)
class _End:
    """The clean end of a term, ready to be sent while these are still to be fenced."""

    unfenced: Sequence[Predecessor]
    closed: list[requests.Request]
    packed: requests.Request

    def holds(self, grant: SessionGrant) -> bool:
        return grant.ended is None and self.unfenced is grant.unfenced


class Accounting:
    """Of one term. `record`: what is to be written; None: nothing. `check`: the request that only this term passes."""

    def __init__(self, ground: Ground, place: Place, record: Record | None) -> None:
        self.place = place
        self.record = record
        self._ground = ground
        self.check = requests.check(place.path, ANY_VERSION)
        self._writing: asyncio.Future[bool] | None = None
        self._end: _End | None = None

    def begin(self, version: int) -> None:
        """Write it in the background, over this version of the record. It ends with the term, at the latest."""
        if self.record is not None:
            self._writing = asyncio.ensure_future(self._write(self.record, version))

    async def is_written(self) -> bool:
        """Whether it was; waits until it is decided. Raises `SessionFailed` if it may not be, and cannot be done without."""
        return self._writing is not None and await asyncio.shield(self._writing)

    def foresee_end(self, grant: SessionGrant) -> None:
        """Once it is written, its clean end can be packed: nothing is to be in the way when the work has ended."""
        if self._writing is not None:
            self._writing.add_done_callback(lambda writing: self._pack_end(grant, writing))

    def _pack_end(self, grant: SessionGrant, writing: "asyncio.Future[bool]") -> None:
        if writing.cancelled() or writing.exception() is not None or self.place.name is None:
            return
        closed = self._closed(grant, written=writing.result())
        if closed:
            self._end = _End(grant.unfenced, closed, requests.packed(self.place.leaving(closed)))

    def send_end(self, grant: SessionGrant) -> "asyncio.Future[Any] | None":
        """Send what releases the term, whose work has ended; None: there is something to wait for first."""
        if grant.unsettled:
            return None
        if self._end is not None and self._end.holds(grant):
            return self.place.send_leave(self._end.packed)
        writing = self._writing
        if writing is not None and (not writing.done() or writing.cancelled() or writing.exception()):
            return None
        return self.place.send_leave(
            self.place.leaving(self._closed(grant, written=writing is not None and writing.result()))
        )

    async def end(self, grant: SessionGrant, sent: "asyncio.Future[Any] | None") -> None:
        """Release the term; `sent`: what `send_end` has sent. Waits while no server is attached; returns when the session is
        dead.
        """
        if grant.unsettled:
            await asyncio.sleep(grant.unsettled)
        try:
            written = await self.is_written()
        except SessionFailed as failure:
            log.error("%s", failure)  # noqa: TRY400 - a diagnosis, no bug of ours
            written = False
        try:
            await self.place.leave(self._closed(grant, written=written), sent)
        except ResponseError as error:
            log.error(  # noqa: TRY400 - a diagnosis, no bug of ours
                "%s: term %d could not be released: %s", self._ground.path, grant.token, error
            )

    async def withdraw(self, mark: bytes, *, owes: bool) -> None:
        """The term has not begun, and will not: leave the line, with nothing left that says that it had. `mark`: what its
        end writes. `owes`: a wait to whoever comes next, who is to find that as it is. Returns when the session is dead.
        """
        try:
            written = await self.is_written()
        except SessionFailed:
            written = False
        closing = self._closing(mark) if written and not owes else []
        await self.place.leave_quietly(closing)

    def will(self, grant: SessionGrant) -> "facts.Will":
        """The same as `end`, for our guardian."""
        node, names = ((grant.node, ANY_VERSION),), self._ground.names
        if self.record is None:
            return node, node, ()
        closed = replace(self.record, ended=True).encode()
        return node, node, ((names.ended, grant.ended_mark), (names.record, closed))

    def _closed(self, grant: SessionGrant, *, written: bool) -> list[requests.Request]:
        """What says that the term has ended cleanly, if anything said that it had begun."""
        if self._end is not None and self._end.holds(grant):
            return self._end.closed
        if not written or self.record is None or grant.ended is not None:
            return []
        return self._closing(grant.ended_mark)

    def _closing(self, mark: bytes) -> list[requests.Request]:
        if self.record is None:
            return []
        closed, names = replace(self.record, ended=True), self._ground.names
        return [requests.set_data(names.ended, mark), requests.set_data(names.record, closed.encode())]

    async def _write(self, record: Record, version: int) -> bool:
        session = self.place.session
        while not session.state.is_dead:
            try:
                await session.attached()
                write = requests.set_data(self._ground.names.record, record.encode(), version)
                failed = requests.failure(await session.send(requests.multi(self.check, write)))
                if failed is None:
                    return True
                found = await self._version_after(record, *failed)
                if not isinstance(found, bool):
                    version = found
                else:
                    return found
            except PASSING:
                await asyncio.sleep(random.uniform(0, STUMBLE))
            except ResponseError as error:
                self._ground.do_without_record(error)
                return False
        return False

    async def _version_after(self, record: Record, index: int, error: ResponseError) -> int | bool:
        """Which version of the record to write over after this; or whether it is written, and that is that."""
        if isinstance(error, PASSING):
            raise error
        if index == 0:
            return False  # the term is over
        if isinstance(error, NoNode):
            await self._ground.prepare(self.place.session)
            return 0 if self._ground.keeps_record else False
        if not isinstance(error, BadVersion):
            raise error
        # The clean end before ours came behind our reading, or it was us, and the reply was lost.
        view = await Ledger(self.place.session, self._ground.names).read()
        if view is None:
            return ANY_VERSION
        if view.token == record.token:
            return True
        # A newer term of ours has been accounted for meanwhile: that stands.
        return view.version if view.token < record.token or view.unreadable is not None else False
