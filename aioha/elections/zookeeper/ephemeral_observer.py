"""Seeing who leads an `ephemeral` election, and who stands in line for it, without taking part."""

import asyncio
import contextlib
import json
from typing import Any

from ...errors import LayoutMismatch
from ...record import read_data
from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.errors import NoAuth, NoNode
from ..protocol import Candidates, Leader
from .attention import Attention
from .dialects import LINE
from .ledger import Ledger, LedgerView
from .observer import Observer
from .queue_observer import refuse_members
from .znodes import mismatch, stat_or_none

__all__ = ["EphemeralObserver"]

LOOKS = 3  # at a node and a record that do not belong to the same term


class EphemeralObserver(Observer):
    """See the head of this file. Those in line have no token yet: 0."""

    async def _see_all(self, session: ZooKeeperSession) -> Candidates:
        return await self._see_leader(session, None), await self._line(session)

    async def _see_leader(self, session: ZooKeeperSession, attention: Attention | None, looks: int = LOOKS) -> Leader | None:
        path = self._names.leader
        node = session.exists(path, attention.on_event) if attention is not None else session.send(requests.exists(path))
        data = session.send(requests.get(path))
        ledger = Ledger(session, self._names) if self._settings.record else None
        stat = await stat_or_none(node)
        if stat is not None and not stat.is_ephemeral:
            raise await mismatch(session, path)
        if stat is None and self._names.is_folder:
            await self._refuse_strangers(session)
        view: LedgerView | None = None
        if ledger is not None:
            with contextlib.suppress(NoAuth):
                view = await ledger.read()
        try:
            reply = await asyncio.shield(data)
        except NoNode:
            return None
        led = requests.stat_of(reply)
        if view is not None and view.zxid > led.czxid and looks > 1:  # a takeover came between the two replies; else
            return await self._see_leader(session, attention, looks - 1)  # somebody's hand has written to the record since
        return _described(led, reply.data or b"", view)

    async def _refuse_strangers(self, session: ZooKeeperSession) -> None:
        """Raises `LayoutMismatch` where the path is not the folder of such an election."""
        root = self._names.path
        stat = await stat_or_none(session.send(requests.exists(root)))
        if stat is not None and stat.is_ephemeral:
            raise LayoutMismatch(
                f"{root} is a leader's node (layout=ephemeral or mooon), and layout=hadoop needs a folder: choose another "
                f"path, or that layout"
            )
        with contextlib.suppress(NoNode):
            children: list[str] = (await session.send(requests.children(root))).children
            refuse_members(root, "hadoop", children)

    async def _line(self, session: ZooKeeperSession) -> list[Leader]:
        root = self._names.line
        try:
            children: list[str] = (await session.send(requests.children(root))).children
        except (NoNode, NoAuth):
            return []
        replies = [session.send(requests.get(f"{root}/{name}")) for name in LINE.in_order(children)]
        standbys = [await _standby(reply) for reply in replies]
        return [standby for standby in standbys if standby is not None]


def _described(stat: requests.Stat, data: bytes, ledger: LedgerView | None) -> Leader:
    if ledger is not None and ledger.zxid == stat.czxid:
        return Leader(ledger.record.identity, data, ledger.token, stat.ctime)
    text = data.rstrip(b"\0")  # the C++ scheme ends its data with one
    return Leader(text.decode(errors="replace"), text, stat.czxid, stat.ctime)


async def _standby(reply: "asyncio.Future[Any]") -> Leader | None:
    try:
        got = await reply
        fields = json.loads(got.data or b"")
        return Leader(str(fields["identity"]), read_data(fields), 0, requests.stat_of(got).ctime)
    except (NoNode, NoAuth, ValueError, KeyError, TypeError, RecursionError):  # gone, or somebody else's
        return None
