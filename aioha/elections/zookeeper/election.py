"""What every election in ZooKeeper is made of: the sessions it rests on, the ground it stands on, and who looks on."""

import asyncio
import contextlib

from ...errors import Unavailable
from ...guardian.guarded import Guardian
from ...record import LARGEST_BASE
from ...sessions import Sessions
from ...settings import Settings
from ..protocol import Candidates, Leader
from .ground import Ground
from .observer import Observer

__all__ = ["TAKING_OVER", "ZooKeeperElection"]

TAKING_OVER = 0.05  # seconds in which who has resigned asks for nothing: the others are at it, or on their way into line
FIRST_LOOK_BOUND = 1.0  # seconds that entering may take beyond the connect
LEAVE_BOUND = 5.0  # seconds that the end waits for a removal once the session is closed


class ZooKeeperElection:
    """The part of `Election` that layouts share. Raises `ValueError` for a `token_floor` beyond the record's."""

    def __init__(self, ground: Ground, settings: Settings, sessions: Sessions, observer: Observer, *, owns: bool) -> None:
        if settings.token_floor > LARGEST_BASE:
            raise ValueError(f"token_floor: at most {LARGEST_BASE}, got {settings.token_floor}")
        self.path = ground.path
        self._ground = ground
        self._settings = settings
        self._sessions = sessions
        self._owns_sessions = owns
        self._observer = observer
        self._leaving: asyncio.Future[None] | None = None  # what of our session's is being removed from the path
        self._has_path = False

    @property
    def session(self) -> Sessions:
        return self._sessions

    @property
    def guardian(self) -> Guardian | None:
        return self._sessions.guardian

    async def open(self) -> None:
        self._leaving = self._sessions.claim(self.path)
        self._has_path = True
        try:
            if self._owns_sessions:
                await self._sessions.open(self._settings.connect_timeout)
            if self._sessions.server is not None:
                self._settings.grace_within(self._sessions.timeout)
                with contextlib.suppress(Unavailable):
                    # A path that holds something else is refused before anybody campaigns.
                    await self._observer.leader(bound=FIRST_LOOK_BOUND)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        try:
            if self._owns_sessions:
                await self._sessions.close()
            if self._leaving is not None:
                await asyncio.wait({self._leaving}, timeout=LEAVE_BOUND)
        finally:  # whoever comes on the same session must not lose to it what is theirs
            if self._has_path:
                self._has_path = False
                self._sessions.unclaim(self.path, self._leaving)

    async def leader(self) -> Leader | None:
        return await self._observer.leader()

    async def leader_after(self, last: Leader | None, *, first: bool) -> Leader | None:
        return await self._observer.leader_after(last, first=first)

    async def candidates(self) -> Candidates:
        return await self._observer.candidates()
