"""Seeing who leads an election and who stands by, without taking part: how it is asked; each layout says what is seen."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...errors import Unavailable
from ...session import ZooKeeperSession
from ...sessions import Sessions
from ...settings import Settings
from ...wire import requests
from ...wire.errors import ResponseError
from ..protocol import Candidates, Leader
from .attention import Attention
from .ledger import Names
from .znodes import PASSING, explain_refusal

__all__ = ["Observer"]

READ_BOUND = 5.0  # seconds that somebody who asks once will wait
STUMBLE = 0.05  # seconds, jittered, before looking again after a lost connection

Seen = TypeVar("Seen")


class Observer(ABC):
    """Reads; decides nothing."""

    def __init__(self, names: Names, settings: Settings, sessions: Sessions) -> None:
        self._names = names
        self._settings = settings
        self._sessions = sessions

    @abstractmethod
    async def _see_leader(self, session: ZooKeeperSession, attention: Attention | None) -> Leader | None:
        """Who leads; `attention` is called when that changes.

        Raises `LayoutMismatch`, `ResponseError`, `ConnectionError`.
        """

    @abstractmethod
    async def _see_all(self, session: ZooKeeperSession) -> Candidates:
        """Raises as `_see_leader`."""

    async def leader(self, *, bound: float = READ_BOUND) -> Leader | None:
        """Who leads now, at least as new as this call. `bound`: seconds. Raises as `candidates`."""
        return await self._ask(bound, lambda session: self._see_leader(session, None))

    async def candidates(self) -> Candidates:
        """All that can be seen. Raises `Unavailable`, `SessionFailed`, `LayoutMismatch`."""
        return await self._ask(READ_BOUND, self._see_all)

    async def leader_after(self, last: Leader | None, *, first: bool) -> Leader | None:
        """The present leader once it differs from `last` (at once if `first`); waits out outages."""
        while True:
            with Attention(await self._sessions.live()) as attention:
                try:
                    seen = await self._see_leader(attention.session, attention)
                    if first or _token(seen) != _token(last):
                        return seen
                    await attention.wait(attention.session.timeout)
                except PASSING:
                    await asyncio.sleep(random.uniform(0, STUMBLE))
                except ResponseError as error:
                    raise explain_refusal(error, self._names.path, self._settings.identity) from error

    async def _ask(self, bound: float, see: "Callable[[ZooKeeperSession], Awaitable[Seen]]") -> "Seen":
        try:
            async with asyncio.timeout(bound):
                session = await self._sessions.live()
                fresh = session.send(requests.sync(self._names.path))
                found = await see(session)
                await fresh
                return found
        except TimeoutError:
            raise Unavailable(f"{self._names.path}: no answer within {bound:g} s ({self._sessions.why})") from None
        except PASSING as error:
            raise Unavailable(f"{self._names.path}: {self._sessions.why}") from error
        except ResponseError as error:
            raise explain_refusal(error, self._names.path, self._settings.identity) from error


def _token(leader: Leader | None) -> int | None:
    return None if leader is None else leader.token
