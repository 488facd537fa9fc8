"""What one candidate of an `ephemeral` election stands on: the names of its nodes, and making those that must be there."""

import logging

from ...session import ZooKeeperSession
from ...settings import Settings
from ...wire.errors import NoAuth, ResponseError
from .leaving import leave
from .ledger import Names
from .znodes import ensure

__all__ = ["Ground"]

log = logging.getLogger("aioha")


class Ground:
    """See the head of this file. `keeps_record` turns false where the servers do not let us."""

    def __init__(self, path: str, settings: Settings) -> None:
        self.path = path
        self.names = Names(path)
        self.acl = settings.acl
        self.keeps_record = settings.record and settings.layout != "mooon"

    async def prepare(self, session: ZooKeeperSession) -> None:
        """Create parents and record where they are missing. Raises `ResponseError`, `ConnectionError`."""
        await ensure(session, self.path.rpartition("/")[0], self.acl)
        if self.keeps_record:
            try:
                await ensure(session, self.names.ended, self.acl)
            except NoAuth as error:
                self.do_without_record(error)

    def do_without_record(self, error: ResponseError) -> None:
        """The servers refuse one: hold a plain race from now on, and say so once."""
        self.keeps_record = False
        log.warning(
            "%s: no permission to keep a record at %s (%s): a plain race from now on, without term numbers, fenced "
            "transactions and the wait after an unclean end",
            self.path,
            self.names.record,
            error,
        )

    async def clear(self, session: ZooKeeperSession) -> None:
        """Remove what a bid or a term of ours has left, so that nobody waits for it. Raises `ResponseError`."""
        await leave(session, self.names, record=self.keeps_record)
