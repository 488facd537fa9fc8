"""Seeing who leads a queue and who stands by in it, without taking part."""

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import Any

from ...ended import Ended
from ...errors import LayoutMismatch, Unavailable
from ...session import ZooKeeperSession
from ...sessions import Sessions
from ...settings import Settings
from ...wire import requests
from ...wire.errors import NoAuth, NoNode, ResponseError
from ..protocol import Leader
from .attention import Attention
from .dialects import DIALECTS, Dialect
from .ledger import LedgerView, Names, longest_grace, view_of
from .znodes import PASSING, explain_refusal, ignore, stat_or_none

__all__ = ["QueueObserver", "insist_on"]

READ_BOUND = 5.0  # seconds that somebody who asks once will wait
STUMBLE = 0.05  # seconds, jittered, before looking again after a lost connection


class QueueObserver:
    """Reads; decides nothing."""

    def __init__(self, names: Names, dialect: Dialect, settings: Settings, sessions: Sessions) -> None:
        self._names = names
        self._dialect = dialect
        self._settings = settings
        self._sessions = sessions

    async def leader(self, *, bound: float = READ_BOUND) -> Leader | None:
        """Who leads now, at least as new as this call. `bound`: seconds. Raises as `candidates`."""
        found = await self._ask(bound, 1)
        return found[0] if found else None

    async def candidates(self) -> Sequence[Leader]:
        """All members, the leader first; the others with the token that they would have, as far as can be known.

        Raises `Unavailable`, `SessionFailed`, `LayoutMismatch`.
        """
        return await self._ask(READ_BOUND, None)

    async def leader_after(self, last: Leader | None, *, first: bool) -> Leader | None:
        """The present leader once it differs from `last` (at once if `first`); waits out outages."""
        while True:
            with Attention(await self._sessions.live()) as attention:
                try:
                    found = await self._see(attention.session, 1, attention)
                    seen = found[0] if found else None
                    if first or _token(seen) != _token(last):
                        return seen
                    await attention.wait(attention.session.timeout)
                except PASSING:
                    await asyncio.sleep(random.uniform(0, STUMBLE))
                except ResponseError as error:
                    raise explain_refusal(error, self._names.path, self._settings.identity) from error

    async def _ask(self, bound: float, most: int | None) -> list[Leader]:
        try:
            async with asyncio.timeout(bound):
                session = await self._sessions.live()
                fresh = session.send(requests.sync(self._names.path))
                found = await self._see(session, most)
                await fresh
                return found
        except TimeoutError:
            raise Unavailable(f"{self._names.path}: no answer within {bound:g} s ({self._sessions.why})") from None
        except PASSING as error:
            raise Unavailable(f"{self._names.path}: {self._sessions.why}") from error
        except ResponseError as error:
            raise explain_refusal(error, self._names.path, self._settings.identity) from error

    async def _see(self, session: ZooKeeperSession, most: int | None, attention: Attention | None = None) -> list[Leader]:
        """The first members in line. With `attention` it is called when the first one goes, or when one comes."""
        path = self._names.path
        on_event = attention.on_event if attention is not None else ignore
        while True:
            record = session.send(requests.get(self._names.record)) if self._settings.record else None
            try:
                children: list[str] = (await session.send(requests.children(path))).children
            except NoNode:
                if attention is None or await stat_or_none(session.exists(path, on_event)) is None:
                    return []
                continue
            if not children:
                await self._refuse_a_leaders_node(session)
            insist_on(self._dialect, path, children)
            members = self._dialect.in_order(children)
            if not members and attention is not None:
                again = session.watching(requests.children(path, watch=True), on_event)
                if self._dialect.in_order((await again).children):
                    continue
                return []
            nodes = [
                session.watching(requests.get(f"{path}/{member}", watch=True), on_event)
                if attention is not None and member == members[0]
                else session.send(requests.get(f"{path}/{member}"))
                for member in members[:most]
            ]
            view = await self._record(session, record)
            described = [
                await self._describe(session, f"{path}/{member}", node, view)
                for member, node in zip(members[:most], nodes, strict=True)
            ]
            found = [leader for leader in described if leader is not None]
            if len(found) == len(nodes) or (most is None and found):
                return found

    async def _record(self, session: ZooKeeperSession, reply: "asyncio.Future[Any] | None") -> LedgerView | None:
        if reply is None:
            return None
        try:
            return view_of(self._names, await reply, Ended(), longest_grace(session))
        except (NoNode, NoAuth):
            return None

    async def _describe(
        self, session: ZooKeeperSession, path: str, reply: "asyncio.Future[Any]", view: LedgerView | None
    ) -> Leader | None:
        try:
            got = await reply
        except NoNode:
            return None
        except NoAuth:  # what it says of itself is not for us to read
            got = await session.send(requests.exists(path))
        stat, data = requests.stat_of(got), getattr(got, "data", None) or b""
        base = view.record.token_base if view is not None else 0
        token = stat.czxid + base
        if view is not None and view.record.token == token:
            return Leader(view.record.identity, data, token, stat.ctime)
        return Leader(data.rstrip(b"\0").decode(errors="replace"), data, token, stat.ctime)

    async def _refuse_a_leaders_node(self, session: ZooKeeperSession) -> None:
        """Raises `LayoutMismatch` where the path itself is somebody's."""
        stat = await stat_or_none(session.send(requests.exists(self._names.path)))
        if stat is not None and stat.is_ephemeral:
            raise LayoutMismatch(
                f"{self._names.path} is a leader's node (layout=ephemeral or mooon), and layout={self._dialect.name} "
                f"needs members below it: choose another path, or that layout"
            )


def insist_on(dialect: Dialect, path: str, children: Iterable[str]) -> None:
    """Raises `LayoutMismatch` if members of another dialect stand in line there."""
    strangers = sorted(child for child in children if dialect.number(child) is None)
    for other in DIALECTS.values():
        theirs = [child for child in strangers if other.number(child) is not None]
        if theirs:
            raise LayoutMismatch(
                f"{path} is the root of an election of {other.software} (it holds {', '.join(theirs[:3])}), and "
                f"layout={dialect.name} is another's: choose layout={other.name}, or another path"
            )


def _token(leader: Leader | None) -> int | None:
    return None if leader is None else leader.token
