"""Many elections on one ZooKeeper session: one socket, one lease, any number of electors."""

import asyncio
from types import TracebackType
from typing import Any, Literal, Self, TypedDict, Unpack, cast

from .clock import Clock
from .elections.zookeeper import election_at, sessions_for
from .elector import Elector, Work
from .host import finish
from .settings import Options, Settings
from .where import parse, path_of

__all__ = ["Session"]


class SessionOptions(TypedDict, total=False):
    """Keyword arguments of `Session`: the options that belong to a session, with the defaults of `Settings`."""

    session_timeout: float
    connect_timeout: float
    tick: float | None
    lease: Literal["quorum", "ping"]
    guardian: Literal[False, True, "tree"]
    clock: Clock


class Session:
    """A ZooKeeper session that electors share, as an async context manager.

    where: the ensemble, without a path. Durations are seconds; see `Settings`. Entering raises `Unavailable` within
    `connect_timeout`, or `SessionFailed`. The electors must have left their blocks before this one ends.
    """

    def __init__(self, where: str, **options: Unpack[SessionOptions]) -> None:
        self._where = parse(where, path_required=False)
        if self._where.is_local or self._where.path != "/":
            raise ValueError(f"where: a shared session takes servers without a path, zk://host1,host2; got {self._where}")
        written = {**Settings.read(self._where.options), **options}
        strange = sorted(set(written) - set(SessionOptions.__annotations__))
        if strange:
            raise ValueError(f"{strange[0]}: belongs to an elector, not to the session that electors share")
        self._given = cast("Options", written)
        self._settings = Settings.of(self._given)
        self._sessions = sessions_for(self._where, self._settings)

    async def __aenter__(self) -> Self:
        await self._sessions.open(self._settings.connect_timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        closing = asyncio.ensure_future(self._sessions.close())
        interrupted = await finish(closing, float("inf"))
        if interrupted is not None:
            raise interrupted
        closing.result()

    @property
    def state(self) -> str:
        """One of connecting, connected, suspended, expired, failed, closed."""
        return self._sessions.state

    @property
    def server(self) -> str | None:
        """`host:port` now attached to, or None."""
        return self._sessions.server

    @property
    def timeout(self) -> float:
        """Seconds: negotiated, or what was asked for while no server has answered."""
        return self._sessions.timeout

    @property
    def id(self) -> int:
        """Of the present ZooKeeper session; 0 before there is one. Electors go on when it expires, on the next one."""
        return self._sessions.id

    def elector(self, path: str, work: Work[Any] | None = None, **options: Unpack[Options]) -> Elector:
        """A candidate in the election at `path`, on this session. Options of the session itself cannot be given here.

        Raises `ValueError`. Entering a second elector on one path raises `ElectionError`: they would share their nodes.
        """
        taken = sorted(set(options) & set(SessionOptions.__annotations__))
        if taken:
            raise ValueError(f"{taken[0]}: belongs to the session that the electors share, not to one elector")
        path, settings = path_of(path), Settings.of(self._given, options)
        election = election_at(path, settings, self._sessions, owns_sessions=False)
        return Elector.holding(election, path, settings, work)
