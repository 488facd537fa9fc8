"""What servers of one ensemble say to each other, and over what.

A `Wire` is a TCP connection between two servers: ordered, and broken for both when either closes it. The messages are
plain tuples, the first item says what they are; their names are those of ZooKeeper's own packets.
"""

from collections.abc import Callable
from typing import Any

from .links import Pipe
from .network import Host, Network

__all__ = ["Message", "Wire", "handlers_of", "wire"]

Message = tuple[Any, ...]


class Wire:
    """One end. `receive` gets each message, `lost` is called once when the other end, or its server, has gone."""

    peer: "Wire"

    def __init__(self, network: Network, own: Host, far: Host) -> None:
        self.far = far.name
        self.is_open = True
        self.receive: Callable[[Message], None] = _ignored
        self.lost: Callable[[], None] = _nothing
        self._pipe = Pipe(network.loop, network.link(own.name, far.name), far.context)

    def send(self, *message: Any) -> None:
        if self.is_open:
            self._pipe.send(self.peer.take, message)

    def introduce(self, accept: "Callable[[Wire], None]") -> None:
        """The first thing to arrive: the other server gets its end."""
        self._pipe.send(accept, self.peer)

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self._pipe.send(self.peer.take_end)

    def take(self, message: Message) -> None:
        if self.is_open:
            self.receive(message)

    def take_end(self) -> None:
        if self.is_open:
            self.is_open = False
            self.lost()


def wire(network: Network, own: Host, far: Host) -> Wire:
    """A new one; its own end."""
    near, other = Wire(network, own, far), Wire(network, far, own)
    near.peer, other.peer = other, near
    return near


def handlers_of(role: type) -> dict[str, Callable[..., None]]:
    """Which methods of a class get which messages: `_on_ack` gets ("ACK", ...)."""
    return {name.removeprefix("_on_").upper(): method for name, method in vars(role).items() if name.startswith("_on_")}


def _ignored(message: Message) -> None:
    """Nobody listens yet."""


def _nothing() -> None:
    """Nobody listens yet."""
