"""Who works when, among electors of one process, while faults go on around them."""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aioha import Term
from aioha.clock import boottime

__all__ = ["BOUND", "Turn", "Turns"]

BOUND = 30.0  # seconds: more than anything here takes; a test that waits this long has failed


@dataclass(eq=False)
class Turn:
    """Work of one term. `ended` is infinite while it runs."""

    who: str
    token: int
    begun: float
    ended: float = math.inf


class Turns:
    """Give `work(who)` to electors; `assert_one_at_a_time` at the end."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self._changed = asyncio.Event()

    def work(self, who: str) -> Callable[[Term], Awaitable[None]]:
        async def work(term: Term) -> None:
            turn = Turn(who, term.token, boottime())
            self.turns.append(turn)
            self._changed.set()
            try:
                await asyncio.Event().wait()
            finally:
                turn.ended = boottime()
                self._changed.set()

        return work

    async def begun(self, number: int) -> Turn:
        """The so-many-th turn, as soon as it has begun."""
        async with asyncio.timeout(BOUND):
            while len(self.turns) < number:
                self._changed.clear()
                await self._changed.wait()
        return self.turns[number - 1]

    async def over(self, turn: Turn) -> float:
        """When that turn has ended."""
        async with asyncio.timeout(BOUND):
            while math.isinf(turn.ended):
                self._changed.clear()
                await self._changed.wait()
        return turn.ended

    @property
    def who(self) -> list[str]:
        """Whose turns there were."""
        return [turn.who for turn in self.turns]

    def assert_one_at_a_time(self) -> None:
        for one, other in itertools.pairwise(self.turns):
            assert one.ended <= other.begun, f"overlap of {one.ended - other.begun:.3f} s: {one} and {other}"
            assert one.token < other.token, f"tokens do not rise: {one} and {other}"
