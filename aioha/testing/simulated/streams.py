"""Byte streams between two hosts, as asyncio transports: what is written on one end is `data_received` on the other."""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from .links import Pipe

if TYPE_CHECKING:
    from .network import Host, Network

__all__ = ["End", "joined", "reset_by_peer"]


class End(asyncio.Transport):
    """One end of a stream. `host`: where it is."""

    peer: "End"

    def __init__(self, network: "Network", host: "Host", far: "Host", context: Context, address: tuple[str, int]) -> None:
        super().__init__()
        self.host = host
        self._network = network
        self._context = context
        self._address = address
        self.far = far
        self._name = f"{host.name}<{far.name} ".encode()
        self._protocol: Any = None
        self._out: Pipe | None = None
        self._closed = False
        self._deaf = False  # reading has ended
        self._paused: list[bytes] | None = None
        host.ends[self] = None

    def join(self, peer: "End", protocol: Any) -> None:
        self.peer = peer
        self._protocol = protocol
        self._out = Pipe(self._network.loop, self._network.link(self.host.name, self.far.name), peer._context)  # noqa: SLF001 - our own

    # ------------------------------------------------------------------ asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        out = self._out
        if self._closed or out is None or not data:
            return
        if out.link.tampering is None:
            out.send(self.peer.take, bytes(data))
        else:
            out.link.tampering.pass_on(self, bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        self.abort()  # what was written before is on its way already

    def abort(self) -> None:
        if self._closed:
            return
        if self._out is not None:
            self._out.send(self.peer.take_end)
        self._end(None)

    def send(self, data: bytes) -> None:
        """`write`, once the link's tampering has let it pass."""
        assert self._out is not None
        tampering = self._out.link.tampering
        if tampering is None or tampering.pieces is None:
            self._out.send(self.peer.take, data)
        else:
            self._out.send_in_pieces(self.peer.take, data, *tampering.pieces)

    def reset(self) -> None:
        """RST: the stream is gone, here at once, there when that arrives."""
        if self._closed or self._out is None:
            return
        self._out.send(self.peer.broken, reset_by_peer())
        self._end(reset_by_peer())

    def is_closing(self) -> bool:
        return self._closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._address if name == "peername" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is room for all."""

    def can_write_eof(self) -> bool:
        return False

    def get_protocol(self) -> Any:
        return self._protocol

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def is_reading(self) -> bool:
        return self._paused is None and not self._closed

    def pause_reading(self) -> None:
        if self._paused is None:
            self._paused = []

    def resume_reading(self) -> None:
        kept, self._paused = self._paused or [], None
        for data in kept:
            self.take(data)

    # ------------------------------------------------------------------ what arrives

    def take(self, data: bytes) -> None:
        if self._closed or self._deaf:
            return
        if self._paused is not None:
            self._paused.append(data)
            return
        self._network.record(self._name, data)
        self._protocol.data_received(data)

    def take_end(self) -> None:
        if self._closed or self._deaf:
            return
        self._deaf = True
        self._network.record(self._name, b"end")
        if not self._protocol.eof_received():
            self.abort()

    def broken(self, error: OSError) -> None:
        """The stream is gone, and this end learns of it at once."""
        if not self._closed:
            self._end(error)

    def _end(self, error: OSError | None) -> None:
        self._closed = True
        self.host.ends.pop(self, None)
        self._network.loop.call_soon(self._protocol.connection_lost, error, context=self._context)


def reset_by_peer() -> OSError:
    return ConnectionResetError(104, "Connection reset by peer")


def joined(
    network: "Network", own: "Host", other: "Host", protocol_factory: Callable[[], Any], port: int
) -> tuple[End, Any]:
    """Both ends of a new stream, from the host that has connected; its own end and protocol."""
    near = End(network, own, other, copy_context(), (other.address, port))
    far = End(network, other, own, other.context, (own.address, 40_000 + len(other.ends)))
    assert other.listen is not None
    accepted, made = other.listen(far), protocol_factory()
    near.join(far, made)
    far.join(near, accepted)
    made.connection_made(near)
    network.loop.call_soon(accepted.connection_made, far, context=other.context)
    return near, made
