"""Hosts, the links between them, and who can reach whom.

A host is an actor of the loop, with an address; every pair of hosts has two one-way links that are made when they are
first used. What a stream is, is `streams`'; what a link does to it, `links`'.
"""

import hashlib
import random
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from . import tampering
from .handles import ACTOR, Handle, Post
from .links import Link, Weather
from .loop import VirtualLoop
from .streams import End, joined, reset_by_peer
from .tampering import Operation

__all__ = ["Host", "Network"]

SYN_REPEATED = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # seconds after the one before, as Linux does
MOST_RECORDED = 3000  # pieces to be digested in one go
_TIME = struct.Struct("d")
GIVEN_UP = 127.0  # seconds after the first, as Linux does


class Host:
    """One machine: `listen` is asked for a protocol when somebody connects; None: refused."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.processes = 0
        self.boot()
        self.listen: Callable[[End], Any] | None = None
        self.ends: dict[End, None] = {}  # open streams, in the order in which they were made

    def boot(self) -> None:
        """What runs on it from now on is another actor than what ran on it before. `actor`: its name in the loop."""
        self.processes += 1
        self.actor = self.name if self.processes == 1 else f"{self.name}, process {self.processes}"
        self.context = Context()
        self.context.run(ACTOR.set, self.actor)
        self.dead = False


class Network:
    """See the head of this file. `weather`: how links are at first."""

    def __init__(self, loop: VirtualLoop, seed: int, weather: Weather | None = None) -> None:
        self.loop = loop
        self.weather = weather or Weather()
        self._rng = random.Random(f"network {seed}")
        self._hosts: dict[str, Host] = {}  # by name, address and actor
        self._links: dict[tuple[str, str], Link] = {}
        self._number = 0
        self._digest = hashlib.blake2b(digest_size=16)
        self._recorded: list[bytes] = []  # and not digested yet
        loop.connect = self._connect
        loop.resolve = lambda name: self.host(name).address

    # ------------------------------------------------------------------ hosts and links

    def host(self, name: str) -> Host:
        """By name or address; made if there is none of that name."""
        if name not in self._hosts:
            self._number += 1
            host = Host(name, f"10.0.{self._number // 250}.{self._number % 250 + 1}")
            self._hosts[name] = self._hosts[host.address] = host
        return self._hosts[name]

    @contextmanager
    def on(self, name: str) -> Generator[Host]:
        """What is started in this block, tasks above all, runs on that host."""
        host = self.host(name)
        token = ACTOR.set(host.actor)
        try:
            yield host
        finally:
            ACTOR.reset(token)

    def link(self, source: str, target: str) -> Link:
        """The direction from one host to another."""
        key = (self.host(source).name, self.host(target).name)
        if key not in self._links:
            self._links[key] = Link(*key, self.loop, self._rng, self.weather)
        return self._links[key]

    # ------------------------------------------------------------------ faults

    def silence(self, source: str, target: str) -> None:
        """Nothing passes from `source` to `target`, and nobody is told. The other direction is not touched."""
        self.link(source, target).silence()

    def cut(self, a: str, b: str) -> None:
        """Nothing passes either way."""
        self.silence(a, b)
        self.silence(b, a)

    def heal(self, a: str | None = None, b: str | None = None) -> None:
        """Between two hosts, of one with all, or everywhere: undo silence and `fragment`, and call off the drops and cuts
        that still wait for their frame.
        """
        asked = {self.host(name).name for name in (a, b) if name is not None}
        for link in list(self._links.values()):
            if asked <= {link.source, link.target}:
                link.heal()

    def reset(self, a: str, b: str) -> None:
        """Every stream between two hosts breaks, and both are told."""
        names = {self.host(a).name, self.host(b).name}
        for end in list(self.host(a).ends):
            if {end.host.name, end.peer.host.name} == names:
                end.broken(reset_by_peer())
                end.peer.broken(reset_by_peer())

    def drop_reply(self, client: str, server: str, operation: Operation, containing: bytes = b"") -> None:
        """The client's next request of that op code is done, but its reply is lost, and the connection with it.

        operation: an op code, or a predicate. containing: bytes that the request must have in it, a path for example.
        """
        replies = self.link(server, client).tamper()
        self.link(client, server).tamper().traps.append(tampering.drop_reply(operation, containing, replies))

    def drop_request(self, client: str, server: str, operation: Operation, containing: bytes = b"") -> None:
        """The client's next request of that op code is lost, and the connection with it."""
        self.link(client, server).tamper().traps.append(tampering.drop_request(operation, containing))

    def truncate(self, source: str, target: str, size: int) -> None:
        """Only so many bytes of the next request or reply on that way arrive, then the end of the stream."""
        self.link(source, target).tamper().traps.append(tampering.truncate(size))

    def fragment(self, source: str, target: str, size: int = 1, pause: float = 0.001) -> None:
        """Streams arrive in pieces, so many seconds apart; also a slow link: `fragment(a, b, 32, 0.1)` is 320 B/s."""
        self.link(source, target).tamper().pieces = size, pause

    def freeze(self, name: str) -> None:
        """SIGSTOP to all that runs on the host: its streams stay open and are silent."""
        self.loop.freeze(self.host(name).actor)

    def suspend(self, name: str) -> None:
        """To RAM: as frozen, nobody can connect, and its timers will be late by as much; one of its clocks goes on."""
        self.loop.suspend(self.host(name).actor)

    def thaw(self, name: str) -> None:
        """Undo `freeze` or `suspend`."""
        self.loop.thaw(self.host(name).actor)

    def is_frozen(self, name: str) -> bool:
        """Or suspended, or dead."""
        return self.loop.is_frozen(self.host(name).actor)

    def set_rate(self, name: str, rate: float) -> None:
        """From now on the host's clocks and timers run so many times as fast as true time."""
        self.loop.set_clock(self.host(name).actor, rate=rate)

    def boottime(self, name: str) -> float:
        """What the host's clock shows that counts suspend."""
        clock = self.loop.clocks.get(self.host(name).actor)
        return self.loop.now if clock is None else clock.boottime(self.loop.now)

    def true_time(self, name: str, boottime: float) -> float:
        """When that clock has shown, or will show, so much."""
        clock = self.loop.clocks.get(self.host(name).actor)
        return boottime if clock is None else clock.when_boottime(boottime)

    def revive(self, name: str) -> None:
        """A crashed host is up again, and runs nothing: what ran on it before remains dead."""
        host = self.host(name)
        if host.dead:
            before = host.actor
            host.boot()
            self._hosts[host.actor] = host
            if before in self.loop.clocks:
                self.loop.clocks[host.actor] = self.loop.clocks[before]

    def crash(self, name: str) -> None:
        """All that runs on the host is gone; its kernel closes its streams, and nothing it still tries gets out."""
        host = self.host(name)
        host.dead = True
        self.loop.resume(host.actor)  # there is no power that keeps it asleep
        self.freeze(name)
        self.close_streams(host)

    def close_streams(self, host: Host) -> None:
        for end in list(host.ends):
            end.abort()

    # ------------------------------------------------------------------ what has happened

    @property
    def last_arrival(self) -> float:
        """When all that is under way now will have arrived, but for what a silent link holds."""
        return max((due for due, _, item in self.loop.timers if isinstance(item, Post)), default=self.loop.now)

    def record(self, who: bytes, what: bytes) -> None:
        """Goes into the fingerprint of the run."""
        recorded = self._recorded
        recorded += (_TIME.pack(self.loop.now), who, what)
        if len(recorded) > MOST_RECORDED:
            self._digest_recorded()

    def _digest_recorded(self) -> None:
        self._digest.update(b"".join(self._recorded))
        self._recorded.clear()

    @property
    def fingerprint(self) -> str:
        """Of every byte that was delivered, and when. Equal for equal seeds."""
        self._digest_recorded()
        return self._digest.hexdigest()

    # ------------------------------------------------------------------ connecting

    async def _connect(self, protocol_factory: Callable[[], Any], host: Any, port: Any) -> tuple[End, Any]:
        """As `create_connection`: once a SYN and its answer have passed. Raises `OSError`."""
        own, other = self.host(ACTOR.get()), self.host(str(host))
        there, back = self.link(own.name, other.name), self.link(other.name, own.name)
        answered = self.loop.create_future()

        def syn() -> None:
            if (
                not there.is_silent
                and not back.is_silent
                and not answered.done()
                and not self.loop.is_suspended(other.actor)
            ):
                self.loop.call_later(there.delay() + back.delay(), answer)

        def answer() -> None:
            if not answered.done() and not there.is_silent and not back.is_silent:
                answered.set_result(None)

        def give_up() -> None:
            if not answered.done():
                answered.set_exception(TimeoutError(110, "Connect call timed out"))

        when, timers = self.loop.now, list[Handle]()
        syn()
        for pause in SYN_REPEATED:
            when += pause
            timers.append(self.loop.call_at(when, syn, context=Context()))
        timers.append(self.loop.call_later(GIVEN_UP, give_up))
        try:
            await answered
        finally:
            for timer in timers:
                timer.cancel()
        if other.listen is None or own.dead:
            raise ConnectionRefusedError(111, f"Connect call failed ('{other.address}', {port})")
        return joined(self, own, other, protocol_factory, int(port))
