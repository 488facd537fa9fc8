"""A server that follows: it answers its clients by itself, and asks the leader for everything that changes something.

What a client sends is only noted as a touch of its session; the leader gets the notes in the answer to its own ping.
A follower that the leader cannot be heard by goes on like that for `sync_limit` ticks.
"""

from collections import deque
from typing import TYPE_CHECKING

from .codes import Op
from .disk import Difference
from .front import Front
from .peers import Message, handlers_of, wire
from .requests import Request
from .tree import Txn

if TYPE_CHECKING:
    from .door import Door
    from .server import Server

__all__ = ["Following"]

RETRY, MOST_TRIES = 0.1, 5  # seconds: the leader may not know yet that it leads; or has found another one meanwhile


class Following:
    """See the head of this file."""

    def __init__(self, server: "Server", leader: int) -> None:
        self.front: Front | None = None
        self._server = server
        self._leader = leader
        self._heard = server.loop.time()
        self._tries = 0
        self._met = False  # the leader has said something
        self._commit_to = 0
        self._touches: dict[int, int] = {}
        self._syncs: deque[Request] = deque()
        self._revalidations: dict[int, Door] = {}
        self._stopped = False
        self._look = server.later(self._patience, self._look_for_life)
        self._retry = self._look

    mode = "follower"

    def start(self) -> None:
        server = self._server
        self._tries += 1
        line = self._wire = wire(server.network, server.host, server.peer(self._leader).host)
        line.receive, line.lost = self._take, self._lost
        line.introduce(server.peer(self._leader).meet)
        line.send("FOLLOWERINFO", server.number, server.disk.accepted_epoch)

    def stop(self) -> None:
        self._stopped = True
        self._look.cancel()
        self._retry.cancel()
        self._wire.close()
        if self.front is not None:
            self.front.close()

    # ------------------------------------------------------------------ what its front needs (Role)

    def touch(self, session: int, timeout: int) -> bool:
        self._touches[session] = timeout
        return True

    def look_at(self, request: Request) -> None:
        """Nothing: whose a session is, only the leader knows."""

    def forward(self, request: Request) -> None:
        if request.op == Op.SYNC:
            self._syncs.append(request)
        self._wire.send("REQUEST", request.session, request.cxid, request.op, request.body, request.identities)

    def revalidate(self, door: "Door", session: int) -> None:
        self._revalidations[session] = door
        self._wire.send("REVALIDATE", session, door.timeout)

    # ------------------------------------------------------------------ the leader

    @property
    def _patience(self) -> float:
        rules = self._server.rules
        return rules.tick * (rules.sync_limit if self.front is not None else rules.init_limit)

    def _take(self, message: Message) -> None:
        if not self._stopped:
            self._heard, self._met = self._server.loop.time(), True
            HANDLERS[message[0]](self, *message[1:])

    def _lost(self) -> None:
        if self._stopped:
            return
        if not self._met and self._tries < MOST_TRIES:
            self._retry = self._server.later(RETRY, self.start)
        else:
            self._server.look()

    def _look_for_life(self) -> None:
        left = self._heard + self._patience - self._server.loop.time()
        if left > 0:
            self._look = self._server.later(left, self._look_for_life)
        else:
            self._server.look()

    def _on_leaderinfo(self, epoch: int) -> None:
        server = self._server
        if epoch < server.disk.accepted_epoch:
            server.look()
            return
        if not server.has_room():
            return  # an epoch that is not written down is not agreed to: it would be given away twice
        server.disk.accepted_epoch = epoch
        self._wire.send("ACKEPOCH", server.disk.current_epoch, server.disk.newest, server.disk.applied)

    def _on_diff(self, difference: Difference) -> None:
        self._server.disk.bring_up_to_date(difference)
        self._commit_to = difference.commit_to

    def _on_newleader(self, epoch: int) -> None:
        if not self._server.has_room():
            return
        self._server.disk.current_epoch = epoch
        self._wire.send("ACK", epoch << 32)

    def _on_uptodate(self) -> None:
        server = self._server
        while server.disk.log and server.disk.log[0].zxid <= self._commit_to:
            server.apply_next(None)
        self.front = server.open_front(self)
        self._look.cancel()
        self._look = server.later(self._patience, self._look_for_life)

    def _on_proposal(self, txn: Txn) -> None:
        if self._server.write(txn):
            self._wire.send("ACK", txn.zxid)

    def _on_commit(self, zxid: int) -> None:
        if self.front is None:
            self._commit_to = zxid
            return
        txn = self._server.apply_next(self.front)
        assert txn.zxid == zxid, f"{self._server.name} was told to commit {zxid:#x}, and has {txn.zxid:#x} next"
        if txn.op == Op.CREATE_SESSION:
            self._touches[txn.session] = txn.changes[0][1]
        elif txn.op == Op.CLOSE:
            self._touches.pop(txn.session, None)

    def _on_sync(self) -> None:
        assert self.front is not None
        self.front.synced(self._syncs.popleft())

    def _on_revalidate(self, session: int, valid: bool) -> None:
        door = self._revalidations.pop(session, None)
        if door is not None:
            door.greeted(session, valid=valid)

    def _on_ping(self) -> None:
        touches, self._touches = self._touches, {}
        self._wire.send("PING", touches)


HANDLERS = handlers_of(Following)
