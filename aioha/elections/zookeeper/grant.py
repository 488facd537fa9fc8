"""A term that rests on a ZooKeeper session and on nodes that this session owns.

It ends when the session is dead, when the leader's node is gone or another's, or when a check that only this term
passes fails. The lease is not judged here: `deadline` is, at every moment, what the lease says.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from ...clock import Clock
from ...errors import Unavailable
from ...guardian import facts
from ...guardian.guarded import Guardian
from ...heartbeat import Stake
from ...session import SessionState, ZooKeeperSession
from ...wire import requests
from ...wire.client import client_on
from ...wire.errors import BadVersion, ConnectionLoss, NoNode, ResponseError, SessionExpired, SessionMoved
from ...wire.watches import DELETED
from ..protocol import Leader, Operation, Predecessor
from .fencing import Fence
from .oldterms import OldTerms
from .znodes import stat_or_none

__all__ = ["WORTH_STARTING", "SessionGrant"]

WORTH_STARTING = 1 / 4  # of the session timeout: how far ahead the end of the lease must lie for work to start
NEVER = float("inf")
CONFIRM_SHARE = 1 / 3  # of the session timeout: how long `confirm` waits


class SessionGrant:
    """Implements `Grant`. `checks` are the requests that only this term passes; `czxid` is its node's. `path`: the
    election's; `node`, `node_version`: the leader's node as we made it.

    `give_up` begins the release, without awaiting; it is called once. `last_will`: what the guardian is to do in our place,
    if it can do anything. Can be made before there is a term: until `begin` it does nothing, and has no `leader`.
    """

    leader: Leader

    def __init__(
        self,
        session: ZooKeeperSession,
        clock: Clock,
        *,
        path: str,
        node: str,
        node_version: int,
        czxid: int,
        token: int,
        number: int | None,
        predecessor: Predecessor | None,
        old_terms: OldTerms,
        settle: float,
        stop_grace: float,
        checks: list[requests.Request],
        has_seat: bool,
        no_transactions: str | None,
        acl: Sequence[Any] | None,
        give_up: "Callable[[SessionGrant], asyncio.Future[None]]",
        guardian: Guardian | None,
        last_will: "Callable[[SessionGrant], facts.Will | None]",
    ) -> None:
        self.session = session
        self.path = path
        self.node = node
        self.node_version = node_version
        self.czxid = czxid
        self.token = token
        self.number = number
        self.predecessor = predecessor
        self._old_terms = old_terms
        self.settle = settle
        self.stop_grace = stop_grace
        self.ended: str | None = None
        self._settled_at = NEVER
        self.checks = checks
        self._has_seat = has_seat
        self.no_transactions = no_transactions
        self._fence = Fence(self, acl)
        self._clock = clock
        self._listener: Callable[[], None] = _nobody
        self._give_up = give_up
        self._guardian = guardian
        self._last_will = last_will
        self._guarded = self._timed = False  # by our guardian: against death, and against hanging
        self._changed = asyncio.Event()  # `ended` was set: for whoever waits in `leased`
        self._stake = Stake(path, checks, self.refuted)
        self._unsubscribe = _nobody
        self._releasing: asyncio.Future[None] | None = None

    def begin(self, leader: Leader, stake: Stake | None = None, *, is_watched: bool = False) -> None:
        """`stake`: one that proves the lease already. `is_watched`: whoever watches the node calls `node_event`."""
        self.leader, session = leader, self.session
        self._settled_at = self._clock() + self.settle
        self._unsubscribe = session.subscribe(self._session_changed)
        if stake is None:  # its lease is proved as we begin; the next proof comes in its time if there is enough of it
            enough = session.timeout * WORTH_STARTING + session.heartbeat.pace
            session.heartbeat.hold(self._stake, at_once=self.usable < enough)
        else:
            self._stake = stake
            stake.refuted = self.refuted
        if not is_watched:
            asyncio.get_running_loop().call_soon(self._watch)  # the work need not wait for it

    # ------------------------------------------------------------------ what it says

    @property
    def deadline(self) -> float:
        return self.session.lease.deadline

    @property
    def lease(self) -> float:
        return self.session.lease.length

    @property
    def usable(self) -> float:
        """Seconds of the lease that are the work's."""
        return self.deadline - self.stop_grace - self._clock()

    @property
    def unfenced(self) -> Sequence[Predecessor]:
        return self._old_terms.left

    def closing(self) -> list[requests.Request]:
        """What its layout does at a clean end, beside what every term does."""
        return self._old_terms.closing()

    @property
    def ended_mark(self) -> bytes:
        """What a clean end writes into `<path>.aioha/ended`, whoever writes it: we, or our guardian when we are dead.

        Not before the work could begin: until then old work may go on, and who comes next must wait for it too.
        """
        return self._old_terms.mark(self.token)

    @property
    def seated(self) -> bool:
        return self._has_seat and not self.session.state.is_dead

    @property
    def doubtful(self) -> bool:
        return self.session.state is SessionState.SUSPENDED

    def listen(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    async def leased(self, interrupted: asyncio.Event) -> None:
        while self.ended is None and not self._is_worth_starting() and not interrupted.is_set():
            waits: set[asyncio.Future[Any]] = {
                self.session.heartbeat.next_proof(),
                asyncio.ensure_future(self._changed.wait()),
                asyncio.ensure_future(interrupted.wait()),
            }
            try:
                await asyncio.wait(waits, timeout=self.session.heartbeat.pace, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        if self._guardian is not None and self.ended is None and not interrupted.is_set() and not self._timed:
            self._timed = True  # what comes now, a fence hook or the work, is to end with the lease
            self._guardian.begin(self.session.lease, self.stop_grace)

    async def ready(self, interrupted: asyncio.Event) -> None:
        if self._guardian is not None or not self._is_worth_starting():
            await self.leased(interrupted)
            if self.ended is None and not interrupted.is_set():
                self._be_guarded()

    async def confirm(self) -> None:
        try:
            async with asyncio.timeout(self.session.timeout * CONFIRM_SHARE):
                await self.session.attached()
                heartbeat, connection = self.session.heartbeat, self.session.connection
                anchor = heartbeat.anchor()
                write = connection.send(requests.multi(*self.checks))
                node = self.session.exists(self.node, self.node_event)
                failed = requests.failure(await heartbeat.prove(connection, anchor, write, self.path))
                self.compare(await stat_or_none(node))
        except (TimeoutError, ConnectionLoss, ConnectionError, SessionMoved) as error:
            raise Unavailable(f"{self.path}: the ensemble did not confirm term {self.token}: {self.session.why}") from error
        except ResponseError as error:
            self._end(f"the ensemble answered: {error}")
            return
        if failed is not None and isinstance(failed[1], SessionMoved | SessionExpired):  # says nothing of the term
            raise Unavailable(f"{self.path}: the ensemble did not confirm term {self.token}: it answered {failed[1]}")
        if failed is not None:
            self.refuted(failed[1])

    async def commit(self, operations: Sequence[Operation], check: Callable[[], None]) -> bool:
        return await self._fence.commit(operations, check)

    async def fenced(self, predecessor: Predecessor) -> None:
        error = await self._old_terms.fenced(predecessor, self.session, self.checks)
        if error is not None:
            self.refuted(error)

    def client(self) -> Any:
        return client_on(self.session)

    def release(self) -> "asyncio.Future[None]":
        """Idempotent: every caller waits for the one release."""
        if self._releasing is None:
            self._releasing = self._give_up(self)  # first of all: others wait for it
            # No answer to that is heard before we rest on the lease no longer: it must not lengthen a term that is over.
            self.session.heartbeat.drop(self._stake)
            self._unsubscribe()
            self._listener = _nobody
            self.session.forget(self.node_event)
            if self._guardian is not None and self._timed:
                self._guardian.end(self.session.lease)
            self._releasing.add_done_callback(self._unguard)
        return asyncio.shield(self._releasing)

    @property
    def unsettled(self) -> float:
        """Seconds for which old work may still be ending. Who comes next would not know of it: hold on for as long."""
        return 0.0 if self.session.state.is_dead else max(0.0, self._settled_at - self._clock())

    # ------------------------------------------------------------------ what it hears

    def _watch(self) -> None:
        if self._releasing is None:
            self._session_changed()

    def node_event(self, event: int = 0, path: str = "") -> None:
        """The watch on the leader's node fired: look whether it is still ours. `event` 0: look in any case."""
        if self.ended is not None or self._releasing is not None or self.session.state.is_dead:
            return  # also where a reply has armed the watch after `release` had forgotten it
        if event == DELETED:
            self.compare(None)
            return
        try:
            reply = self.session.exists(self.node, self.node_event)
        except ConnectionError:
            return  # the watch is gone with the connection's session state: `_session_changed` looks again
        reply.add_done_callback(self._looked)

    def _looked(self, reply: "asyncio.Future[Any]") -> None:
        try:
            self.compare(requests.stat_of(reply.result()))
        except NoNode:
            self.compare(None)
        except (ResponseError, asyncio.CancelledError):
            return  # lost with the connection: looked at again when one is attached

    def compare(self, stat: requests.Stat | None) -> None:
        """This is the leader's node now: ours or not?"""
        if self._releasing is not None:
            return  # it is we who remove it
        if stat is None:
            self._end("the leader's node was deleted by someone else")
        elif stat.czxid != self.czxid or stat.owner != self.session.id:
            self._end("the leader's node was deleted and made anew by someone else")

    def _session_changed(self) -> None:
        state = self.session.state
        if state.is_dead:
            self._end(self.session.why)
        elif state is SessionState.CONNECTED:
            self.node_event()
        self._listener()

    def refuted(self, error: ResponseError) -> None:
        """A check that only this term passes has failed."""
        checked = "the record" if self._has_seat else "the leader's node"
        if isinstance(error, NoNode):
            self._end(f"{checked} was deleted by someone else")
        elif isinstance(error, BadVersion):
            self._end(f"another candidate took over ({checked} has changed)")
        else:
            self._end(f"the ensemble answered: {error}")

    def _end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why
            self.session.heartbeat.drop(self._stake)  # a check that fails would take the lease from everybody else
            self._changed.set()
            self._listener()

    def _be_guarded(self) -> None:
        """The work is about to start: if we die, our guardian ends the term for us."""
        if self._guardian is not None and not self._guarded:
            self._guarded = True
            will = self._last_will(self)
            if will is not None:
                self._guardian.know((facts.TERM, self.path), will)

    def _unguard(self, _: object) -> None:
        if self._guardian is not None and self._guarded:
            self._guardian.forget((facts.TERM, self.path))

    def _is_worth_starting(self) -> bool:
        return self.usable >= self.session.timeout * WORTH_STARTING


def _nobody() -> None:
    """Nobody listens yet, or any more."""
