"""A real ZooKeeper ensemble on this host, up in a second or two, whose servers and links can be broken at will."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread

from . import keeper
from .java import Layout, command, configuration
from .links import Links
from .ports import free_ports
from .server import Server
from .strangers import agrees

__all__ = ["Ensemble"]

START_ATTEMPTS = 3
POLL = 0.02
AGREEING = 1.0  # seconds for one server to answer


class Ensemble:
    """So many ZooKeeper servers on loopback: a lone one by default, an ensemble of 3 with `Ensemble(3)`.

    `async with Ensemble(3) as ensemble:`, or `start()` and `stop()`, which block. Every method but `ready` blocks.

    tick: tickTime, seconds. sync_limit, init_limit: ticks. min_session_timeout, max_session_timeout: what the servers
    clamp session timeouts to, seconds; None: their own rule (2 and 20 ticks). cuttable: the servers talk to each other
    through proxies, for `cut` and `isolate`. fsync: as in production; off, it only costs safety against a power cut.
    directory: where the servers' data goes, kept; None: a temporary directory, removed by `stop`. extra: more lines of
    zoo.cfg. jvm: more options of `java`.
    Raises `ZooKeeperMissing` from `start` if this machine has none.
    """

    def __init__(
        self,
        servers: int = 1,
        *,
        tick: float = 0.2,
        sync_limit: int = 5,
        init_limit: int = 20,
        min_session_timeout: float | None = None,
        max_session_timeout: float | None = 60.0,
        cuttable: bool = False,
        fsync: bool = False,
        directory: str | os.PathLike[str] | None = None,
        extra: Iterable[str] = (),
        jvm: Iterable[str] = (),
    ) -> None:
        if servers < 1 or (cuttable and servers < 2):
            raise ValueError(f"{servers} servers: at least 1 is needed, and 2 if cuttable")
        self._layout = Layout(
            tick, sync_limit, init_limit, min_session_timeout, max_session_timeout, fsync, tuple(extra), tuple(jvm)
        )
        self._numbers = range(1, servers + 1)
        self._cuttable = cuttable
        self._kept = None if directory is None else Path(directory)
        self._home: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._links: Links | None = None
        self.servers: list[Server] = []

    @property
    def tick(self) -> float:
        """The servers' tickTime in seconds."""
        return self._layout.tick

    @property
    def connect_string(self) -> str:
        """ "127.0.0.1:port,127.0.0.1:port,..." """
        return ",".join(server.address for server in self.servers)

    def where(self, path: str, **options: object) -> str:
        """The `zk://` string of an election at `path` on this ensemble; keywords become its options."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"zk://{self.connect_string}/{path.lstrip('/')}" + (f"?{query}" if query else "")

    def start(self, timeout: float = 30.0) -> None:
        """Start all servers; returns when each one serves. Raises `ZooKeeperMissing`, `TimeoutError`."""
        if self._home is not None:
            raise RuntimeError("this ensemble has been started already")
        atexit.register(self.stop)
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                self._launch()
                self.wait_ready(timeout)
            except BaseException as error:
                stolen = isinstance(error, TimeoutError) and any(_port_stolen(server) for server in self.servers)
                self.stop()
                if not stolen or attempt == START_ATTEMPTS:
                    raise
            else:
                return

    def stop(self) -> None:
        """Kill all servers, and remove what is temporary. Idempotent; takes about 0.1 s."""
        atexit.unregister(self.stop)
        for server in self.servers:
            server.kill()
        if self._links is not None:
            self._links.close()
            self._links = None
        if self._keeper is not None:
            self._keeper.communicate()  # end of input: it ends
            self._keeper = None
        if self._home is not None and self._kept is None:
            shutil.rmtree(self._home, ignore_errors=True)
        self._home = None

    async def __aenter__(self) -> Self:
        with anyio.CancelScope(shield=True):  # else a cancelled start leaves servers behind; it is bounded
            await anyio.to_thread.run_sync(self.start)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Block until every server that is alive serves. Raises `TimeoutError` with the end of a server's log."""
        due = time.monotonic() + timeout
        for server in self.servers:
            if server.alive:
                server.wait_ready(max(0.0, due - time.monotonic()))

    async def ready(self, timeout: float = 30.0) -> None:
        """`wait_ready` without blocking the loop."""
        await anyio.to_thread.run_sync(self.wait_ready, timeout)

    def restore(self, timeout: float = 30.0) -> None:
        """Undo all damage: heal links, thaw and start servers, wait until a quorum agrees to what is asked of each: one that
        was frozen may have been left behind, and not know it. For reuse by the next test.
        """
        due = time.monotonic() + timeout
        if self._links is not None:
            self._links.heal_all()
        for server in self.servers:
            if server.alive:
                server.thaw()
            server.start()
        self.wait_ready(timeout)
        while not all(agrees(server, AGREEING) for server in self.servers):
            if time.monotonic() > due:
                raise TimeoutError(f"the servers agree to nothing within {timeout:g} s")
            time.sleep(POLL)

    def leader(self, timeout: float = 10.0) -> Server:
        """The server that leads the ensemble (or is alone), waiting for one. Raises `TimeoutError`."""
        due = time.monotonic() + timeout
        while True:
            for server in self.servers:
                if server.alive and server.mode() in ("leader", "standalone"):
                    return server
            if time.monotonic() > due:
                raise TimeoutError(f"no server leads within {timeout:g} s: {self.servers}")
            time.sleep(POLL)

    def followers(self) -> list[Server]:
        """The servers that follow the ensemble's leader now."""
        return [server for server in self.servers if server.alive and server.mode() == "follower"]

    def cut(self, a: Server, b: Server) -> None:
        """Silence the link of a and b, both ways, until `heal`. Needs `cuttable`.

        Cutting one follower from the leader makes a ghost: for up to `sync_limit * tick` it goes on answering pings of
        clients whose sessions expire meanwhile at the leader.
        """
        self._cuttable_links().cut(a.number, b.number)

    def isolate(self, server: Server) -> None:
        """Cut the server from all others. Clients still reach it."""
        for other in self.servers:
            if other is not server:
                self.cut(server, other)

    def heal(self) -> None:
        """Undo every `cut` and `isolate`."""
        self._cuttable_links().heal_all()

    def _cuttable_links(self) -> Links:
        if self._links is None:
            raise RuntimeError("this ensemble's links cannot be cut: start it with cuttable=True")
        return self._links

    def _launch(self) -> None:
        temporary = self._kept is None
        home = self._home = Path(tempfile.mkdtemp(prefix="aioha-zookeeper-")) if self._kept is None else self._kept
        numbers = list(self._numbers)
        ports = free_ports(3 * len(numbers))
        internal = {n: (ports[3 * i + 1], ports[3 * i + 2]) for i, n in enumerate(numbers)}
        self._links = Links(internal) if self._cuttable else None
        self._keeper = _start_keeper(str(home) if temporary else None)
        self.servers = [self._server(home / str(n), n, ports[3 * i], internal) for i, n in enumerate(numbers)]
        for server in self.servers:
            server.start()

    def _server(self, home: Path, number: int, port: int, internal: dict[int, tuple[int, int]]) -> Server:
        data, config = home / "data", home / "zoo.cfg"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(f"{number}\n", "ascii")
        peers = self._links.seen_by(number) if self._links is not None else internal
        config.write_text(configuration(self._layout, data, port, peers if len(internal) > 1 else {}), "utf-8")
        return Server(number, port, home, command(self._layout, config), self._tell_keeper)

    def _tell_keeper(self, pid: int) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.write(f"{pid}\n".encode("ascii"))
            self._keeper.stdin.flush()


def _start_keeper(directory: str | None) -> subprocess.Popen[bytes]:
    arguments = [str(os.getpid()), *([directory] if directory else [])]
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(keeper.__file__), *arguments], stdin=subprocess.PIPE, start_new_session=True
    )


def _port_stolen(server: Server) -> bool:
    return "Address already in use" in server.tail(200)
