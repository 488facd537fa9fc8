"""Hosts in network namespaces on one bridge, and everything that happens to networks.

A packet is always dropped where it arrives: a sender whose own firewall drops it would know. Rules and links are the
hosts' own, so healing is to take all rules of a host away and to set its link up.
"""

import asyncio
from collections.abc import Iterable

from .shell import run

__all__ = ["CLIENT_PORT", "Host", "Network"]

NET = "10.99.0"  # seen by nobody else: the bridge itself is in the run's own network namespace
CLIENT_PORT = 2181


class Host:
    """One host of a `Network`."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"{NET}.{number}"
        self.inside = ("nsenter", f"--net=/run/netns/{name}")  # in front of a command
        self._broken = False

    def __repr__(self) -> str:
        return self.name

    async def refuse(self, others: Iterable["Host"]) -> None:
        """Answer every TCP packet from the others with RST."""
        await self._rules(f"-A INPUT -p tcp -s {other.address} -j REJECT --reject-with tcp-reset" for other in others)

    async def ignore(self, others: Iterable["Host"], share: float = 1.0) -> None:
        """Drop what arrives from the others, or a share of it, at random."""
        some = "" if share >= 1 else f"-m statistic --mode random --probability {share:.3f} "
        await self._rules(f"-A INPUT -s {other.address} {some}-j DROP" for other in others)

    async def unplug(self) -> None:
        self._broken = True
        await run("ip", "-n", self.name, "link", "set", "eth0", "down")

    async def destroy_connections(self) -> None:
        """All sockets that are connected to servers."""
        await run(*self.inside, "ss", "-K", "dport", "=", f":{CLIENT_PORT}")

    async def connected_to(self) -> str | None:
        """Address of the server that somebody here is connected to."""
        lines = await run(*self.inside, "ss", "-Htn", "state", "established", "dport", "=", f":{CLIENT_PORT}")
        return next((line.split()[3].rpartition(":")[0] for line in lines.splitlines()), None)

    async def heal(self) -> None:
        if not self._broken:
            return
        await run(*self.inside, "iptables", "-w", "-F", "INPUT")
        await run("ip", "-n", self.name, "link", "set", "eth0", "up")
        self._broken = False

    async def _rules(self, rules: Iterable[str]) -> None:
        self._broken = True
        text = "\n".join(["*filter", *rules, "COMMIT", ""])
        await run(*self.inside, "iptables-restore", "-w", "--noflush", text=text)


class Network:
    """All hosts, each connected to a bridge that is ours."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []

    async def start(self) -> None:
        await _batch(["link set lo up", "link add hub type bridge", "link set hub up", f"addr add {NET}.254/24 dev hub"])

    async def host(self, name: str, number: int) -> Host:
        host = Host(name, number)
        await run("ip", "netns", "add", name)
        await _batch(
            [
                f"link add v-{name} type veth peer name eth0 netns {name}",
                f"link set v-{name} master hub up",
            ]
        )
        await _batch(["link set lo up", f"addr add {host.address}/24 dev eth0", "link set eth0 up"], inside=name)
        self.hosts.append(host)
        return host

    async def heal(self) -> None:
        await asyncio.gather(*(host.heal() for host in self.hosts))

    async def cut(self, host: Host, others: Iterable[Host]) -> None:
        """Neither side hears the other."""
        others = list(others)
        await asyncio.gather(host.ignore(others), *(other.ignore([host]) for other in others))

    async def lose(self, host: Host, others: Iterable[Host], share: float) -> None:
        """A share of the packets, both ways."""
        others = list(others)
        await asyncio.gather(host.ignore(others, share), *(other.ignore([host], share) for other in others))


async def _batch(lines: list[str], *, inside: str | None = None) -> None:
    where = () if inside is None else ("-n", inside)
    await run("ip", *where, "-batch", "-", text="\n".join(lines) + "\n")
