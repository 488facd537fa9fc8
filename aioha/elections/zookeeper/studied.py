"""What a standby in a queue has read of the leader's term, and what it has heard since.

The leader writes the record twice, at the beginning and in the transaction that ends the term cleanly. So who has read it
since the leader began hears of a clean end on its watch, in front of the event that makes it lead itself.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...ended import Ended
from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.requests import Stat
from ...wire.watches import CHANGED
from .ledger import LedgerView, Names, longest_grace, view_of

__all__ = ["Ahead", "Known", "Studied", "names"]

NEWS = 0.005  # seconds between events of one transaction, at most

Known = tuple[LedgerView, Ended]  # of the terms before ours


@dataclass(frozen=True, slots=True)
class Ahead:
    """The member before ours, as last seen."""

    path: str
    stat: Stat
    data: bytes
    is_ours: bool  # some aioha's


class Studied:
    """One reading. `closed`: what is known once the term has ended cleanly; None: it had ended, or nobody knows whose it is.
    `has_changed`: something has been heard since; `wake` is called then.
    """

    def __init__(self, paths: Names, wake: Callable[[], None]) -> None:
        self.closed: Known | None = None
        self.has_changed = False
        self._was_written = False  # and not deleted, or lost with the session
        self._view: LedgerView | None = None
        self._paths = paths
        self._wake = wake

    async def read(self, session: ZooKeeperSession) -> LedgerView:
        """Once. Raises `ResponseError`; `NoNode` where there is no record."""
        reply = await session.watching(requests.get(self._paths.record, watch=True), self.on_event)
        view = self._view = view_of(self._paths, reply, Ended(), longest_grace(session))
        if view.unreadable is None and not view.record.ended:
            # The one thing that is written between the beginning of a term and its end is that it has ended cleanly.
            self.closed = replace(view, version=view.version + 1), Ended(view.token)
        return view

    def is_of(self, before: Ahead) -> bool:
        """It is about the term of this member, which goes on."""
        view = self._view if not self.has_changed else None
        return view is not None and view.unreadable is None and names(view, before) and not view.record.ended

    def after(self, before: Ahead) -> Known | None:
        """What is known of the term of this member, which is over, without asking again; None: not all that matters."""
        view = self._view
        if view is None or view.unreadable is not None or view.record.unfenced or not names(view, before):
            return None
        if not self.has_changed:
            return view, Ended(view.token if view.record.ended else 0)
        return self.closed if self._was_written else None

    def on_event(self, event: int, path: str) -> None:
        """Most often it is a clean end, and the event that makes us lead comes next: nothing is to be in its way."""
        self._was_written, self.has_changed = event == CHANGED, True
        asyncio.get_running_loop().call_later(NEWS, self._wake)


def names(view: LedgerView, before: Ahead) -> bool:
    """Whether the record is of this member's term."""
    return view.record.token == before.stat.czxid + view.record.token_base
