"""The server that leads, or is alone: it orders all writes, keeps the sessions, and steps down without a quorum.

At first it gathers a quorum that knows it and has all its data; then it serves, gives every session a fresh timeout, and
asks its followers each half tick which sessions their clients have touched. Whether a quorum still answers is looked at
once a tick only; until then a leader that everybody has left answers its own clients as if nothing had happened.
"""

from typing import TYPE_CHECKING

from .codes import EXPIRY, Op, Refusal
from .front import Front
from .learners import Learner
from .peers import Wire
from .prepare import Preparer
from .requests import Request
from .sessions import SessionTable

if TYPE_CHECKING:
    from .door import Door
    from .server import Server

__all__ = ["Leading"]


class Leading:
    """See the head of this file."""

    def __init__(self, server: "Server") -> None:
        self.front: Front | None = None
        self.server = server
        self.epoch = 0
        self.ticks = 0
        self._half = False
        self._learners: dict[Learner, None] = {}
        self._epochs = {server.number: server.disk.accepted_epoch}
        self._agreed = {server.number}  # who has acknowledged NEWLEADER
        self._proposals: dict[int, set[int]] = {}  # zxid -> who has logged it; oldest first
        self._syncs: dict[int, list[Learner]] = {}  # to be answered behind that zxid
        self._newest = server.disk.newest
        self._gather = server.later(server.rules.tick * server.rules.init_limit, self._gathered)
        self._ping = self._gather

    @property
    def mode(self) -> str:
        return "standalone" if self.server.quorum == 1 else "leader"

    def start(self) -> None:
        if self.server.quorum == 1:
            self._serve()

    def stop(self) -> None:
        self._gather.cancel()
        self._ping.cancel()
        for learner in list(self._learners):
            learner.wire.close()
        if self.front is not None:
            self.sessions.stop()
            self.front.close()

    @property
    def next_ping(self) -> float:
        """When it asks its followers for their touches the next time, by its own clock."""
        return self._ping.when()

    # ------------------------------------------------------------------ gathering a quorum

    def meet(self, wire: Wire) -> None:
        """A server wants to follow."""
        learner = Learner(self, wire)
        self._learners[learner] = None

    def leave(self, learner: Learner) -> None:
        self._learners.pop(learner, None)

    def propose_epoch(self, learner: Learner, accepted: int) -> None:
        if self.epoch:
            learner.wire.send("LEADERINFO", self.epoch)
            return
        self._epochs[learner.number] = accepted
        if len(self._epochs) >= self.server.quorum and self.server.has_room():
            self.epoch = self.server.disk.accepted_epoch = max(self._epochs.values()) + 1
            for each in self._learners:
                if each.number in self._epochs:
                    each.wire.send("LEADERINFO", self.epoch)

    def bring_up_to_date(self, learner: Learner, epoch: int, newest: int, applied: int) -> None:
        """Send what the learner lacks, and all that follows from now on."""
        server = self.server
        if (epoch, newest) > (server.disk.current_epoch, server.disk.newest) and self.front is None:
            server.look()  # it has seen more than we have: somebody else must lead
            return
        learner.wire.send("DIFF", server.disk.difference(newest, applied, committed_only=self.front is not None))
        learner.is_forwarded = True
        for txn in server.disk.log if self.front is not None else ():
            learner.wire.send("PROPOSAL", txn)
        learner.wire.send("NEWLEADER", self.epoch)

    def acknowledged(self, learner: Learner, zxid: int) -> None:
        if zxid == self.epoch << 32:
            self._agreed.add(learner.number)
            if self.front is None and len(self._agreed) >= self.server.quorum:
                self._serve()
            if self.front is not None:
                for each in self._learners:
                    each.serve_if_agreed(self._agreed)
        elif zxid in self._proposals:
            self._proposals[zxid].add(learner.number)
            self._commit()

    def _gathered(self) -> None:
        if self.front is None:
            self.server.look()

    def _serve(self) -> None:
        server = self.server
        if not server.has_room():
            return
        self._gather.cancel()
        while server.disk.log:
            server.apply_next(None)
        if server.quorum > 1:
            server.disk.current_epoch = self.epoch
            server.tree.zxid = self.epoch << 32
        self._newest = server.tree.zxid
        self.sessions = SessionTable(server.loop, server.host.context, server.rules.tick, server.bucket_phase, self._expired)
        for session, timeout in server.tree.sessions.items():
            self.sessions.track(session, timeout)
        self._preparer = Preparer(server.tree, self.sessions)
        self.front = server.open_front(self)
        if server.quorum > 1:
            self._ping = server.later(server.rules.tick / 2, self._beat)

    # ------------------------------------------------------------------ writes

    def propose(self, request: Request) -> None:
        self._newest += 1
        txn = self._preparer.prepare(request, self._newest, self.server.wall)
        self._proposals[txn.zxid] = {self.server.number} if self.server.write(txn) else set()
        for learner in self._learners:
            if learner.is_forwarded:
                learner.wire.send("PROPOSAL", txn)
        self._commit()

    def _commit(self) -> None:
        """Whatever a quorum has logged, strictly in order."""
        while self._proposals:
            zxid = next(iter(self._proposals))
            if len(self._proposals[zxid]) < self.server.quorum:
                return
            del self._proposals[zxid]
            for learner in self._learners:
                if learner.is_forwarded:
                    learner.wire.send("COMMIT", zxid)
            txn = self.server.disk.log[0]
            if txn.op == Op.CLOSE:
                self.sessions.remove(txn.session)
            self._preparer.applied(zxid)
            self.server.apply_next(self.front)
            for learner in self._syncs.pop(zxid, ()):
                learner.wire.send("SYNC")

    def sync(self, learner: Learner) -> None:
        if self._proposals:
            self._syncs.setdefault(next(reversed(self._proposals)), []).append(learner)
        else:
            learner.wire.send("SYNC")

    def end_session(self, session: int) -> bool:
        """By an operator's hand. False: there is none."""
        if self.front is None or session not in self.sessions:
            return False
        self.sessions.expire(session)
        return True

    def _expired(self, session: int) -> None:
        self.propose(Request(session, EXPIRY, Op.CLOSE))

    # ------------------------------------------------------------------ what its front needs (Role)

    def touch(self, session: int, timeout: int) -> bool:
        return self.sessions.touch(session, timeout)

    def look_at(self, request: Request) -> None:
        try:
            self.sessions.check(request.session, self)
        except Refusal as refusal:
            request.error = refusal.code

    def forward(self, request: Request) -> None:
        request.owner = self
        if request.op != Op.SYNC:
            self.propose(request)
        else:  # what this server has is what there is: nobody else is asked
            self.look_at(request)
            request.is_done = True

    def revalidate(self, door: "Door", session: int) -> None:
        door.greeted(session, valid=self.take_over(session, door.timeout, self))

    def take_over(self, session: int, timeout: int, owner: object) -> bool:
        """A client has come back through `owner`. False: its session is over."""
        if not self.sessions.touch(session, timeout):
            return False
        self.sessions.set_owner(session, owner)
        return True

    # ------------------------------------------------------------------ each half tick

    def _beat(self) -> None:
        rules = self.server.rules
        self._half = not self._half
        if not self._half:
            self.ticks += 1
            synced = {learner.number for learner in self._learners if learner.is_synced(self.ticks)}
            if len(synced | {self.server.number}) < self.server.quorum:
                self.server.look()
                return
        for learner in list(self._learners):
            learner.ping()
        self._ping = self.server.later(rules.tick / 2, self._beat)
