"""The terms before ours that did not end cleanly, as long as ours lasts: which are left, and how that is written down.

Written to `<path>.aioha/ended`, never to the record, whose version fences: in one transaction with the checks that
only our term passes, so that a term that is over writes nothing. Safe to repeat after a lost reply.
"""

import asyncio
import random
from collections.abc import Sequence

from ...ended import Ended, clean_end
from ...leaders import Predecessor
from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.errors import NodeExists, NoNode, ResponseError
from .ground import Ground
from .znodes import PASSING, explain_refusal

__all__ = ["OldTerms"]

STUMBLE = 0.05  # seconds, jittered, before writing again after a lost connection


class OldTerms:
    """`left`: still to be fenced, newest first. `ended`: what the servers' node said when our term began."""

    def __init__(self, ground: Ground, ended: Ended, left: Sequence[Predecessor]) -> None:
        self.left = tuple(left)
        self._ground = ground
        self._ended = ended

    def mark(self, token: int) -> bytes:
        """What the end of our own term, of this token, writes."""
        return clean_end(token, (each.token for each in self.left)).encode()

    def closing(self) -> list[requests.Request]:
        """What a clean end of our term does beside all that every term does."""
        return []

    async def fenced(
        self, predecessor: Predecessor, session: ZooKeeperSession, checks: Sequence[requests.Request]
    ) -> ResponseError | None:
        """A hook has returned for this term: write it down. Returns the error of the first check that failed.

        Waits while no server is attached; returns when the session is dead. Raises `SessionFailed`.
        """
        self.left = tuple(each for each in self.left if each.token != predecessor.token)
        self._ended = self._ended.and_fenced(predecessor.token, (each.token for each in self.left))
        path, mark = self._ground.names.ended, self._ended.encode()
        write = requests.set_data(path, mark)
        while not session.state.is_dead:
            try:
                await session.attached()
                failed = requests.failure(await session.send(requests.multi(*checks, write)))
                if failed is not None and isinstance(failed[1], PASSING):  # says nothing of the term
                    raise failed[1]
            except PASSING:
                await asyncio.sleep(random.uniform(0, STUMBLE))
                continue
            if failed is None:
                return None
            index, error = failed
            if index < len(checks):
                return error
            if isinstance(error, NoNode):  # deleted by hand
                write = requests.create(path, mark, acl=self._ground.acl)
            elif isinstance(error, NodeExists):  # made anew meanwhile, or by us, and the reply was lost
                write = requests.set_data(path, mark)
            else:
                raise explain_refusal(error, path, self._ground.identity)
        return None
