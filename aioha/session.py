"""Exactly one ZooKeeper session id, from birth to death, never silently replaced.

    CONNECTING -> CONNECTED <-> SUSPENDED          any of them -> EXPIRED | FAILED | CLOSED

A lost connection is SUSPENDED in the same tick: what is in flight fails with `ConnectionLoss` (outcome unknown), what
is asked meanwhile fails with `NotAttached` (nothing was sent), and an attach to another server begins at once. Only
the servers can say EXPIRED; until when the session may be *believed* alive is the lease's to say, not this file's.
Listeners hear every state change, in order, in the tick in which it happens. Dead is dead: a candidate that goes on
takes a new `ZooKeeperSession`.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .attach import Attacher, longer
from .clock import Clock
from .errors import SessionFailed
from .hearing import Hearing
from .heartbeat import Heartbeat
from .lease import Lease
from .session_state import LOUDNESS, NotAttached, SessionState
from .where import Server
from .wire import requests
from .wire.connection import Connection, Greeting
from .wire.errors import ConnectionLoss, NoNode, ResponseError, SessionExpired, SessionMoved
from .wire.watches import OnEvent, Watches, WatchKind

__all__ = ["NotAttached", "SessionState", "ZooKeeperSession"]

log = logging.getLogger("aioha")

CLOSE_SHARE, LONGEST_CLOSE = 1 / 6, 1.0
SOON = 0.1  # seconds: a connection that is lost earlier was hardly one
HASTE = 0.025  # seconds: the longest pause where whoever leads next counts on our hearing of it if our session is closed
IN_A_ROW = 3  # connections that have proved no lease, until another server may know better
NEW = 0
NO_PASSWORD = bytes(16)


class ZooKeeperSession:
    """See the head of this file. `run` must be running for anything to happen. `timeout`: seconds, asked for."""

    def __init__(
        self,
        servers: Sequence[Server],
        timeout: float,
        clock: Clock,
        *,
        lease: Lease,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self.id = NEW
        self.password = NO_PASSWORD
        self.state = SessionState.CONNECTING
        self.lease = lease
        self.hearing = Hearing(authenticates=credentials is not None)
        self.heartbeat = Heartbeat(lease, clock, self.hearing)
        self.zxid = 0  # the newest change seen: no server that is behind it will take us
        self.why = "not connected yet"  # of the last state, for messages
        self._asked = timeout
        self._clock = clock
        self._attacher = Attacher(servers, timeout, clock, credentials)
        self._connection: Connection | None = None
        self._closing = False
        self._watches = Watches()
        self._unseen_since: int | None = None  # zxid up to which all watches had reported, while not all are set again
        self._listeners: list[Callable[[], None]] = []

    # ------------------------------------------------------------------ what it is

    @property
    def timeout(self) -> float:
        """Seconds: negotiated, or what was asked for while no server has answered."""
        return self.lease.timeout if self.id else self._asked

    @property
    def failures(self) -> Mapping[str, str]:
        """Of each server: why it could not be attached the last time."""
        return self._attacher.failures

    @property
    def server(self) -> str | None:
        return self._connection.server if self._connection is not None else None

    @property
    def connection(self) -> Connection:
        """The attached connection. Raises `SessionExpired` if the session is dead, `NotAttached`."""
        if self.state.is_dead:
            raise SessionExpired
        if self._connection is None:
            raise NotAttached(self.why)
        return self._connection

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """`listener` is called after every change of `state`. Returns the function that ends it."""
        self._listeners.append(listener)

        def unsubscribe() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return unsubscribe

    # ------------------------------------------------------------------ asking

    def send(self, request: requests.Request) -> asyncio.Future[Any]:
        """Send now; the future raises `ResponseError`. Raises `NotAttached`, `SessionExpired` without sending."""
        return self.connection.send(request)

    def exists(self, path: str, on_event: OnEvent) -> asyncio.Future[Any]:
        """`exists` that also arms a watch: `on_event` is called once, when something happened to the node, or when
        the session died. The reply is None where there is no node.
        """
        return self.watching(requests.exists(path, watch=True), on_event)

    def watching(self, request: requests.Request, on_event: OnEvent) -> asyncio.Future[Any]:
        """Send a request that leaves a watch; `on_event` is called as for `exists`."""
        path: str = request.path
        kind = WatchKind.CHILD if requests.asks_for_children(request) else WatchKind.DATA

        def arm(error: ResponseError | None) -> None:
            if error is None:
                self._watches.armed(kind, path, on_event)
            elif isinstance(error, NoNode) and requests.asks_for_existence(request):
                self._watches.armed(WatchKind.EXIST, path, on_event)

        return self.connection.send(request, then=arm)

    async def attached(self) -> None:
        """Wait until a server is attached; unbounded. Raises `SessionExpired` when the session is dead."""
        if self._connection is None and not self.state.is_dead:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            def look() -> None:
                if (self._connection is not None or self.state.is_dead) and not waiter.done():
                    waiter.set_result(None)

            unsubscribe = self.subscribe(look)
            try:
                await waiter
            finally:
                unsubscribe()
        if self.state.is_dead:
            raise SessionExpired

    def forget(self, on_event: OnEvent) -> None:
        """Nobody waits for this watch any more."""
        self._watches.forget(on_event)

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Attach, beat, attach again, until the session is dead. Ends by itself only then; never raises."""
        try:
            pause, last, back, doubt, row = 0.0, None, False, None, 0
            while (connection := await self._attacher.attach(self, pause, last, back=back)) is not None:
                since, proved = self._clock(), self.lease.anchored
                doubt = doubt if last is not None and last.server == connection.server else None
                given_up = await self.heartbeat.run(connection, doubt) and not connection.hung_up
                # Lost as soon as attached, again and again (somebody else holds our session, say): not in a tight loop.
                pause = longer(pause) if not given_up and self._clock() - since <= SOON else 0.0
                row = row + 1 if (needed := self.heartbeat.is_needed) and self.lease.anchored <= proved else 0
                # A server that hangs up may have closed our session, as anybody may ask it to: then it says so at once. Who
                # comes back while that is under way may get no answer: then ask once more. Whoever is next waits for that.
                is_urgent = needed and row <= IN_A_ROW and (connection.hung_up or given_up)
                pause = min(pause, HASTE) if is_urgent else pause
                back = is_urgent or (connection.hung_up and not pause and not needed)
                doubt = self.hearing.patience if is_urgent and not given_up else None
                last = connection
        except SessionExpired:
            self._die(SessionState.EXPIRED, f"session {self.id:#x} expired")
        except SessionFailed as failure:
            self._die(SessionState.FAILED, str(failure))
        finally:
            if self._connection is not None:  # cancelled just when a server had accepted: nobody beats on it
                self._connection.abort("session given up")

    async def close(self) -> None:
        """End the session: its ephemeral nodes go at once if a server is attached, else when it expires. Bounded."""
        self._closing = True
        try:
            if self._connection is not None:
                async with asyncio.timeout(min(self.timeout * CLOSE_SHARE, LONGEST_CLOSE)):
                    await self._connection.send(requests.close_session())
        except (TimeoutError, ConnectionError, ResponseError):
            pass  # it will expire
        finally:
            self._die(SessionState.CLOSED, "closed")

    def fail(self, why: str) -> None:
        """Give the session up: something inside this library broke, and nobody keeps it alive any more."""
        self._die(SessionState.FAILED, why)

    # ------------------------------------------------------------------ what attaching does (Attachable)

    @property
    def is_dead(self) -> bool:
        return self.state.is_dead

    @property
    def zxid_to_insist_on(self) -> int:
        """What a server must have seen to be accepted. Servers that are behind it just hang up, for ever if their data
        was set back. Once nothing rests on the session any more, let them say what has become of it.
        """
        return self.zxid if self._clock() < self.lease.deadline + self.timeout else 0

    def granted(self, connection: Connection, greeting: Greeting) -> None:
        """A server took the session; it is not attached before it is authenticated too."""
        created, self.zxid = not self.id, self.zxid_to_insist_on
        self.hearing.attached(greeting.sent, self._clock(), created=created)
        if created and greeting.timeout != self._asked:
            log.info("session_timeout: asked for %g s, the servers grant %g s", self._asked, greeting.timeout)
        self.id, self.password = greeting.session_id, greeting.password
        self.lease.attached(greeting.sent, greeting.timeout, created=created)
        connection.listen(self)

    def attach_to(self, connection: Connection) -> bool:
        """From now on this connection is the session's. False if it, or the session, has ended meanwhile."""
        if connection.lost is not None or self.state.is_dead:
            return False
        self._set_watches(connection)
        self.heartbeat.begin(connection)
        self._connection = connection
        self._become(SessionState.CONNECTED, f"attached to {connection.server}")
        return True

    def _set_watches(self, connection: Connection) -> None:
        """Arm all watches on this connection, counting from the last zxid at which every one of them was armed.

        Not from the newest one seen: the reply to a first part shows it, and the connection may be lost before the
        rest was set. What had happened to the rest would never be told.
        """
        since = self.zxid if self._unseen_since is None else self._unseen_since
        parts = list(self._watches.requests(since))
        self._unseen_since = since if parts else None

        def set_(error: ResponseError | None, *, last: bool) -> None:
            if error is None:
                self._unseen_since = None if last else since
            elif not isinstance(error, ConnectionLoss | SessionExpired | SessionMoved):
                connection.abort(f"refused to set watches: {error}")

        for number, part in enumerate(parts, 1):
            connection.send(part, then=functools.partial(set_, last=number == len(parts)))

    # ------------------------------------------------------------------ what a connection tells (wire Listener)

    def on_reply(self, sent: float, replied: float, zxid: int) -> None:
        self.lease.acknowledged(sent, replied)
        self.hearing.answered(sent, replied)
        self.zxid = max(self.zxid, zxid)

    def on_event(self, kind: int, path: str) -> None:
        self._watches.fired(kind, path)

    def on_lost(self, connection: Connection, reason: str) -> None:
        if connection is not self._connection:
            if self._connection is None:  # granted, and lost before it was attached
                self.lease.detached()
            return
        self._connection = None
        self.lease.detached()
        if self._closing:
            self._die(SessionState.CLOSED, "closed")
        elif not self.state.is_dead:
            self._become(SessionState.SUSPENDED, f"{connection.server}: {reason}")

    # ------------------------------------------------------------------ inside

    def _become(self, state: SessionState, why: str) -> None:
        self.state, self.why = state, why
        log.log(LOUDNESS.get(state, logging.INFO), "ZooKeeper session %#x: %s (%s)", self.id, state.value, why)
        failure: Exception | None = None
        for listener in tuple(self._listeners):
            if listener not in self._listeners:
                continue  # ended by one that was told before
            try:
                listener()
            except Exception as error:  # noqa: BLE001 - raised again when all have heard
                failure = failure or error
        if failure is not None:
            raise failure

    def _die(self, state: SessionState, why: str) -> None:
        if self.state.is_dead:
            return
        connection, self._connection = self._connection, None
        try:
            self._become(state, why)
        finally:
            self._attacher.give_up()
            if connection is not None:
                connection.abort(why)
            self.lease.detached()
            self._watches.dropped()
