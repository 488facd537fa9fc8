"""Attaching a session to a server: round after round over all of them, until one grants it or says that it is over.

One ConnectRequest at a time: an abandoned one may be answered late and move the session. How long a server may think
depends on what is asked: a re-attach is urgent, a new session is a quorum commit and not.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Protocol

import anyio

from .clock import Clock
from .errors import SessionFailed
from .where import Server
from .wire.connection import Connection, Greeting
from .wire.dial import first_accepted
from .wire.errors import AuthFailed, ConnectionLoss, SessionExpired

__all__ = ["Attacher", "longer"]

log = logging.getLogger("aioha")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5  # seconds between rounds over all servers; jittered, so that herds spread
DIAL_SHARE, LONGEST_DIAL = 1 / 4, 3.0  # of the session timeout, and seconds: a TCP connect; a lost SYN is repeated after 1 s
REATTACH_SHARE = 1 / 8  # of the session timeout: how long one server may think about a re-attach
CREATE_SHARE = 1 / 3  # the same for a new session
FIRST_PATIENCE = 0.3  # seconds for it in the first round if there are other servers to ask; doubled in each


class Attachable(Protocol):
    """What attaching needs of a session. `id` 0: it has not been made yet."""

    id: int
    password: bytes

    @property
    def zxid_to_insist_on(self) -> int: ...
    @property
    def timeout(self) -> float: ...
    @property
    def is_dead(self) -> bool: ...
    def granted(self, connection: Connection, greeting: Greeting) -> None: ...
    def attach_to(self, connection: Connection) -> bool: ...


class Attacher:
    """The servers of one session, and how it gets to the next one. Durations are seconds."""

    def __init__(self, servers: Sequence[Server], asked: float, clock: Clock, credentials: tuple[str, str] | None) -> None:
        self.servers = random.sample(servers, len(servers))  # so that candidates spread over the servers
        self.failures: dict[str, str] = {}  # server -> why it could not be attached the last time
        self._asked = asked
        self._clock = clock
        self._credentials = credentials
        self._patience = FIRST_PATIENCE
        self._scope: anyio.CancelScope | None = None

    async def attach(
        self, session: Attachable, pause: float, last: Connection | None = None, *, back: bool = False
    ) -> Connection | None:
        """The connection that the session is attached to now; None if it died meanwhile. `pause`: seconds before the first
        try. `last`: the connection that it was attached to before. `back`: begin with its server, not with the others.

        Unbounded. Raises `SessionExpired`, `SessionFailed`.
        """

        async def greet(connection: Connection) -> Connection | None:
            return await self._greet(session, connection)

        if last is not None:
            self.servers.sort(key=lambda server: (str(server) == last.server) is not back)
        self._patience, told = FIRST_PATIENCE, False
        bound = min(session.timeout * DIAL_SHARE, LONGEST_DIAL)
        with anyio.CancelScope() as self._scope:
            while not session.is_dead:
                if pause:
                    await asyncio.sleep(random.uniform(pause / 2, pause))
                connection = await first_accepted(self.servers, greet, self._clock, self.failures, bound)
                if connection is not None:
                    return connection
                if not told:
                    told = True
                    log.warning("no ZooKeeper server reached, trying on: %s", self._reasons())
                pause = longer(pause)
                self._patience *= 2
        return None

    def _reasons(self) -> str:
        return "; ".join(f"{server}: {self.failures.get(str(server), 'no answer')}" for server in self.servers)

    def give_up(self) -> None:
        """The session is dead: stop trying."""
        if self._scope is not None:
            self._scope.cancel()

    async def _greet(self, session: Attachable, connection: Connection) -> Connection | None:
        """Ask one server for the session; None: try another."""
        server, bound = connection.server, self._bound(session)
        self.failures[server] = "accepted the connection, but did not answer yet"
        try:
            async with asyncio.timeout(bound):
                greeting = await connection.greet(session.id, session.password, self._asked, session.zxid_to_insist_on)
                _compare(session, greeting)
                session.granted(connection, greeting)
                await self._authenticate(connection)
        except TimeoutError:
            self.failures[server] = f"accepted the connection, but did not answer within {bound:.2g} s"
        except (ConnectionError, ConnectionLoss) as error:
            self.failures[server] = str(error) or connection.lost or "connection lost"
        else:
            if session.attach_to(connection):
                self.failures.pop(server, None)
                return connection
            self.failures[server] = connection.lost or "given up meanwhile"
        return None

    def _bound(self, session: Attachable) -> float:
        if session.id:
            return session.timeout * REATTACH_SHARE
        longest = session.timeout * CREATE_SHARE
        # Asking another server costs no more than a session that nobody uses.
        return longest if len(self.servers) == 1 else min(longest, self._patience)

    async def _authenticate(self, connection: Connection) -> None:
        if self._credentials is None:
            return
        try:
            await connection.authenticate("digest", ":".join(self._credentials).encode())
        except AuthFailed:
            user = self._credentials[0]
            raise SessionFailed(f"{connection.server} refused digest authentication for user {user!r}") from None


def longer(pause: float) -> float:
    """The pause after one more failure."""
    return min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)


def _compare(session: Attachable, greeting: Greeting) -> None:
    if session.is_dead:
        raise ConnectionError("given up meanwhile")
    if session.id and not greeting.session_id:
        raise SessionExpired
    if not greeting.session_id:
        raise ConnectionError("refused to make a session")
    if session.id and greeting.session_id != session.id:
        raise ConnectionError(f"answered with another session ({greeting.session_id:#x})")
    if greeting.timeout <= 0:
        raise ConnectionError(f"granted a session of {greeting.timeout:g} s")
