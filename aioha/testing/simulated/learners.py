"""A follower as its leader sees it: what it says, and whether it is still there."""

from typing import TYPE_CHECKING

from .codes import Op
from .peers import Message, Wire, handlers_of
from .requests import Request

if TYPE_CHECKING:
    from .leading import Leading

__all__ = ["Learner"]


class Learner:
    """It owns, for the leader, the sessions that are attached to it: a new connection of the same server is another."""

    def __init__(self, leading: "Leading", wire: Wire) -> None:
        self.wire = wire
        self.number = 0
        self.is_forwarded = False  # gets proposals and commits
        self._serves = False  # has been told UPTODATE
        self._leading = leading
        self._heard = leading.server.loop.time()
        self._next_ack = leading.ticks + leading.server.rules.init_limit
        wire.receive, wire.lost = self._take, self._lost

    def is_synced(self, tick: int) -> bool:
        return self._serves and tick <= self._next_ack

    def serve_if_agreed(self, agreed: set[int]) -> None:
        if not self._serves and self.number in agreed and self.is_forwarded:
            self._serves = True
            self._heard_of()
            self.wire.send("UPTODATE")

    def ping(self) -> None:
        """Or drop the connection, if nothing has come for `sync_limit` ticks."""
        rules = self._leading.server.rules
        if self._serves and self._leading.server.loop.time() - self._heard > rules.tick * rules.sync_limit:
            self.wire.close()
            self._lost()
        elif self._serves:
            self.wire.send("PING")

    def _lost(self) -> None:
        self._leading.leave(self)

    def _heard_of(self) -> None:
        self._heard = self._leading.server.loop.time()
        self._next_ack = self._leading.ticks + self._leading.server.rules.sync_limit

    def _take(self, message: Message) -> None:
        if self._leading.server.role is self._leading:
            self._heard_of()
            HANDLERS[message[0]](self, *message[1:])

    def _on_followerinfo(self, number: int, accepted_epoch: int) -> None:
        self.number = number
        self._leading.propose_epoch(self, accepted_epoch)

    def _on_ackepoch(self, epoch: int, newest: int, applied: int) -> None:
        self._leading.bring_up_to_date(self, epoch, newest, applied)

    def _on_ack(self, zxid: int) -> None:
        self._leading.acknowledged(self, zxid)

    def _on_request(self, session: int, cxid: int, op: int, body: bytes, identities: tuple[tuple[str, str], ...]) -> None:
        if op == Op.SYNC:
            self._leading.sync(self)
        else:
            self._leading.propose(Request(session, cxid, op, body, identities, self))

    def _on_revalidate(self, session: int, timeout: int) -> None:
        self.wire.send("REVALIDATE", session, self._leading.take_over(session, timeout, self))

    def _on_ping(self, touches: dict[int, int]) -> None:
        for session, timeout in touches.items():
            self._leading.touch(session, timeout)


HANDLERS = handlers_of(Learner)
