"""The ZooKeeper sessions that a candidate lives through, one after another, never two at once.

`live` gives the one that is attached now; when the last one is dead it is where the next one begins. Whatever rested
on the dead one has been told by then. It is also what people see as `elector.session`.
"""

import asyncio
import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .clock import Clock
from .errors import ElectionError, SessionFailed, Unavailable
from .guardian.guarded import Guardian
from .host import Host
from .lease import Lease
from .session import SessionState, ZooKeeperSession
from .where import Server
from .wire import requests
from .wire.errors import ConnectionLoss, NoAuth, NoNode, SessionExpired, SessionMoved

__all__ = ["Sessions"]

log = logging.getLogger("aioha")

# The ensemble's members as its servers see them; empty on a lone server.
CONFIG_PATH = "/zookeeper/config"


class Sessions:
    """See the head of this file. All durations are seconds.

    `on_failure` hears of a failure inside this library that ended the sessions for good.
    """

    def __init__(
        self,
        servers: Sequence[Server],
        *,
        session_timeout: float,
        clock: Clock,
        tick: float | None = None,
        pings_prove: bool = False,
        credentials: tuple[str, str] | None = None,
        guardian: Guardian | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self.current: ZooKeeperSession | None = None
        self.failure: BaseException | None = None
        self.guardian = guardian
        self._servers = servers
        self._asked = session_timeout
        self._clock = clock
        self._tick = tick
        self._pings_prove = pings_prove
        self._credentials = credentials
        self._paths: dict[str, asyncio.Future[None] | None] = {}  # that are taken; what is still being removed there
        self._host = Host("aioha sessions", self._failed)
        self._is_closing = False
        self._on_failure = on_failure

    # ------------------------------------------------------------------ what people see

    @property
    def state(self) -> str:
        """One of connecting, connected, suspended, expired, failed, closed."""
        return (self.current.state if self.current is not None else SessionState.CONNECTING).value

    @property
    def server(self) -> str | None:
        """`host:port` now attached to, or None."""
        return self.current.server if self.current is not None else None

    @property
    def timeout(self) -> float:
        """Seconds: negotiated, or what was asked for while no server has answered."""
        return self.current.timeout if self.current is not None else self._asked

    @property
    def id(self) -> int:
        """The session id; 0 before there is one."""
        return self.current.id if self.current is not None else 0

    @property
    def why(self) -> str:
        """What led to the state, for messages."""
        return self.current.why if self.current is not None else "not connected yet"

    # ------------------------------------------------------------------ who uses it

    def claim(self, path: str) -> asyncio.Future[None] | None:
        """Take a path for one elector. Returns what must be done before anything is put there: an elector that has been
        left is still removing what is its. Raises `ElectionError` if another one has the path: they would share their nodes.
        """
        if path in self._paths and self._paths[path] is None:
            raise ElectionError(f"{path}: this session has an elector there already")
        leaving, self._paths[path] = self._paths.get(path), None
        return leaving

    def unclaim(self, path: str, leaving: asyncio.Future[None] | None = None) -> None:
        """Let go of a path. `leaving`: done when what was put there has gone."""
        if leaving is None or leaving.done():
            self._paths.pop(path, None)
        else:
            self._paths[path] = leaving
            leaving.add_done_callback(lambda _: self._has_left(path, leaving))

    # ------------------------------------------------------------------ life

    async def open(self, connect_timeout: float) -> None:
        """Attach to a server, within `connect_timeout` seconds; `inf`: only begin to try.

        Raises `Unavailable` naming each server and why, or `SessionFailed`. A failed `open` leaves nothing behind.
        """
        self._is_closing = False
        await self._host.start()
        if self.guardian is not None:
            self.guardian.start()
        if math.isinf(connect_timeout):
            self._begin()
            return
        try:
            async with asyncio.timeout(connect_timeout):
                await self.live()
        except TimeoutError:
            reasons = self._reasons()
            await self.close()
            raise Unavailable(f"no ZooKeeper server reached within {connect_timeout:g} s: {reasons}") from None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the session and stop; bounded, in any state."""
        self._is_closing = True  # whoever still waits for one is not to begin another
        try:
            if self.current is not None:
                await self.current.close()
        finally:
            if self.guardian is not None:
                await self.guardian.stop()
            await self._host.stop()

    async def live(self) -> ZooKeeperSession:
        """The attached session; waits, unbounded, and begins a new one when the last one is dead.

        Raises `SessionFailed` when trying again would not help.
        """
        while True:
            session = self._begin()
            try:
                await session.attached()
                if self._pings_prove:
                    await self._insist_on_lone_server(session)
            except (SessionExpired, SessionMoved, ConnectionLoss, ConnectionError):
                if session.state is SessionState.FAILED:
                    raise SessionFailed(session.why) from None
                if not self._is_running:
                    raise SessionFailed("the elector is closed") from self.failure
            else:
                return session

    # ------------------------------------------------------------------ inside

    def _has_left(self, path: str, leaving: asyncio.Future[None]) -> None:
        if self._paths.get(path) is leaving:
            del self._paths[path]

    @property
    def _is_running(self) -> bool:
        return self._host.running and not self._is_closing

    def _begin(self) -> ZooKeeperSession:
        if self.current is not None and not self.current.state.is_dead:
            return self.current
        if self.current is not None and self.current.state is SessionState.FAILED:
            return self.current
        if not self._is_running:
            raise SessionFailed("the elector is closed") from self.failure
        session = ZooKeeperSession(
            self._servers,
            self._asked,
            self._clock,
            lease=Lease(tick=self._tick, pings_prove=self._pings_prove),
            credentials=self._credentials,
        )
        self.current = session
        if self.guardian is not None:
            session.subscribe(functools.partial(self._tell_guardian, self.guardian, session))
        self._host.spawn(session.run)
        return session

    def _tell_guardian(self, guardian: Guardian, session: ZooKeeperSession) -> None:
        if session.state is SessionState.CONNECTED:
            guardian.attend((session.id, session.password, session.timeout, self._credentials))
            guardian.serve([(each.host, each.port) for each in self._servers], session.connection.address)
        elif session.state in (SessionState.EXPIRED, SessionState.CLOSED):
            guardian.attend(None)

    async def _insist_on_lone_server(self, session: ZooKeeperSession) -> None:
        """A ping proves nothing about an ensemble: its leader may have expired us while a follower still answers."""
        members: Any = b""
        try:
            members = (await session.send(requests.get(CONFIG_PATH))).data
        except NoNode:
            pass
        except NoAuth:
            raise SessionFailed(
                f"lease=ping is safe on a lone server only, and {session.server} does not let us read {CONFIG_PATH}, "
                "which would tell; use lease=quorum"
            ) from None
        if b"server." in (members or b""):
            raise SessionFailed(
                f"lease=ping is safe on a lone server only, and {session.server} belongs to an ensemble; use lease=quorum"
            )

    def _reasons(self) -> str:
        failures: Mapping[str, str] = self.current.failures if self.current is not None else {}
        return "; ".join(f"{server}: {failures.get(str(server), 'not asked yet')}" for server in self._servers)

    def _failed(self, failure: BaseException) -> None:
        self.failure = failure
        log.critical("aioha failed inside", exc_info=failure)
        try:
            if self.current is not None:
                self.current.fail(f"aioha failed inside: {failure!r}")
        finally:
            if self._on_failure is not None:
                self._on_failure(failure)
