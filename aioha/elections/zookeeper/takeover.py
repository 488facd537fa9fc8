"""One takeover on its way: packed while there is time, and sent in the tick in which the leader's node goes.

In front of it travels a question about the terms before, so that the reply to the takeover is all that a winner waits
for: that reply proves the lease (see `lease`) and shows the token.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from ...ended import Ended
from ...record import Record
from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.errors import NoAuth, NoNode, ResponseError
from .ledger import Names, View, ended_of
from .place import Place

__all__ = ["Takeover"]


class Takeover:
    """Takes over what `view` showed, and leaves `place`, our own in line, if we have one. `enough`: seconds that the lease
    must reach for the work to begin on the reply.
    """

    def __init__(
        self,
        session: ZooKeeperSession,
        names: Names,
        view: View,
        successor: Record | None,
        operations: Sequence[requests.Request],
        place: Place,
        enough: float,
    ) -> None:
        self.session = session
        self.view = view
        self.successor = successor
        self._names = names
        self._question = requests.packed(requests.get(names.ended))
        leaving = [requests.delete(place.path)] if place.name is not None and not place.must_stay else []
        self._takeover = requests.packed(requests.multi(*operations, *leaving))
        self._place = place
        self._place_in_line = (place.name, len(operations))
        self._enough = enough
        self._outcome: asyncio.Future[Any] | None = None
        self._answer: asyncio.Future[Any] | None = None

    @property
    def is_sent(self) -> bool:
        return self._outcome is not None

    def send(self) -> None:
        """Raises `ConnectionError` or `SessionExpired`, and nothing was sent then."""
        connection = self._connection = self.session.connection
        self._anchor = self.session.heartbeat.anchor(enough=self._enough)
        if self.view.ledger is not None:
            self._answer = connection.send(self._question)
        self._outcome = connection.send(self._takeover)

    async def outcome(self) -> Any:
        """The reply. Raises `ResponseError`, `ConnectionError`."""
        assert self._outcome is not None
        return await self.session.heartbeat.prove(self._connection, self._anchor, self._outcome, self._names.path)

    def leave_line(self) -> None:
        """It has taken over, and with that left our place."""
        if self._place.name == self._place_in_line[0] and self._place.name is not None:
            self._place.renew()

    def has_lost_place(self, index: int, error: ResponseError) -> bool:
        """Whether it has failed, there and with this, because our place was deleted by hand: we are to join again."""
        if not self._concerns_place(index) or not isinstance(error, NoNode):
            return False
        self.leave_line()
        return True

    def must_keep_place(self, index: int, error: ResponseError) -> bool:
        """Whether it has failed, there and with this, as the servers do not let us leave: the next one leaves that out."""
        if not self._concerns_place(index) or not isinstance(error, NoAuth):
            return False
        self._place.must_stay = True
        return True

    def _concerns_place(self, index: int) -> bool:
        return index == self._place_in_line[1]

    async def ended(self) -> Ended:
        """What is known of the terms before, now that we have won."""
        ledger = self.view.ledger
        if ledger is None or self._answer is None:
            return Ended()
        ended = await ended_of(self._answer)
        if ended.token != ledger.token and (ledger.settle(ended) or ledger.unfenced(ended)):
            # The last term had not said its last word. Ask again, now that nobody else writes there any more.
            ended = await ended_of(self._connection.send(requests.get(self._names.ended)))
        return ended
