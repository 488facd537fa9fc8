"""The servers of a chaos run: as `aioha.testing.Ensemble` has them, but each on a host of its own, with real links."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
from pathlib import Path

from aioha.testing.java import Layout, command, configuration
from aioha.testing.server import Server

from .network import CLIENT_PORT, Host

__all__ = ["INIT_LIMIT", "LONGEST_SILENCE", "SYNC_LIMIT", "Servers", "knock"]

SYNC_LIMIT, INIT_LIMIT = 4, 20  # ticks
QUORUM_PORT, ELECTION_PORT = 2888, 3888
STACKS = 1.0  # seconds that a server may take to write them
PATIENCE = 60.0  # seconds until servers that were started serve, on a busy machine
LONGEST_SILENCE = 30.0  # seconds until healed servers that do not serve are taken to hang
POLL = 0.05


class Servers:
    """One per host."""

    def __init__(self, hosts: list[Host], home: Path, tick: float) -> None:
        self.hosts = hosts
        peers = [f"server.{n}={host.address}:{QUORUM_PORT}:{ELECTION_PORT}" for n, host in enumerate(hosts, 1)]
        self.all: list[Server] = []
        for number, host in enumerate(hosts, 1):
            lines = (f"clientPortAddress={host.address}", *peers)
            layout = Layout(tick, SYNC_LIMIT, INIT_LIMIT, None, None, fsync=False, extra=lines, jvm=())
            data, config = home / str(number) / "data", home / str(number) / "zoo.cfg"
            data.mkdir(parents=True)
            (data / "myid").write_text(f"{number}\n", "ascii")
            config.write_text(configuration(layout, data, CLIENT_PORT, {}), "utf-8")
            started = [*host.inside, *command(layout, config)]
            self.all.append(Server(number, CLIENT_PORT, home / str(number), started, _nobody, host=host.address))

    @property
    def addresses(self) -> str:
        return ",".join(server.address for server in self.all)

    def host_of(self, server: Server) -> Host:
        return self.hosts[server.number - 1]

    def at(self, address: str | None) -> Server | None:
        """The server on the host of this address."""
        return next((server for server in self.all if self.host_of(server).address == address), None)

    async def leader(self) -> Server:
        """Of the ensemble. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for server in self.all:
                    if server.alive and await asyncio.to_thread(server.mode) == "leader":
                        return server
                await asyncio.sleep(POLL)

    async def heal(self) -> None:
        """All run."""
        for server in self.all:
            if server.alive:
                server.thaw()
            server.start()

    async def serving(self, patience: float = PATIENCE) -> None:
        """Wait until each of them has committed something. Raises `TimeoutError`."""
        async with asyncio.timeout(patience):
            await asyncio.gather(*(self._served(server) for server in self.all))

    async def _served(self, server: Server) -> None:
        host, _, port = server.address.partition(":")
        while not await asyncio.to_thread(knock, host, int(port)):
            await asyncio.sleep(POLL)

    async def restart(self) -> None:
        """What a person does to an ensemble that hangs. First each one writes its threads' stacks to its log."""
        for server in self.all:
            os.kill(server.pid, signal.SIGQUIT)
        await asyncio.sleep(STACKS)
        self.kill()
        await self.heal()

    def kill(self) -> None:
        for server in self.all:
            server.kill()


def knock(host: str, port: int, patience: float = 2.0) -> bool:
    """Whether a session could be opened there, which a quorum has to commit. It is closed again."""
    asked = struct.pack(">iqiqi16s?", 0, 0, 10_000, 0, 16, bytes(16), False)
    with contextlib.suppress(OSError), socket.create_connection((host, port), patience) as connection:
        connection.settimeout(patience)
        connection.sendall(struct.pack(">i", len(asked)) + asked)
        answer = connection.recv(64)
        closing = struct.pack(">ii", 1, -11)
        connection.sendall(struct.pack(">i", len(closing)) + closing)
        return len(answer) > 20 and struct.unpack_from(">q", answer, 12)[0] != 0
    return False


def _nobody(pid: int) -> None:
    """Needs to know: with the sandbox every process in it ends."""
