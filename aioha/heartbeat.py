"""Keeping one connection honest: a heartbeat each eighth of the session timeout, and a bound on every answer.

While nothing rests on the session a heartbeat is a ping. While something does (a term), it is the pair that proves a
quorum lease: a small write, and a `sync` sent on its reply (see `lease`). While somebody stands ready to take over, it
is the `sync` alone: the write that takes over then proves the lease by its own reply, a round trip earlier. A heartbeat
unanswered for `SILENCE` drops the connection: another server is then found faster than this one is believed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from .clock import Clock
from .hearing import Hearing
from .lease import Anchor, Lease
from .wire import requests
from .wire.connection import Connection
from .wire.errors import ConnectionLoss, ResponseError, SessionExpired, SessionMoved

__all__ = ["Heartbeat", "Stake"]

PACE = 1 / 8  # of the session timeout, from send to send
SILENCE, SHORTEST_SILENCE = 1 / 6, 0.15  # of the session timeout; seconds
LATE = 0.05  # seconds: a timer later than this says that the loop was blocked, not that the server is silent
SHORTLY = 0.005  # seconds; as long as that it is waited for what has come meanwhile, where there is no time to lose
MOST_CHECKS = 100  # in one heartbeat; with more stakes they take turns


class Stake:
    """Something that rests on the session, with the checks that only its owner passes.

    `checks`: requests for the heartbeat's `multi`. `refuted`: called when one of them fails.
    """

    def __init__(self, path: str, checks: Sequence[requests.Request], refuted: Callable[[ResponseError], None]) -> None:
        self.path = path
        self.checks = checks
        self.refuted = refuted


class Heartbeat:
    """The heartbeats of one session. `run` beats on one connection until it is lost."""

    def __init__(self, lease: Lease, clock: Clock, hearing: Hearing | None = None) -> None:
        self._lease = lease
        self._hearing = hearing or Hearing()
        self._clock = clock
        self._stakes: list[Stake] = []
        self._ready: dict[object, str] = {}  # who stands ready, and the path that is asked about
        self._turn = 0
        self._hurry: asyncio.Future[None] | None = None  # done: the next beat shall not wait
        self._proofs: list[asyncio.Future[None]] = []
        self._patience: float | None = None  # while it is in doubt whether the server still answers us: for so long

    @property
    def silence(self) -> float:
        """Seconds without an answer after which a connection is dropped."""
        return max(self._lease.timeout * SILENCE, SHORTEST_SILENCE)

    @property
    def is_needed(self) -> bool:
        """Something rests on the session."""
        return bool(self._stakes)

    @property
    def pace(self) -> float:
        """Seconds from heartbeat to heartbeat."""
        return self._lease.timeout * PACE

    def hold(self, stake: Stake, *, at_once: bool = True) -> None:
        """From now on prove the lease; the first proof begins `at_once`, or with the next heartbeat."""
        self._stakes.append(stake)
        if at_once:
            self._hasten()

    def drop(self, stake: Stake) -> None:
        if stake in self._stakes:
            self._stakes.remove(stake)
            if self._stakes:
                self._hasten()  # a beat that it spoilt has proved nothing for the others

    def stand_ready(self, path: str, *, at_once: bool = False) -> Callable[[], None]:
        """From now on a bid may be sent at any moment, and work begin on its reply: at the latest from the next heartbeat,
        which comes `at_once`, or in its time. Returns the function that ends it.
        """
        who = object()
        self._ready[who] = path
        if at_once:
            self._hasten()

        def stand_down() -> None:
            self._ready.pop(who, None)

        return stand_down

    def begin(self, connection: Connection) -> None:
        """On a connection that has just been attached. How far the ensemble's leader is must be known before anything else
        that is asked on a new session is answered: the first record says so.
        """
        if not (self._hearing.knows_leader or self._lease.pings_prove):
            self._ask_leader(connection, "/")

    async def run(self, connection: Connection, doubt: float | None = None) -> bool:
        """Beat until the connection is lost; drops it when it falls silent. `doubt`: so many seconds may pass before a ping
        is answered: the session may have been closed while we came back, and then the server drops all that we ask without
        a word (measured: ZooKeeper 3.8.0). Returns whether it was lost while in doubt.
        """
        loop = asyncio.get_running_loop()
        self._patience = doubt
        connection.ended.add_done_callback(self._hasten)
        try:
            while connection.lost is None:
                begun = self._clock()
                # Before the beat: a stake that comes during it wants a beat of its own, at once.
                self._hurry = loop.create_future()
                await self._beat(connection)
                pause = loop.call_later(max(self.pace - (self._clock() - begun), 0.0), self._hasten)
                try:
                    await self._hurry
                finally:
                    pause.cancel()
        finally:
            connection.abort("session given up")
        return self._patience is not None

    def anchor(self, *, enough: float = float("inf")) -> Anchor | None:
        """What a write sent now will be able to prove; to be taken before the write is sent. `enough`: see `Lease`."""
        return self._lease.anchor(self._clock(), enough=enough)

    async def prove(self, connection: Connection, anchor: Anchor | None, write: "asyncio.Future[Any]", path: str) -> Any:
        """Await the reply to a `multi` and, if it succeeded, let it prove the lease as far as `anchor` goes.

        Returns the reply once the lease is proved. Unbounded: the heartbeat's own bound drops a silent connection.
        Raises `ResponseError`, `ConnectionError`.
        """
        reply = await write
        if anchor is not None and requests.failure(reply) is None:
            if anchor.needs_relay:
                await self._sync(connection, path)
            if connection.lost is None:
                self._lease.proved(anchor)
                proofs, self._proofs = self._proofs, []
                for proof in proofs:
                    if not proof.done():
                        proof.set_result(None)
        return reply

    def next_proof(self) -> "asyncio.Future[None]":
        """Done when the lease has been proved anew; to be cancelled by who waits no longer."""
        proof: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._proofs = [*(each for each in self._proofs if not each.done()), proof]
        return proof

    def _hasten(self, _: object = None) -> None:
        if self._hurry is not None and not self._hurry.done():
            self._hurry.set_result(None)

    async def _beat(self, connection: Connection) -> None:
        """One heartbeat. No request may stay unanswered meanwhile for longer than `silence`."""
        self._look_later(connection)
        try:
            await self._one(connection)
        finally:
            self._look.cancel()

    def _look_later(self, connection: Connection, *, again: bool = False) -> None:
        now, since = self._clock(), connection.unanswered_since
        due = (now if since is None else since) + self._bound
        late = LATE if self._patience is None else SHORTLY
        pause = late if again else max(due - now, 0.0)
        self._look = asyncio.get_running_loop().call_later(pause, self._look_for_life, connection, due, again)

    @property
    def _bound(self) -> float:
        return self.silence if self._patience is None else min(self._patience, self.silence)

    def _look_for_life(self, connection: Connection, due: float, again: bool) -> None:
        now, since = self._clock(), connection.unanswered_since
        if since is None or now < since + self._bound:
            self._look_later(connection)
        elif not again and now > due + LATE:
            self._look_later(connection, again=True)  # we were blocked: first read what has come meanwhile
        else:
            connection.abort(f"no answer for {now - since:.2g} s")  # which ends the heartbeat

    async def _one(self, connection: Connection) -> None:
        try:
            if self._patience is not None:  # a quorum may take longer to agree to a beat than this server to answer
                connection.send(requests.ping(), then=self._reassure)
            if self._stakes:
                await self._prove_stakes(connection)
            elif self._ready and not self._lease.pings_prove:
                await self._sync(connection, next(iter(self._ready.values())))
            else:
                await connection.send(requests.ping())
        except (ConnectionError, ConnectionLoss):
            pass
        except ResponseError as error:  # SESSIONMOVED, SESSIONEXPIRED: attaching again tells
            connection.abort(f"heartbeat refused: {error}")

    def _reassure(self, error: ResponseError | None) -> None:
        if error is None:
            self._patience = None

    async def _prove_stakes(self, connection: Connection) -> None:
        count = len(self._stakes)
        turn = [self._stakes[(self._turn + i) % count] for i in range(min(count, MOST_CHECKS))]
        self._turn = (self._turn + len(turn)) % count
        owners = [stake for stake in turn for _ in stake.checks]
        anchor = self.anchor()
        write = connection.send(requests.multi(*(check for stake in turn for check in stake.checks)))
        reply = await self.prove(connection, anchor, write, turn[0].path)
        failed = requests.failure(reply)
        if failed is not None:
            index, error = failed
            if isinstance(error, SessionExpired | SessionMoved):
                raise error  # which says nothing of the stake
            if owners[index] in self._stakes:
                owners[index].refuted(error)

    async def _sync(self, connection: Connection, path: str) -> None:
        try:
            reply = self._ask_leader(connection, path)
        except ConnectionError:  # lost before it leaves: the same as lost after it
            raise ConnectionLoss from None
        await reply

    def _ask_leader(self, connection: Connection, path: str) -> "asyncio.Future[Any]":
        """Ask something of the ensemble's leader; the answer may serve as c'."""
        sent = self._clock()  # not later than it leaves

        def answered(error: ResponseError | None) -> None:  # at once: a connection lost later must not be credited
            if error is None:
                self._lease.relayed(sent)
                self._hearing.relayed(sent, self._clock())

        return connection.send(requests.sync(path), then=answered)
