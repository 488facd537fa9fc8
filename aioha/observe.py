"""Who leads, as an async iterator: the latest value, never a backlog."""

from collections.abc import AsyncIterator

from .elections import Election, Leader

__all__ = ["Observation"]


class Observation(AsyncIterator[Leader | None]):
    """Gives the present leader (None: nobody) at once, then each time it is another. Ends only by being left.

    Who asks late gets the leader of that moment. Outages are waited out. Raises `SessionFailed`, `LayoutMismatch`.
    """

    def __init__(self, election: Election) -> None:
        self._election = election
        self._first = True
        self._last: Leader | None = None

    def __aiter__(self) -> "Observation":
        return self

    async def __anext__(self) -> Leader | None:
        self._last = await self._election.leader_after(self._last, first=self._first)
        self._first = False
        return self._last
