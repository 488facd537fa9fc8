"""A TCP proxy in front of one server that can fail in every way a network does."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from .faults import Faults, Traffic
from .flow import Connection
from .loopthread import LoopThread
from .ports import HOST, bound_socket

__all__ = ["Proxy"]

BACKLOG = 512


class Proxy:
    """Listens on a port of its own and passes everything on to `target` ("127.0.0.1:2181"), until told to fail.

    It runs in a thread with a loop of its own, so that a test may block its loop. All methods may be called from any
    thread and are in force when they return. Faults add up; `heal` ends them all. `with Proxy(...)`, or `close()`.

    frames: whether the connections speak ZooKeeper's client protocol, which `truncate_next`, `drop_reply` and
    `requests` need; anything else passes, too. patience: seconds to go on trying while the target refuses; then the
    client is reset, for it cannot be refused after all. thread: one to share with other proxies; its maker stops it.
    """

    def __init__(self, target: str, *, frames: bool = True, patience: float = 0.0, thread: LoopThread | None = None) -> None:
        host, _, port = target.rpartition(":")
        self._traffic = Traffic((host, int(port)), frames, patience)
        self._connections: set[Connection] = set()
        self._accepted = 0
        self._accepting: asyncio.Task[None] | None = None
        self._listener = bound_socket()
        self._own_thread = thread is None
        self._thread = thread or LoopThread("aioha-proxy")
        self.port = int(self._listener.getsockname()[1])
        self._thread.call(self._listen)

    def __repr__(self) -> str:
        host, port = self._traffic.target
        return f"<Proxy {self.address} to {host}:{port}>"

    @property
    def address(self) -> str:
        """ "127.0.0.1:port", for clients."""
        return f"{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    @property
    def sources(self) -> set[int]:
        """The ports from which its connections to the server come: by these the server knows them."""
        return self._thread.call(lambda: {connection.source for connection in self._connections} - {0})

    @property
    def accepted(self) -> int:
        """How many connections were ever accepted."""
        return self._accepted

    @property
    def requests(self) -> Counter[int]:
        """How many requests of each op code (`Op`) have reached the server so far. A copy."""
        return self._thread.call(lambda: Counter(self._traffic.requests))

    @property
    def dropped(self) -> int:
        """How many replies `drop_reply` has dropped."""
        return self._traffic.dropped

    def silence(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Swallow what is said in these directions, ends of streams included: a black hole. New clients are accepted.

        Connections that have lost bytes are reset by `heal`.
        """
        self._change(silent_to_client=to_client, silent_to_server=to_server)

    def hold(self) -> None:
        """Let nothing pass either way, and lose nothing: `heal` delivers what was held."""
        self._thread.call(self._hold)

    def cut(self) -> None:
        """Reset all connections, now. New ones are accepted."""
        self._thread.call(self._reset_all)

    def refuse(self) -> None:
        """Reset all connections, and refuse new ones."""
        self._thread.call(self._stop_listening)
        self.cut()

    def delay(self, seconds: float, jitter: float = 0.0) -> None:
        """Deliver everything so much later, each way, plus a random time up to `jitter`. Nothing is overtaken."""
        self._change(delay=seconds, jitter=jitter)

    def fragment(self, size: int = 1, pause: float = 0.001) -> None:
        """Deliver in pieces of `size` bytes, `pause` seconds apart; also a slow link: `fragment(32, 0.1)` is 320 B/s."""
        self._change(size=size, pause=pause)

    def truncate_next(self, size: int) -> None:
        """Deliver only the first `size` bytes of the next frame to a client, then end its stream (EOF)."""
        self._change(truncate=size)

    def drop_reply(self, operation: int | Callable[[int], bool]) -> None:
        """Swallow the next reply to a request of this op code (`Op`, or a predicate), and reset its connection.

        The request has reached the server and was done.
        """
        self._change(drop=operation if callable(operation) else operation.__eq__)

    def inject(self, data: bytes) -> None:
        """Say this to every client, as if the server had."""

        def tell() -> None:
            for connection in self._connections:
                connection.inject(data)

        self._thread.call(tell)

    def rewrite_first(self, old: bytes, new: bytes) -> None:
        """Replace bytes in what a client says first. Needs `frames=False`."""
        self._traffic.rewrite = old, new

    def heal(self) -> None:
        """End all faults. Connections that have lost bytes are reset, the others go on."""
        self._thread.call(self._heal)

    def close(self) -> None:
        """Reset all connections and be gone. Idempotent."""
        if self._listener.fileno() == -1:
            return
        self._thread.call(self._shut)
        if self._own_thread:
            self._thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _change(self, **changes: object) -> None:
        def change() -> None:
            for name, value in changes.items():
                setattr(self._traffic.faults, name, value)

        self._thread.call(change)

    def _hold(self) -> None:
        self._traffic.faults.released.clear()

    def _heal(self) -> None:
        faults, self._traffic.faults = self._traffic.faults, Faults()
        faults.released.set()
        for connection in [connection for connection in self._connections if connection.broken]:
            connection.reset()
        self._listen()

    def _shut(self) -> None:
        self._stop_listening()
        self._reset_all()
        self._listener.close()

    def _reset_all(self) -> None:
        for connection in list(self._connections):
            connection.reset()

    def _listen(self) -> None:
        if self._accepting is None:
            self._listener.setblocking(False)
            self._listener.listen(BACKLOG)
            self._accepting = self._thread.loop.create_task(self._accept(self._listener))

    def _stop_listening(self) -> None:
        if self._accepting is None:
            return
        self._accepting.cancel()
        self._accepting = None
        self._thread.loop.remove_reader(self._listener)
        self._listener.close()  # resets whoever was waiting to be accepted
        self._listener = bound_socket(self.port)  # bound but deaf: refuses, and keeps the port ours

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._thread.loop.sock_accept(listener)
            self._accepted += 1
            self._connections.add(Connection(client, self._traffic, self._connections.discard))
