"""Standing by for an `ephemeral` election on one session: when to look, when to bid, and when to leave it to others.

Standbys wait in line, so that only the first two look at the leader. Where there is no line, because other software takes
part or the servers do not let us, it is a plain race: all of them look, and all of them bid.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from ...settings import Settings
from ...wire.errors import NoAuth, ResponseError
from ...wire.requests import Stat
from ...wire.watches import OnEvent
from .attention import Attention
from .bidding import Bidder
from .grant import SessionGrant
from .ground import Ground
from .ledger import Ledger, View, glance, look
from .line import Line
from .znodes import PASSING, explain_refusal

__all__ = ["Race"]

STUMBLE = 0.05  # seconds, jittered, after a connection was lost under a bid


class Race:
    """One wait. `yield_until`: until when whoever has resigned lets the others go first, should it be in front of them."""

    def __init__(
        self,
        attention: Attention,
        line: Line,
        bidder: Bidder,
        ground: Ground,
        settings: Settings,
        yield_until: float | None,
    ) -> None:
        self._attention = attention
        self._session = attention.session
        self._place_in_line = line
        self._bidder = bidder
        self._ground = ground
        self._settings = settings
        self._yield_until = yield_until
        self._joins = yield_until is not None  # the line: who has resigned has the others go first
        self._view: View | None = None  # the last look at the election, as far as it still holds
        self._stand_down: Callable[[], None] | None = None

    async def run(self) -> SessionGrant | None:
        """Until we win; None: the session is dead. Raises `SessionFailed`, `LayoutMismatch`."""
        try:
            while not self._session.state.is_dead:
                granted = await self._round()
                if granted is not None:
                    return granted
            return None
        finally:
            if self._stand_down is not None:
                self._stand_down()

    @property
    def _line(self) -> Line | None:
        return self._place_in_line if self._ground.keeps_line else None

    @property
    def _is_second(self) -> bool:
        return self._line is not None and bool(self._line.ahead)

    @property
    def _yields(self) -> bool:
        return self._yield_until is not None and self._settings.clock() < self._yield_until

    async def _round(self) -> SessionGrant | None:
        """Bid on what is vacant, or look, and wait until something happens."""
        attention, view = self._attention, self._view
        is_vacant = view is not None and (view.node is None or attention.fired)
        if is_vacant and self._is_second and await self._place_in_line.lets_go_first():
            is_vacant = False
        if attention.moved:
            self._place_in_line.doubt()
        attention.reset()
        self._view, granted = await self._step(view if is_vacant and not self._yields else None)
        if granted is not None or self._view is None:  # None: something moved under our hands, look again at once
            return granted
        if self._line is not None and self._view.node is not None and not self._line.is_near:
            self._view, self._joins = None, True  # a bid without a place in line was lost
        else:
            await self._wait(self._view)
        return None

    async def _step(self, vacant: View | None) -> tuple[View | None, SessionGrant | None]:
        """Bid on what was seen vacant, or look. Returns what was seen, and the grant if we won."""
        try:
            return await self._bid_or_look(vacant)
        except PASSING:
            await asyncio.sleep(random.uniform(0, STUMBLE))
            with contextlib.suppress(*PASSING):
                await self._session.attached()
            return None, None
        except ResponseError as error:
            raise explain_refusal(error, self._ground.path, self._settings.identity) from error

    async def _bid_or_look(self, vacant: View | None) -> tuple[View | None, SessionGrant | None]:
        if self._bidder.is_uncertain(self._session) and not self._bidder.awaits_reply(vacant):
            return await self._bidder.learn_outcome(self._attention)
        granted = None
        if vacant is not None:
            view, granted = await self._bidder.bid(self._attention, vacant, self._place_in_line.place)
        else:
            view = await self._look()
        if view is not None and view.node is not None and await self._is_allowed_again(view.node):
            self._ground.begin()
            return None, None
        return view, granted

    async def _wait(self, view: View) -> None:
        """Until something happens; forgets what was seen if that may have changed."""
        attention, bound = self._attention, self._session.timeout
        self._bidder.succession.saw(view)
        if view.node is not None or (view.ledger is not None and view.ledger.token > self._bidder.succession.highest):
            self._yield_until = None  # another leads, or has led meanwhile: we have let the others go first
        if view.node is None and not view.seat_taken and not self._yields:
            return
        if view.node is None and self._yields and self._line is not None:
            await self._line.step_aside()  # whoever is on its way would have come into line behind us
        self._stand_ready()
        if view.node is not None and not attention.fired and not self._is_second:
            self._bidder.prepare(attention, view, self._place_in_line.place)
        if self._yield_until is not None and self._yields:
            bound = min(bound, self._yield_until - self._settings.clock())
        if not await attention.wait(bound):
            self._place_in_line.doubt()  # as a net: our own place may be gone
        if not attention.fired and not self._yields and (view.node is not None or view.seat_taken):
            self._view = None

    # ------------------------------------------------------------------ looking

    async def _look(self) -> View | None:
        """At the election, leaving a watch on it; where there is a line, from its front. None: look again."""
        line, on_event = self._line, self._attention.on_event
        if line is None:
            return await self._look_at_leader(on_event)
        if not self._joins:
            view = await self._look_at_leader(None)
            if view is not None and view.node is None and await self._allowed(line.is_free()):
                return view  # free, and nobody waits: it is won without joining
            self._joins = view is not None
            return None
        if not await self._allowed(line.approach()):
            return None
        if line.has_moved_up and not self._ground.names.is_folder:  # which has more to look at
            view = await glance(self._session, self._ground.names, on_event)
            if view is not None and line.follows(view.node):
                return view
        view = await self._look_at_leader(on_event if line.is_near or line.has_moved_up else None)
        if view is None:
            return None
        is_near = await self._allowed(line.settle(view.node))
        return view if is_near or view.node is None else None

    async def _allowed(self, asking: Awaitable[bool]) -> bool:
        """What it answers; False where the servers let us have no part in the line."""
        try:
            return await asking
        except NoAuth as error:
            self._ground.do_without_line(error)
            return False

    async def _look_at_leader(self, on_event: OnEvent | None) -> View | None:
        session, ground = self._session, self._ground
        view = await look(session, ground.names, keeps_record=ground.keeps_record, on_event=on_event)
        if ground.keeps_record and view.ledger is None:
            await ground.prepare(session)
            return None
        if view.node is not None and view.node.owner == session.id:
            await ground.clear(session)
            return None
        return view

    async def _is_allowed_again(self, leader: Stat) -> bool:
        """The servers have refused us the record, and who leads now could write it. It says how far tokens are lifted."""
        if not self._ground.is_refused_record:
            return False
        try:
            ledger = await Ledger(self._session, self._ground.names).read()
        except NoAuth:
            return False
        if ledger is None or ledger.unreadable is not None:
            return False
        self._bidder.succession.saw_token(ledger.token)
        return ledger.zxid == leader.czxid

    def _stand_ready(self) -> None:
        """Our lease is to be proved from now on so that work can begin on the reply to a bid."""
        if self._stand_down is None:
            at_once = not self._bidder.is_proved(self._session)
            self._stand_down = self._session.heartbeat.stand_ready(self._ground.path, at_once=at_once)
