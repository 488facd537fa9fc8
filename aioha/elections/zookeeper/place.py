"""Our own place in a queue: joining it once, although a reply may be lost, and leaving it for certain."""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any

from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.errors import NoNode, ResponseError
from ...wire.watches import OnEvent
from .dialects import Dialect
from .znodes import PASSING, commit_something, ensure, ignore, stat_or_none

__all__ = ["Place"]

log = logging.getLogger("aioha")

STUMBLE = 0.05  # seconds, jittered, after a lost connection


class Place:
    """One member node of ours below `root`, on one session. `name` is None before it is known to be there, `czxid` before
    it was seen.
    """

    def __init__(
        self, session: ZooKeeperSession, root: str, dialect: Dialect, payload: bytes, acl: Sequence[Any] | None
    ) -> None:
        self.session = session
        self.root = root
        self.name: str | None = None
        self._acl = acl
        self._dialect = dialect
        self._payload = payload
        self.czxid: int | None = None
        self.heard: OnEvent = ignore  # who hears of what happens to the node
        self.is_watched = False
        self.must_stay = False  # the servers have refused to delete it
        self._stem = dialect.new_stem()
        self._is_uncertain = False  # whether a create whose reply was lost has made the node

    @property
    def path(self) -> str:
        """Of the member node."""
        assert self.name is not None
        return f"{self.root}/{self.name}"

    @property
    def tells_whose(self) -> bool:
        """Whether its name tells others that it is some aioha's."""
        return self._dialect.is_unique

    @property
    def may_be_there(self) -> bool:
        return self.name is not None or self._is_uncertain

    @property
    def _is_sure(self) -> bool:
        """The node, if it is there, is ours."""
        return self._dialect.is_unique and not self._is_uncertain

    def on_event(self, event: int, path: str) -> None:
        """For `ZooKeeperSession.exists`."""
        if self.name is not None and path == self.path:
            self.is_watched = False
            self.heard(event, path)

    async def watch_again(self) -> bool:
        """Something has happened to the node: whether it is there, ours, and watched again. Raises `ResponseError`."""
        self.is_watched = True  # until something is heard of it, be it in front of our reading of the reply
        try:
            stat = await stat_or_none(self.session.exists(self.path, self.on_event))
        except BaseException:
            self.is_watched = False
            raise
        self.is_watched = self.is_watched and stat is not None and stat.czxid == self.czxid
        return self.is_watched

    def renew(self) -> None:
        """Somebody has deleted it: the next one is another."""
        self.session.forget(self.on_event)
        self.name, self.czxid, self.is_watched, self.must_stay = None, None, False, False
        self._stem = self._dialect.new_stem()

    async def join(self) -> bool:
        """Be in line; False: not yet, try again. Raises `ResponseError`, `ConnectionError`: then try again, too."""
        if self._is_uncertain:
            # A committed write on this connection first: what was under way on the last one is refused from now on.
            await commit_something(self.session)
            self.name = await self._find()
            self._is_uncertain = False
            if self.name is not None:
                return True
        stem = f"{self.root}/{self._stem}"
        request = requests.create(stem, self._payload, ephemeral=True, sequential=True, acl=self._acl)
        self._is_uncertain = True
        try:
            reply = await self.session.send(request)
        except NoNode:
            self._is_uncertain = False
            await ensure(self.session, self.root, self._acl)
            return False
        except PASSING:
            raise
        except ResponseError:
            self._is_uncertain = False
            raise
        self.name, self._is_uncertain = reply.path.rpartition("/")[2], False
        return True

    def leaving(self, also: Sequence[requests.Request]) -> requests.Request:
        """What `leave` sends."""
        return requests.multi(*also, requests.delete(self.path))

    def send_leave(self, leaving: requests.Request) -> "asyncio.Future[Any] | None":
        """Send that at once; None: it cannot be sent yet."""
        if self.name is None or not self._is_sure:
            return None
        try:
            sent = self.session.send(leaving)
        except PASSING:
            return None
        self.session.forget(self.on_event)
        return sent

    async def leave(self, also: Sequence[requests.Request] = (), sent: "asyncio.Future[Any] | None" = None) -> None:
        """Take the node away, doing `also` this right before it, in the same transaction, where the servers let us. It is
        certain then that nothing of ours is left. `sent`: what `send_leave` has sent with the same. Waits while no server is
        attached; returns when the session is dead. Raises `NoAuth`.
        """
        self.session.forget(self.on_event)
        is_sure = self._is_sure
        while not self.session.state.is_dead and self.may_be_there:
            try:
                reply, sent = sent, None
                if reply is None:
                    await self.session.attached()
                    if not is_sure and not await self._finds_itself():
                        return
                    reply = self.session.send(self.leaving(also))
                is_sure = False
                failed = requests.failure(await reply)
                if failed is None:
                    return
                index, error = failed
                if index < len(also) and not isinstance(error, PASSING):
                    also = ()  # less important than to be gone
                elif not isinstance(error, NoNode):
                    raise error
            except PASSING:
                is_sure = False
                await asyncio.sleep(random.uniform(0, STUMBLE))

    async def leave_quietly(self, also: Sequence[requests.Request] = ()) -> None:
        """As `leave`; what keeps us from it is logged."""
        try:
            await self.leave(also)
        except ResponseError as error:
            log.error("a place in line could not be left: %s: %s", self.name, error)  # noqa: TRY400 - a diagnosis, no bug of ours

    async def _finds_itself(self) -> bool:
        """Whether the node is there, and ours, as far as the ensemble has agreed on anything."""
        await commit_something(self.session)
        self.name = self.name or await self._find()
        return self.name is not None and await self._is_ours()

    async def _find(self) -> str | None:
        """The node that a create has made whose reply was lost. A name without a GUID tells by its owner alone."""
        try:
            children: list[str] = (await self.session.send(requests.children(self.root))).children
        except NoNode:
            return None
        mine = [child for child in children if child.startswith(self._stem)]
        if self._dialect.is_unique:
            return mine[0] if mine else None
        replies: list[asyncio.Future[Any]] = [self.session.send(requests.exists(f"{self.root}/{child}")) for child in mine]
        stats = [await stat_or_none(reply) for reply in replies]
        owned = [child for child, stat in zip(mine, stats, strict=True) if stat and stat.owner == self.session.id]
        return owned[0] if owned else None

    async def _is_ours(self) -> bool:
        stat = await stat_or_none(self.session.send(requests.exists(self.path)))
        return stat is not None and stat.owner == self.session.id and self.czxid in (None, stat.czxid)
