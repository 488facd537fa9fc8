"""A simulated ensemble, as like `aioha.testing.Ensemble` as virtual time allows: the same names for the same things."""

import asyncio
import random
from collections.abc import Callable

from .codes import EXPIRY, Op
from .disk import Disk
from .leading import Leading
from .network import Network
from .server import Rules, Server
from .tree import Txn

__all__ = ["SimulatedEnsemble"]

POLL = 0.05


class SimulatedEnsemble:
    """So many servers, named zk1, zk2, ... `tick`: seconds; the limits in ticks; session timeouts None: 2 and 20 ticks.

    They are started at once, and serve after `await ready()`.
    """

    def __init__(
        self,
        network: Network,
        servers: int = 1,
        *,
        tick: float = 0.2,
        sync_limit: int = 5,
        init_limit: int = 20,
        min_session_timeout: float | None = None,
        max_session_timeout: float | None = 60.0,
        max_client_connections: int = 0,
        seed: int = 0,
    ) -> None:
        if servers < 1:
            raise ValueError(f"{servers} servers: at least 1 is needed")
        least = 2 * tick if min_session_timeout is None else min_session_timeout
        most = 20 * tick if max_session_timeout is None else max_session_timeout
        rules = Rules(tick, sync_limit, init_limit, least, most, max_client_connections)
        rng = random.Random(f"ensemble {seed}")
        peers: dict[int, Server] = {}
        for number in range(1, servers + 1):
            peers[number] = Server(network, number, rules, peers, rng)
        self.network = network
        self.tick = tick
        self.journal: list[tuple[float, str]] = []
        # Called when a session's ephemeral nodes go: with its id, and whether it has expired rather than been closed.
        self.on_session_over: Callable[[int, bool], None] = lambda _session, _expired: None
        # Called for each committed transaction, in their order, when the first server is about to apply it.
        self.on_committed: Callable[[Txn], None] = lambda _: None
        self.servers = list(peers.values())
        config = "".join(f"server.{s.number}={s.name}:2888:3888:participant\n" for s in self.servers) + "version=0"
        for server in self.servers:
            server.note = self._noting(server)
            server.committed = self._committed
            if servers > 1:
                server.tree.configure(config.encode())
            server.start()

    def _noting(self, server: Server) -> Callable[[str], None]:
        return lambda what: self.note(f"{server.name} {what}")

    def _committed(self, txn: Txn) -> None:
        if txn.is_known:
            return
        txn.is_known = True
        if txn.op == Op.CLOSE:
            expired = txn.cxid == EXPIRY
            self.note(f"session {txn.session:#x} {'expired' if expired else 'closed'}")
            self.on_session_over(txn.session, expired)
        self.on_committed(txn)

    def note(self, what: str) -> None:
        """Into the journal, and so into the fingerprint of the run."""
        self.journal.append((self.network.loop.now, what))
        self.network.record(b"journal", what.encode())

    @property
    def connect_string(self) -> str:
        return ",".join(server.address for server in self.servers)

    def where(self, path: str, **options: object) -> str:
        """The `zk://` string of an election at `path` on this ensemble; keywords become its options."""
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"zk://{self.connect_string}/{path.lstrip('/')}" + (f"?{query}" if query else "")

    async def ready(self, timeout: float = 60.0) -> None:
        """Until every server that is alive serves. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            while any(server.alive and server.mode() is None for server in self.servers):  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(POLL)

    async def leader(self, timeout: float = 60.0) -> Server:
        """The server that leads (or is alone) with the newest epoch, waiting for one. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            while True:
                leading = [s for s in self.servers if s.alive and s.mode() in ("leader", "standalone")]
                if leading:
                    return max(leading, key=lambda server: server.current_epoch)
                await asyncio.sleep(POLL)

    def followers(self) -> list[Server]:
        return [server for server in self.servers if server.alive and server.mode() == "follower"]

    def cut(self, a: Server, b: Server) -> None:
        """Silence the link of a and b, both ways, until `heal`. Clients are not touched."""
        self.note(f"cut {a.name} {b.name}")
        self.network.cut(a.name, b.name)

    def isolate(self, server: Server) -> None:
        """Cut the server from all others. Clients still reach it."""
        for other in self.servers:
            if other is not server:
                self.cut(server, other)

    def heal(self) -> None:
        """Undo every `cut` and `isolate`."""
        self.note("healed")
        for a in self.servers:
            for b in self.servers:
                if a.number < b.number:
                    self.network.heal(a.name, b.name)

    def expire_session(self, session: int) -> bool:
        """End a session at the ensemble's leader, now. False: no leader, or no such session."""
        return any(isinstance(server.role, Leading) and server.role.end_session(session) for server in self.servers)

    def snapshot(self) -> list[Disk]:
        """Copies of all data directories as they are now."""
        return [server.snapshot() for server in self.servers]

    def roll_back(self, disks: list[Disk]) -> None:
        """Restart all servers on older data: whatever has happened since is forgotten."""
        for server, disk in zip(self.servers, disks, strict=True):
            server.kill()
            server.roll_back(disk)
        for server in self.servers:
            server.start()

    async def restore(self, timeout: float = 60.0) -> None:
        """Undo all damage, and wait until all servers serve."""
        self.heal()
        for server in self.servers:
            server.thaw()
            server.free_disk()
            server.start()
        await self.ready(timeout)
