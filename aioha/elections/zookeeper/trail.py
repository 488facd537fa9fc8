"""Hadoop's breadcrumb: what whoever works leaves behind until its clean end, so that the next one knows whom to fence.

<path>/ActiveStandbyElectorLock   EPHEMERAL    the leader's node
<path>/ActiveBreadCrumb           persistent   the leader's data, until its clean end

As its ActiveStandbyElector does: whoever has won reads the breadcrumb; if it is another's, that one is fenced, and only then
it is written over, at the version that was read. Who ends cleanly deletes its own.
"""

import asyncio
import random
from collections.abc import Sequence

from ...ended import Ended, newest
from ...leaders import Predecessor
from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.errors import ResponseError
from .ground import Ground
from .ledger import Breadcrumb, breadcrumb_of, unrecorded
from .oldterms import OldTerms
from .znodes import PASSING, commit_something

__all__ = ["Trail"]

STUMBLE = 0.05  # seconds, jittered, before writing again after a lost connection


class Trail(OldTerms):
    """The terms before ours, and the breadcrumb. `found`: the breadcrumb of another that our takeover has left alone."""

    def __init__(
        self,
        ground: Ground,
        ended: Ended,
        left: Sequence[Predecessor],
        found: Breadcrumb | None,
        ours: bytes,
        base: int,
        *,
        keeps_record: bool,
    ) -> None:
        super().__init__(ground, ended, left)
        self._path = ground.names.breadcrumb
        self._found = found
        self._ours = ours
        self._keeps_record = keeps_record
        self._whose = 0  # the token of the term that has left it
        if found is not None:
            known = [each for each in self.left if each.data == found.data]
            whose = known[0] if known else unrecorded(found.data, found.zxid + base)
            self._whose = whose.token
            self.left = newest((whose, *self.left))

    @property
    def last(self) -> Predecessor | None:
        """Whose breadcrumb it is."""
        return next((each for each in self.left if each.token == self._whose), None)

    def closing(self) -> list[requests.Request]:
        return [] if self._found is not None else [requests.delete(self._path)]

    async def fenced(
        self, predecessor: Predecessor, session: ZooKeeperSession, checks: Sequence[requests.Request]
    ) -> ResponseError | None:
        if self._found is not None and predecessor.token == self._whose:
            error = await self._write_over(self._found, session, checks)
            if error is not None:
                return error
            self._found = None
        if self._keeps_record:
            return await super().fenced(predecessor, session, checks)
        self.left = tuple(each for each in self.left if each.token != predecessor.token)
        return None

    async def _write_over(
        self, found: Breadcrumb, session: ZooKeeperSession, checks: Sequence[requests.Request]
    ) -> ResponseError | None:
        write = requests.set_data(self._path, self._ours, found.version)
        is_repeated = False
        while not session.state.is_dead:
            try:
                await session.attached()
                if is_repeated:
                    await commit_something(session)
                    now = await breadcrumb_of(session.send(requests.get(self._path)))
                    if now is not None and now.data == self._ours:
                        return None
                failed = requests.failure(await session.send(requests.multi(*checks, write)))
                if failed is not None and isinstance(failed[1], PASSING):  # says nothing of the term
                    raise failed[1]
            except PASSING:
                is_repeated = True
                await asyncio.sleep(random.uniform(0, STUMBLE))
                continue
            return None if failed is None else failed[1]
        return None
