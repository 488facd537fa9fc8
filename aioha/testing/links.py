"""The links among the servers of an ensemble, through proxies, so that each can be cut by itself.

ZooKeeper reads the others' addresses from each server's own zoo.cfg, so server i is given a proxy of its own for each
server j. One detail: when i opens an election connection to a higher-numbered j, j closes it and connects back to the
election address that i's first message states. There the proxy writes the address of j's own proxy to i, or that link
would go around us.
"""

from collections.abc import Iterator, Mapping

from .loopthread import LoopThread
from .ports import HOST
from .proxy import Proxy

__all__ = ["Links", "Ports"]

# A follower may be ahead of its new leader. It tries again when refused; a proxy that accepts and then resets makes it
# give up, and the ensemble waits for initLimit.
PATIENCE = 1.0

Ports = tuple[int, int]  # quorum, election


class Links:
    """Two proxies (quorum, election) for each ordered pair of servers, all in one thread."""

    def __init__(self, ports: Mapping[int, Ports]) -> None:
        self._ports = ports
        self._thread = LoopThread("aioha-links")
        self._pairs = {
            (i, j): (self._proxy(ports[j][0], PATIENCE), self._proxy(ports[j][1], 0.0))
            for i in ports
            for j in ports
            if i != j
        }
        for (i, j), (_, election) in self._pairs.items():
            back = self._pairs[j, i][1]
            election.rewrite_first(f"{HOST}:{ports[i][1]}".encode(), back.address.encode())

    def _proxy(self, port: int, patience: float) -> Proxy:
        return Proxy(f"{HOST}:{port}", frames=False, patience=patience, thread=self._thread)

    def seen_by(self, number: int) -> dict[int, Ports]:
        """Quorum and election port of every server, as server `number` has to know them."""
        return {other: own if other == number else self._through(number, other) for other, own in self._ports.items()}

    def cut(self, a: int, b: int) -> None:
        """Swallow all that a and b say to each other, both ways. Neither sees its connections close."""
        for proxy in self._between(a, b):
            proxy.silence()

    def heal(self, a: int, b: int) -> None:
        """Undo `cut`. Connections that have lost bytes are reset."""
        for proxy in self._between(a, b):
            proxy.heal()

    def heal_all(self) -> None:
        for i, j in self._pairs:
            self.heal(i, j)

    def close(self) -> None:
        for proxies in self._pairs.values():
            for proxy in proxies:
                proxy.close()
        self._thread.stop()

    def _through(self, i: int, j: int) -> Ports:
        quorum, election = self._pairs[i, j]
        return quorum.port, election.port

    def _between(self, a: int, b: int) -> Iterator[Proxy]:
        yield from self._pairs[a, b]
        yield from self._pairs[b, a]
