"""Seeing who leads a queue and who stands by in it, without taking part."""

import asyncio
from collections.abc import Iterable
from typing import Any

from ...ended import Ended
from ...errors import LayoutMismatch
from ...session import ZooKeeperSession
from ...sessions import Sessions
from ...settings import Settings
from ...wire import requests
from ...wire.errors import NoAuth, NoNode
from ..protocol import Candidates, Leader
from .attention import Attention
from .dialects import DIALECTS, Dialect
from .ledger import LOCK, LedgerView, Names, longest_grace, view_of
from .observer import Observer
from .znodes import ignore, stat_or_none

__all__ = ["QueueObserver", "insist_on", "refuse_members"]


class QueueObserver(Observer):
    """See the head of this file. Those who stand by have the token that they would lead with, as far as can be known."""

    def __init__(self, names: Names, dialect: Dialect, settings: Settings, sessions: Sessions) -> None:
        super().__init__(names, settings, sessions)
        self._dialect = dialect

    async def _see_leader(self, session: ZooKeeperSession, attention: Attention | None) -> Leader | None:
        found = await self._see(session, 1, attention)
        return found[0] if found else None

    async def _see_all(self, session: ZooKeeperSession) -> Candidates:
        found = await self._see(session, None)
        return (found[0] if found else None), found[1:]

    async def _see(self, session: ZooKeeperSession, most: int | None, attention: Attention | None = None) -> list[Leader]:
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
            # The node is as old as its place in line; the record was written when its term began.
            return Leader(view.record.identity, data, token, view.written)
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
    """Raises `LayoutMismatch` if members of another dialect stand in line there, or it is Hadoop's."""
    strangers = [child for child in children if dialect.number(child) is None]
    if LOCK in strangers:
        raise LayoutMismatch(
            f"{path} is the root of an election of Hadoop (it holds {LOCK}), and layout={dialect.name} is another's: choose "
            f"layout=hadoop, or another path"
        )
    refuse_members(path, dialect.name, strangers)


def refuse_members(path: str, layout: str, children: Iterable[str]) -> None:
    """Raises `LayoutMismatch` if members of any dialect stand in line there."""
    strangers = sorted(children)
    for other in DIALECTS.values():
        theirs = [child for child in strangers if other.number(child) is not None]
        if theirs:
            raise LayoutMismatch(
                f"{path} is the root of an election of {other.software} (it holds {', '.join(theirs[:3])}), and "
                f"layout={layout} is another's: choose layout={other.name}, or another path"
            )
