"""The play: two candidates of theirs and two of ours share one election, and at every turn something happens to them."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .events import Events, Lead
from .member import Member
from .systems import System

__all__ = ["Play", "Role", "Side"]

PATIENCE = 40.0  # seconds until somebody leads, or all are listed: more than any of it takes
EACH = 2  # candidates of each side
LATE = 0.1  # seconds, at most: how much later than its process a killed candidate's session ends
HASTE = 0.03  # seconds, at most, from the beginning of a turn to what happens in it
LOOK = 0.01

Side = Literal["theirs", "ours"]
SIDES: tuple[Side, Side] = ("theirs", "ours")

# What happens to who leads. Each side gets all of it, in an order of its own: these first, then all again and again.
FIRST = ("resign", "be killed", "resign as a standby is killed")
LATER = (*FIRST, "resign", "be killed while resigning")
# In a race who polls comes last: their turn comes when nobody of ours is there.
IN_A_RACE = ("resign", "be killed", "make way for the others")


@dataclass
class Role:
    """One of the four. Whoever is killed is replaced, under another name; `member` is None in between."""

    side: Side
    number: int
    actors: int = 0
    member: Member | None = None

    def __str__(self) -> str:
        return f"{self.side}-{self.number}"

    def has_led(self, events: Events) -> bool:
        """Whether who plays it now has."""
        return self.member is not None and events.number("LEAD", self.member.who) > 0

    def next_name(self) -> str:
        self.actors += 1
        return f"{self}-{self.actors:03}"  # so none is the beginning of another


class Play:
    """An election of `system` at `path`.

    directory: where the system's programs are. timeout: of the sessions, seconds. expires: the sessions of the killed are
    left to the servers, else we end them, as the servers would, but soon.
    """

    def __init__(
        self, system: System, directory: Path, servers: str, path: str, *, timeout: float, expires: bool, seed: int
    ) -> None:
        self.events = Events()
        self.happened = Counter[tuple[Side, str]]()
        self._system = system
        self._directory = directory
        self._place = (servers, path, timeout)
        self._expires = expires
        self._random = random.Random(seed)
        self._roles = [Role(side, number) for side in SIDES for number in range(EACH)]
        self._hands: dict[Side, list[str]] = {side: self._deal(side, FIRST) for side in SIDES}
        self._aside = set[asyncio.Task[None]]()
        self._seen: Lead | None = None

    @property
    def turns(self) -> Counter[str]:
        """How often each role has led."""
        return Counter(lead.who.rpartition("-")[0] for lead in self.events.leads)

    @contextlib.asynccontextmanager
    async def curtain(self) -> AsyncIterator[None]:
        """All four take part within; at the end they leave in order, and whatever is left of them is killed."""
        try:
            await asyncio.gather(*(self._enter(role) for role in self._roles))
            yield
            await self._all_are_here()
            await asyncio.gather(*(member.quit() for member in self._members()))
        finally:
            for task in self._aside:
                task.cancel()
            await asyncio.gather(*self._aside, return_exceptions=True)
            await asyncio.gather(*(member.kill() for member in self._members()))

    async def turn(self) -> None:
        """Somebody leads; all list all, every other time; and then something happens."""
        self._seen = await self._next_lead()
        await self._all_are_here()
        role = next(role for role in self._roles if role.member is not None and role.member.who == self._seen.who)
        if self._random.random() < 0.5:
            await self._all_list_all(self._seen.who)
        else:
            await asyncio.sleep(self._random.uniform(0, HASTE))
        if not self._hands[role.side]:
            self._hands[role.side] = self._deal(role.side, LATER)
        what = self._hands[role.side].pop()
        self.happened[role.side, what] += 1
        await self._happen(what, role)

    # ------------------------------------------------------------------ what happens

    def _deal(self, side: Side, hand: tuple[str, ...]) -> list[str]:
        if not self._system.queues:
            hand = IN_A_RACE if side == "ours" else IN_A_RACE[:-1]
        return self._random.sample(hand, len(hand))

    async def _happen(self, what: str, role: Role) -> None:
        assert role.member is not None
        others = [other for other in self._roles if other.side == role.side and other is not role]
        if what == "resign":
            role.member.tell("resign")
        elif what == "be killed":
            await self._replace(role)
        elif what == "be killed while resigning":
            role.member.tell("resign")
            await asyncio.sleep(self._random.uniform(0, LOOK))
            await self._replace(role)
        elif what == "resign as a standby is killed":
            role.member.tell("resign")
            standby = self._random.choice(others)
            if standby.actors == 1 or standby.has_led(self.events):  # else it might never get a turn
                await self._replace(standby)
        elif what == "make way for the others":
            for each in (*others, role):
                await self._kill(each)
            await self._next_lead()
            for each in (*others, role):
                self._later(self._enter(each))

    async def _replace(self, role: Role) -> None:
        await self._kill(role)
        self._later(self._enter(role))

    async def _kill(self, role: Role) -> None:
        killed, role.member = role.member, None
        assert killed is not None
        await killed.kill()
        if not self._expires:
            self._later(self._expire(killed, self._random.uniform(0, LATE)))

    async def _expire(self, killed: Member, delay: float) -> None:
        await asyncio.sleep(delay)
        await killed.expire()

    async def _enter(self, role: Role) -> None:
        command = self._system.command(self._directory) if role.side == "theirs" else self._system.of_ours
        role.member = Member(self.events, role.next_name(), command, *self._place)
        await role.member.start()

    # ------------------------------------------------------------------ what is seen

    async def _next_lead(self) -> Lead:
        """That of who leads, which is another than we saw last. Raises `AssertionError` if nobody does."""

        def found() -> Lead | None:
            leads = self.events.leads
            return leads[-1] if leads and leads[-1].goes_on and not leads[-1].is_same(self._seen) else None

        try:
            await self.events.until(found, PATIENCE)
        except TimeoutError:
            raise AssertionError(f"nobody leads for {PATIENCE:g} s\n{self._told()}") from None
        lead = found()
        assert lead is not None
        return lead

    async def _all_list_all(self, leader: str) -> None:
        """Each member, asked for it, names all of them, who leads first."""
        for role in self._roles:
            assert role.member is not None
            seen = self._seen_by(role.side, leader)
            said = list[str]()
            try:
                async with asyncio.timeout(PATIENCE):
                    while said[:1] != [leader] or sorted(said) != sorted(seen):
                        await asyncio.sleep(LOOK)  # who has just joined, and who was just killed
                        said = await role.member.members()
            except TimeoutError:
                raise AssertionError(
                    f"{role.member.who} lists {said}, but {leader} leads, of {sorted(seen)}\n{self._told()}"
                ) from None

    def _seen_by(self, side: Side, leader: str) -> set[str]:
        if self._system.queues if side == "ours" else self._system.lists_all:
            return {member.who for member in self._members()}
        in_our_line = [role.member.who for role in self._roles if role.side == "ours" and role.member is not None]
        return {leader, *(in_our_line if side == "ours" and self._system.has_our_line else [])}

    async def _all_are_here(self) -> None:
        """Who replaces a killed one has begun, and no session of a killed one lasts on account of us."""
        while self._aside:
            await self._aside.pop()

    def _later(self, doing: Coroutine[Any, Any, None]) -> None:
        self._aside.add(asyncio.create_task(doing))

    def _members(self) -> list[Member]:
        return [role.member for role in self._roles if role.member is not None]

    def _told(self) -> str:
        errors = (f"{member.who}: {member.errors.decode()}" for member in self._members() if member.errors)
        return "\n".join((str(self.events), *errors))
