"""What one candidate of an `ephemeral` election stands on: the names of its nodes, and making those that must be there."""

import asyncio
import logging

from ...errors import SessionFailed
from ...session import ZooKeeperSession
from ...settings import Settings
from ...wire import requests
from ...wire.errors import NoAuth, NodeExists, NoNode, ResponseError
from .leaving import leave
from .ledger import Names
from .znodes import ensure

__all__ = ["Ground"]

log = logging.getLogger("aioha")

MOST_KEPT = 64 * 1024  # bytes of an unreadable record


class Ground:
    """See the head of this file. `keeps_record` turns false where the servers do not let us, until the next campaign."""

    def __init__(self, path: str, settings: Settings) -> None:
        self.path = path
        self.names = Names(path, is_folder=settings.layout == "hadoop")
        self.acl = settings.acl
        self.identity = settings.identity
        self._settings = settings
        self.keeps_record = self._wants_record = settings.record and settings.layout != "mooon"
        self._wants_line = True
        self._said = False  # that we have to do without
        self._said_line = False

    @property
    def keeps_line(self) -> bool:
        """Standbys wait in line. Turns false as `keeps_record` does, and with it."""
        return self._wants_line and self.keeps_record

    def begin(self) -> None:
        """A new campaign: what the servers have refused they may allow by now."""
        self.keeps_record = self._wants_record
        self._wants_line = True

    @property
    def no_transactions(self) -> str:
        """Where no record is kept: why transactions cannot be fenced, and what to do."""
        why = "no permission for it"
        if self._settings.layout == "mooon":
            why = "layout=mooon"
        elif not self._settings.record:
            why = "record=False"
        return (
            f"transactions cannot be fenced without a record ({why}): allow one at {self.names.record}, or send "
            f"term.token with every write to a store that compares it (docs/fencing.md)"
        )

    @property
    def is_refused_record(self) -> bool:
        return self._wants_record and not self.keeps_record

    async def prepare(self, session: ZooKeeperSession) -> None:
        """Create parents and record where they are missing. Raises `ResponseError`, `ConnectionError`."""
        await ensure(session, self.names.leader.rpartition("/")[0], self.acl)
        if self.keeps_record:
            try:
                await ensure(session, self.names.ended, self.acl)
            except NoAuth as error:
                self.do_without_record(error)

    def do_without_record(self, error: ResponseError) -> None:
        """The servers refuse one: hold a plain race in this campaign, and say so once. Raises `SessionFailed` if it
        cannot be done without, as nobody would know then whom to fence.
        """
        if self._settings.fence is not None and not self.names.is_folder:  # where the breadcrumb tells
            raise SessionFailed(
                f"no permission to keep a record at {self.names.record} ({error}), and without one nobody knows how the "
                f"last term ended, which fence= needs (candidate {self.identity}); check the ACL, or do without the hook"
            ) from error
        self.keeps_record = False
        if self._said:
            return
        self._said = True
        log.warning(
            "%s: no permission to keep a record at %s (%s): a plain race in this campaign, without term numbers, "
            "fenced transactions and the wait after an unclean end",
            self.path,
            self.names.record,
            error,
        )

    def do_without_line(self, error: ResponseError) -> None:
        """The servers let nobody stand in line: a plain race in this campaign; says so once."""
        self._wants_line = False
        if not self._said_line:
            self._said_line = True
            log.warning(
                "%s: no permission to stand in line at %s (%s): a plain race in this campaign, in which every standby looks "
                "at the leader",
                self.path,
                self.names.line,
                error,
            )

    async def keep_aside(self, session: ZooKeeperSession, raw: bytes) -> None:
        """Save what an unreadable record holds, before a takeover replaces it. Raises `ConnectionError` and the like."""
        path, raw = self.names.unreadable, raw[:MOST_KEPT]
        replies = [session.send(requests.create(path, raw, acl=self.acl)), session.send(requests.set_data(path, raw))]
        for reply in replies:  # one of them does it, whether the node is there or not, in one round trip
            try:
                await asyncio.shield(reply)
            except NodeExists:
                pass
            except (NoAuth, NoNode) as error:
                log.warning("%s: cannot keep the unreadable record in %s: %s", self.path, path, error)
                return

    async def clear(self, session: ZooKeeperSession) -> None:
        """Remove what a bid or a term of ours has left, so that nobody waits for it. Raises `ResponseError`."""
        await leave(session, self.names, record=self.keeps_record, breadcrumb=self._settings.payload)
