"""Queue layouts: members in line under the election's path, and whoever is first leads.

`standby` waits for our turn, `place` is our member node, `turn` is what becomes of it when we lead; this file only holds
them together, and sees to it that nothing of ours stays in line when we leave.
"""

import asyncio

from ...sessions import Sessions
from ...settings import Settings
from ..protocol import Grant
from .accounting import Accounting
from .dialects import DIALECTS
from .election import TAKING_OVER, ZooKeeperElection
from .grant import SessionGrant
from .ground import Ground
from .lookout import Lookout
from .place import Place
from .queue_observer import QueueObserver
from .standby import Standby
from .turn import Turn

__all__ = ["QueueElection"]


class QueueElection(ZooKeeperElection):
    """Implements `Election`; see the head of this file."""

    def __init__(self, path: str, settings: Settings, sessions: Sessions, *, owns_sessions: bool = True) -> None:
        ground, dialect = Ground(path, settings), DIALECTS[settings.layout]
        observer = QueueObserver(ground.names, dialect, settings, sessions)
        super().__init__(ground, settings, sessions, observer, owns=owns_sessions)
        self._dialect = dialect
        self._turn = Turn(ground, settings, self._give_up, sessions.guardian)

    async def win(self, *, yielding: bool = False) -> Grant:
        if self._leaving is not None:
            await asyncio.shield(self._leaving)
        if yielding:  # who joins at the end lets the others go first anyhow; it is not to be in their way either
            await asyncio.sleep(TAKING_OVER)
        self._ground.begin()
        self._turn.forerunners.forget()
        while True:
            session = await self._sessions.live()
            place = Place(session, self.path, self._dialect, self._settings.payload, self._ground.acl)
            try:
                with Lookout(session) as lookout:
                    granted = await Standby(lookout, place, self._turn, self._ground, self._dialect).wait()
            except BaseException:
                await self._withdraw(place)
                raise
            if granted is not None:
                return granted

    # ------------------------------------------------------------------ leaving

    def _give_up(self, grant: SessionGrant, accounting: Accounting) -> "asyncio.Future[None]":
        self._leaving = asyncio.ensure_future(accounting.end(grant, accounting.send_end(grant)))
        return self._leaving

    async def _withdraw(self, place: Place) -> None:
        """We stand by no longer. Bounded: while no server is attached it goes on behind us."""
        self._leaving = asyncio.ensure_future(self._turn.withdraw(place))
        await asyncio.wait({self._leaving}, timeout=place.session.timeout)
