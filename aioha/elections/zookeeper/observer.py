"""Seeing who leads an `ephemeral` election, without taking part."""

import asyncio
import contextlib
import random
from collections.abc import Sequence

from ...errors import Unavailable
from ...session import ZooKeeperSession
from ...sessions import Sessions
from ...settings import Settings
from ...wire import requests
from ...wire.errors import NoAuth, NoNode, ResponseError
from ...wire.watches import OnEvent
from ..protocol import Leader
from .attention import Attention
from .ledger import Ledger, LedgerView, Names
from .znodes import PASSING, explain_refusal, ignore, mismatch, stat_or_none

__all__ = ["Observer"]

READ_BOUND = 5.0  # seconds that somebody who asks once will wait
STUMBLE = 0.05  # seconds, jittered, before looking again after a lost connection
LOOKS = 3  # at a node and a record that do not belong to the same term


class Observer:
    """Reads; decides nothing."""

    def __init__(self, names: Names, settings: Settings, sessions: Sessions) -> None:
        self._names = names
        self._settings = settings
        self._sessions = sessions

    async def leader(self, *, bound: float = READ_BOUND) -> Leader | None:
        """Who leads now, at least as new as this call. `bound`: seconds.

        Raises `Unavailable`, `SessionFailed`, `LayoutMismatch`.
        """
        try:
            async with asyncio.timeout(bound):
                session = await self._sessions.live()
                fresh = session.send(requests.sync(self._names.path))
                seen = await self._see(session, ignore)
                await fresh
                return seen
        except TimeoutError:
            raise Unavailable(f"{self._names.path}: no answer within {bound:g} s ({self._sessions.why})") from None
        except PASSING as error:
            raise Unavailable(f"{self._names.path}: {self._sessions.why}") from error
        except ResponseError as error:
            raise explain_refusal(error, self._names.path, self._settings.identity) from error

    async def candidates(self) -> Sequence[Leader]:
        """Those that can be seen: of this layout, who leads."""
        leader = await self.leader()
        return [] if leader is None else [leader]

    async def leader_after(self, last: Leader | None, *, first: bool) -> Leader | None:
        """The present leader once it differs from `last` (at once if `first`); waits out outages."""
        while True:
            with Attention(await self._sessions.live()) as attention:
                try:
                    seen = await self._see(attention.session, attention.on_event)
                    if first or _token(seen) != _token(last):
                        return seen
                    await attention.wait(attention.session.timeout)
                except PASSING:
                    await asyncio.sleep(random.uniform(0, STUMBLE))
                except ResponseError as error:
                    raise explain_refusal(error, self._names.path, self._settings.identity) from error

    async def _see(self, session: ZooKeeperSession, on_event: OnEvent, looks: int = LOOKS) -> Leader | None:
        node = session.exists(self._names.path, on_event)
        data = session.send(requests.get(self._names.path))
        ledger = Ledger(session, self._names) if self._settings.record else None
        stat = await stat_or_none(node)
        if stat is not None and not stat.is_ephemeral:
            raise await mismatch(session, self._names.path)
        view: LedgerView | None = None
        if ledger is not None:
            with contextlib.suppress(NoAuth):
                view = await ledger.read()
        try:
            reply = await asyncio.shield(data)
        except NoNode:
            return None
        led = requests.stat_of(reply)
        if view is not None and view.zxid > led.czxid and looks > 1:  # a takeover came between the two replies; else
            return await self._see(session, on_event, looks - 1)  # somebody's hand has written to the record since
        return self._describe(led, reply.data or b"", view)

    def _describe(self, stat: requests.Stat, data: bytes, ledger: LedgerView | None) -> Leader:
        if ledger is not None and ledger.zxid == stat.czxid:
            return Leader(ledger.record.identity, data, ledger.token, stat.ctime)
        text = data.rstrip(b"\0")  # the C++ scheme ends its data with one
        return Leader(text.decode(errors="replace"), text, stat.czxid, stat.ctime)


def _token(leader: Leader | None) -> int | None:
    return None if leader is None else leader.token
