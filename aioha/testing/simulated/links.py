"""What one direction between two hosts does to what is sent on it: how late it comes, and whether it comes at all.

A stream (TCP) never loses nor reorders anything: what cannot pass now waits, and comes after the link has healed, late by
a retransmission. Whoever gives up first has closed its end by then. A loss, too, is only a delay.
"""

import random
from collections import deque
from collections.abc import Callable
from contextvars import Context
from heapq import heappush
from typing import Any

from .handles import Post
from .loop import VirtualLoop
from .tampering import Tampering

__all__ = ["Link", "Pipe", "Weather"]

RETRANSMISSION = 0.2  # seconds: the shortest timeout of Linux's TCP; doubled with each loss
LONGEST_RETRANSMISSION = 1.0  # of what waits for a link to heal: its timers have grown meanwhile


class Weather:
    """How links are, unless one is told otherwise. Seconds, and shares of what is sent."""

    def __init__(
        self, latency: float = 0.0005, jitter: float = 0.0005, *, spikes: float = 0.0, spike: float = 0.25, loss: float = 0.0
    ) -> None:
        self.latency = latency  # the least
        self.jitter = jitter  # the most on top of it
        self.spikes = spikes
        self.spike = spike
        self.loss = loss

    def delay(self, rng: random.Random) -> float:
        """Of the next thing that is sent, with all that may happen to it."""
        delay = self.latency + self.jitter * rng.random()
        if rng.random() < self.spikes:
            delay += self.spike * rng.random()
        wait = RETRANSMISSION
        while self.loss and rng.random() < self.loss:
            delay, wait = delay + wait, wait * 2
        return delay


class Link:
    """One direction between two hosts."""

    def __init__(self, source: str, target: str, loop: VirtualLoop, rng: random.Random, weather: Weather) -> None:
        self.source = source
        self.target = target
        self.weather = weather
        self.silent_since: float | None = None
        self.tampering: Tampering | None = None
        self._loop = loop
        self._rng = rng
        self._random = rng.random
        self._waiting: dict[Pipe, None] = {}  # in the order in which they began to wait

    @property
    def is_silent(self) -> bool:
        return self.silent_since is not None

    def silence(self) -> None:
        if self.silent_since is None:
            self.silent_since = self._loop.now

    def tamper(self) -> Tampering:
        """What is done to clients' frames on it; made when it is first asked for."""
        if self.tampering is None:
            self.tampering = Tampering()
        return self.tampering

    def heal(self) -> None:
        self.tampering = None
        since, self.silent_since = self.silent_since, None
        if since is None:
            return
        longest = min(self._loop.now - since, LONGEST_RETRANSMISSION)
        waiting, self._waiting = self._waiting, {}
        for pipe in waiting:
            pipe.resume(self._rng.random() * longest)

    def delay(self) -> float:
        weather = self.weather
        if not (weather.spikes or weather.loss):
            return weather.latency + weather.jitter * self._random()
        return weather.delay(self._rng)

    def wait(self, pipe: "Pipe") -> None:
        self._waiting[pipe] = None


class Pipe:
    """One direction of one stream: everything arrives in order, in its receiver's context."""

    __slots__ = ("_context", "_held", "_last", "_loop", "link")

    def __init__(self, loop: VirtualLoop, link: Link, receiver: Context) -> None:
        self._loop = loop
        self.link = link
        self._context = receiver
        self._last = 0.0
        self._held: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def send(self, deliver: Callable[..., None], *args: Any) -> None:
        loop, last = self._loop, self._last
        arrival = loop.now + self.link.delay()
        if arrival > last:
            self._last = last = arrival
        loop.number = number = loop.number + 1
        heappush(loop.timers, (last, number, Post(self._context, self._arrive, (deliver, args))))  # as `loop.post`

    def send_in_pieces(self, deliver: Callable[[bytes], None], data: bytes, size: int, pause: float) -> None:
        """Behind what is under way, so that they make a slow link."""
        for start in range(0, len(data), size):
            self._last += pause
            self.send(deliver, data[start : start + size])

    def resume(self, late: float) -> None:
        """The link has healed."""
        self._last = max(self._last, self._loop.now + self.link.delay() + late)
        self._loop.post(self._last, self._context, self._release, ())

    def _arrive(self, deliver: Callable[..., None], args: tuple[Any, ...]) -> None:
        if self.link.silent_since is not None:
            if not self._held:
                self.link.wait(self)
            self._held.append((deliver, args))
        elif self._held:  # behind what waits
            self._held.append((deliver, args))
        else:
            deliver(*args)

    def _release(self) -> None:
        while self._held and not self.link.is_silent:
            deliver, args = self._held.popleft()
            deliver(*args)
        if self._held:
            self.link.wait(self)
