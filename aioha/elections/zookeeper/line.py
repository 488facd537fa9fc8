"""The line of standbys beside an `ephemeral` election: our place in it, and who is before us.

<path>.aioha/line/%010d   EPHEMERAL_SEQUENTIAL   identity and data of one standby, as JSON

Only the first two in line look at the leader: the first takes over when it goes, the second if the first does not. All
others watch the place before theirs, so that a takeover costs the same however many stand by. The line says who bids,
never who leads: it is only read, and may be wrong for a while without harm. It is listed only when it must be: places are
numbered without gaps, so that most often the one before ours is there, and how many are ahead can be reckoned; and when
that one goes because it leads now, its session owns the leader's node.
"""

import asyncio
import contextlib
import json
import random
from types import TracebackType
from typing import Self

from ...record import data_fields
from ...settings import Settings
from ...wire import requests
from ...wire.errors import NoNode
from ...wire.requests import Stat
from .attention import Attention
from .dialects import LINE, sequence_name, the_one_before
from .ground import Ground
from .place import Place
from .znodes import commit_something, stat_or_none

__all__ = ["Line"]

NUMBERS = 1 << 31  # of places, or of what a stat tells of them
GOES_FIRST = 1 / 16  # of the session timeout: how long the second leaves a free election to the first
NEAR = 1  # so many may be ahead of who looks at the leader
LIST_AGAIN, MOST_AHEAD = 1 / 2, 8  # of the session timeout for each that is ahead, or for so many: a net


class Line:
    """Our place in line on one session. `ahead`: how many are before us, as far as we know; None: not known. `front`: the
    number of a place that nobody was ahead of any more; of the last one that we had, so that who has led need not count.

    A context manager: at its end nothing is heard any more. The place stays: `place.leave`.
    """

    def __init__(self, attention: Attention, ground: Ground, settings: Settings, front: int | None = None) -> None:
        itself = json.dumps({"identity": settings.identity, **data_fields(settings.payload)}, ensure_ascii=False)
        self._session = attention.session
        self.place = Place(self._session, ground.names.line, LINE, itself.encode(), ground.acl)
        self.ahead: int | None = None
        self._front = front
        self._number: int | None = None  # of our place, also when it has been left
        self._attention = attention
        self._clock = settings.clock
        self._before: tuple[str, int] | None = None  # the place before ours: its path, the session that owns it
        self._has_gone = asyncio.Event()  # that one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.doubt()

    @property
    def is_near(self) -> bool:
        """We are to look at the leader."""
        return self.ahead is not None and self.ahead <= NEAR

    @property
    def front(self) -> int | None:
        """For who leads now: the number of the place that we have left, if nobody was ahead of it."""
        return self._number if self.ahead == 0 else None

    def doubt(self) -> None:
        """Nothing that was heard is worth anything any more."""
        self._session.forget(self._on_event)
        self.ahead, self._before = None, None
        self._has_gone.clear()

    async def is_free(self) -> bool:
        """Nobody is in line, and neither are we: an election that is free, too, can be won without joining."""
        return not self.place.may_be_there and not await self._members()

    async def approach(self) -> bool:
        """Be in line, and wait until it is time to look at the leader: we are near, have moved up, or have waited for long,
        should none of those ahead take what is free. False: the connection has changed, or we are not in line yet. Raises
        `ResponseError`, `ConnectionError`.
        """
        if self.place.name is None:
            self.doubt()
            if not await self.place.join():
                return False
            await self._find_place()
        while not self.is_near and not self.has_moved_up:
            if self._before is not None:
                return await self._wait()
            if not await self._list():
                return False
        return True

    @property
    def has_moved_up(self) -> bool:
        """The one before us has gone."""
        return self._has_gone.is_set()

    def follows(self, leader: Stat | None) -> bool:
        """Whether the one before us is this leader: then nobody is ahead any more."""
        if not self.has_moved_up or leader is None or self._before is None or leader.owner != self._before[1]:
            return False
        self.doubt()
        self.ahead = 0
        return True

    async def settle(self, leader: Stat | None) -> bool:
        """Whether we are near, now that this was seen of the leader's node. Raises as `approach`."""
        if self.has_moved_up and not self.follows(leader):
            await self._list()
        return self.is_near

    async def lets_go_first(self) -> bool:
        """The election is free: whether the one before us takes it. It may be frozen: then its place stays."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._session.timeout * GOES_FIRST):
                await self._has_gone.wait()
        return self.has_moved_up

    async def step_aside(self) -> None:
        """Leave the line: whoever is behind us goes first."""
        self.doubt()
        if self.place.may_be_there:
            await self.place.leave_quietly()
            self.place.renew()

    async def _wait(self) -> bool:
        """Until the one before us has gone, or the line was listed again in its time. False: look at everything again."""
        share = LIST_AGAIN * min(self.ahead or 1, MOST_AHEAD)
        until = self._clock() + self._session.timeout * share * random.uniform(0.8, 1.2)
        while not self.has_moved_up and (left := until - self._clock()) > 0:
            await self._attention.wait(left)
            if self._attention.moved:
                return False
        return self.has_moved_up or await self._list()

    async def _find_place(self) -> None:
        """We have just joined: watch the one before us, and reckon how many are ahead, at most."""
        assert self.place.name is not None
        number = self._number = LINE.number(self.place.name)
        assert number is not None
        is_watched = number != 0 and await self._watch(sequence_name(the_one_before(number)))
        ahead = await self._most_ahead(number)
        if is_watched or ahead == 0:
            self.ahead = ahead

    async def _most_ahead(self, number: int) -> int | None:
        """How many can be ahead of us, now that we have just joined."""
        if self._front is not None and number > self._front:
            return number - self._front - 1  # all that has come since
        stat = await stat_or_none(self._session.send(requests.exists(self.place.root)))
        if stat is None:
            return None
        behind = (stat.ever - number - 1) % NUMBERS  # have come, and may have gone
        return max(stat.children - 1 - behind, 0)

    async def _list(self) -> bool:
        """See who is ahead, and watch the one before us. False: our own place is gone."""
        self.doubt()
        while True:
            members = await self._members_with_ours()
            if members is None:  # most often the server is behind, and does not know of ours yet
                await commit_something(self._session)
                members = await self._members_with_ours()
            if members is None:
                self.place.renew()
                return False
            ahead = members.index(self.place.path.rpartition("/")[2])
            if ahead == 0 or await self._watch(members[ahead - 1]):
                self.ahead = ahead
                return True

    async def _watch(self, name: str) -> bool:
        """Whether that place is there, and is watched now as the one before ours."""
        path, session = f"{self.place.root}/{name}", self._session
        self._before = (path, 0)
        with contextlib.suppress(NoNode):
            stat = requests.stat_of(await session.watching(requests.get(path, watch=True), self._on_event))
            if stat.owner != session.id:
                self._before = (path, stat.owner)
                return True
            self._before = None  # one of ours that could not be left: it would hold up the line for good
            await session.send(requests.delete(path))
        self._before = None
        return False

    async def _members(self) -> list[str]:
        try:
            return LINE.in_order((await self._session.send(requests.children(self.place.root))).children)
        except NoNode:
            return []

    async def _members_with_ours(self) -> list[str] | None:
        """None: ours is not there. One of that name may be another's, if the line was deleted by hand and made anew."""
        ours = self._session.send(requests.exists(self.place.path))
        members = await self._members()
        stat = await stat_or_none(ours)
        return members if stat is not None and stat.owner == self._session.id and self.place.name in members else None

    def _on_event(self, event: int, path: str) -> None:
        if self._before is not None and path == self._before[0]:
            self._has_gone.set()
            self._attention.wake()
