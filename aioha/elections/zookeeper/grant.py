"""A term that rests on a ZooKeeper session and on nodes that this session owns.

It ends when the session is dead, when the leader's node is gone or another's, or when a check that only this term
passes fails. The lease is not judged here: `deadline` is, at every moment, what the lease says.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from ...clock import Clock
from ...errors import Unavailable
from ...heartbeat import Stake
from ...session import SessionState, ZooKeeperSession
from ...wire import requests
from ...wire.client import client_on
from ...wire.errors import ConnectionLoss, NoNode, ResponseError
from ..protocol import Leader, Predecessor
from .znodes import stat_or_none

__all__ = ["WORTH_STARTING", "SessionGrant"]

WORTH_STARTING = 1 / 4  # of the session timeout: how far ahead the end of the lease must lie for work to start
CONFIRM_SHARE = 1 / 3  # of the session timeout: how long `confirm` waits


class SessionGrant:
    """Implements `Grant`. `checks` are the requests that only this term passes; `czxid` is its node's.

    `give_up` begins the release; it is called once, after the session has been told to rest nothing on us.
    """

    def __init__(
        self,
        session: ZooKeeperSession,
        clock: Clock,
        *,
        path: str,
        czxid: int,
        leader: Leader,
        number: int | None,
        predecessor: Predecessor | None,
        settle: float,
        stop_grace: float,
        checks: list[requests.Request],
        has_seat: bool,
        give_up: "Callable[[SessionGrant], asyncio.Future[None]]",
    ) -> None:
        self.session = session
        self.path = path
        self.czxid = czxid
        self.token = leader.token
        self.number = number
        self.leader = leader
        self.predecessor = predecessor
        self.settle = settle
        self.stop_grace = stop_grace
        self.ended: str | None = None
        self._settled_at = clock() + settle
        self.checks = checks
        self._has_seat = has_seat
        self._clock = clock
        self._listener: Callable[[], None] = _nobody
        self._give_up = give_up
        self._changed = asyncio.Event()  # `ended` was set: for whoever waits in `ready`
        self._stake = Stake(path, checks, self._refuted)
        self._unsubscribe = session.subscribe(self._session_changed)
        self._releasing: asyncio.Future[None] | None = None
        session.heartbeat.hold(self._stake)
        self._session_changed()

    # ------------------------------------------------------------------ what it says

    @property
    def deadline(self) -> float:
        return self.session.lease.deadline

    @property
    def lease(self) -> float:
        return self.session.lease.length

    @property
    def seated(self) -> bool:
        return self._has_seat and not self.session.state.is_dead

    @property
    def doubtful(self) -> bool:
        return self.session.state is SessionState.SUSPENDED

    def listen(self, listener: Callable[[], None]) -> None:
        self._listener = listener

    async def ready(self, interrupted: asyncio.Event) -> None:
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

    async def confirm(self) -> None:
        try:
            async with asyncio.timeout(self.session.timeout * CONFIRM_SHARE):
                await self.session.attached()
                heartbeat, connection = self.session.heartbeat, self.session.connection
                anchor = heartbeat.anchor()
                write = connection.send(requests.multi(*self.checks))
                node = self.session.exists(self.path, self.node_event)
                failed = requests.failure(await heartbeat.prove(connection, anchor, write, self.path))
                self._compare(await stat_or_none(node))
        except (TimeoutError, ConnectionLoss, ConnectionError) as error:
            raise Unavailable(f"{self.path}: the ensemble did not confirm term {self.token}: {self.session.why}") from error
        except ResponseError as error:
            self._end(f"the ensemble answered: {error}")
            return
        if failed is not None:
            self._refuted(failed[1])

    def client(self) -> Any:
        return client_on(self.session)

    async def release(self) -> None:
        """Idempotent: every caller waits for the one release."""
        if self._releasing is None:
            # First stop resting on the lease: an answer to what follows must not lengthen a term that is over.
            self.session.heartbeat.drop(self._stake)
            self._unsubscribe()
            self._listener = _nobody
            self.session.forget(self.node_event)
            self._releasing = self._give_up(self)
        await asyncio.shield(self._releasing)

    @property
    def unsettled(self) -> float:
        """Seconds for which old work may still be ending. Who comes next would not know of it: hold on for as long."""
        return 0.0 if self.session.state.is_dead else max(0.0, self._settled_at - self._clock())

    # ------------------------------------------------------------------ what it hears

    def node_event(self, event: int = 0, path: str = "") -> None:
        """The watch on the leader's node fired: look whether it is still ours."""
        if self.ended is not None or self.session.state.is_dead:
            return
        try:
            reply = self.session.exists(self.path, self.node_event)
        except ConnectionError:
            return  # the watch is gone with the connection's session state: `_session_changed` looks again
        reply.add_done_callback(self._looked)

    def _looked(self, reply: "asyncio.Future[Any]") -> None:
        try:
            self._compare(requests.stat_of(reply.result()))
        except NoNode:
            self._compare(None)
        except (ResponseError, asyncio.CancelledError):
            return  # lost with the connection: looked at again when one is attached

    def _compare(self, stat: requests.Stat | None) -> None:
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

    def _refuted(self, error: ResponseError) -> None:
        if isinstance(error, NoNode):
            self._end("the leader's node was deleted by someone else")
        else:
            self._end(f"another candidate took over ({error})")

    def _end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why
            self.session.heartbeat.drop(self._stake)  # a check that fails would take the lease from everybody else
            self._changed.set()
            self._listener()

    def _is_worth_starting(self) -> bool:
        return self.deadline - self.stop_grace - self._clock() >= self.session.timeout * WORTH_STARTING


def _nobody() -> None:
    """Nobody listens yet, or any more."""
