"""A host of its own on the network, for a candidate: a namespace, joined to ours by a cable, that fails as networks do.

Needs root, iproute2 and iptables. Nothing is changed outside of the namespace but for our end of the cable, and that
goes with it.
"""

import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from machine import need

__all__ = ["Namespace", "namespace"]

_numbers = itertools.count(1)
TOOLS = ("ip", "iptables", "ss")
ATTEMPTS = 20  # at a subnet that nobody has


class Namespace:
    """`name`: for `ip netns exec`. `outside`: our address as seen from within; `inside`: its own."""

    def __init__(self, name: str, inside: str, outside: str) -> None:
        self.name = name
        self.inside = inside
        self.outside = outside
        self.prefix = ["ip", "netns", "exec", name]

    def run(self, *command: str) -> str:
        """Run a command within, and insist that it succeeds; what it printed."""
        return _run(*self.prefix, *command)

    def drop(self, *, incoming: bool = True, outgoing: bool = True) -> None:
        """Packets vanish, and nobody is told."""
        for chain, wanted in (("INPUT", incoming), ("OUTPUT", outgoing)):
            if wanted:
                self.run("iptables", "-w", "-A", chain, "-j", "DROP")

    def lose(self, share: float) -> None:
        """Each packet is lost with this probability, either way."""
        chance = ["-m", "statistic", "--mode", "random", "--probability", f"{share:g}"]
        for chain in ("INPUT", "OUTPUT"):
            self.run("iptables", "-w", "-A", chain, *chance, "-j", "DROP")

    def reset(self, share: float) -> None:
        """Each TCP packet from within is answered with RST with this probability, instead of being sent."""
        chance = ["-m", "statistic", "--mode", "random", "--probability", f"{share:g}"]
        reset = ["-j", "REJECT", "--reject-with", "tcp-reset"]
        self.run("iptables", "-w", "-A", "OUTPUT", "-p", "tcp", *chance, *reset)

    def link(self, state: str) -> None:
        """The cable is pulled ("down") or plugged in ("up")."""
        self.run("ip", "link", "set", "cable", state)

    def black_hole(self) -> None:
        """The route to us leads nowhere."""
        self.run("ip", "route", "add", "blackhole", f"{self.outside}/32")

    def destroy_sockets(self) -> int:
        """What an administrator does by `ss -K`: established connections to us are gone. How many of them."""
        before = self.sockets()
        self.run("ss", "-K", "-t", "state", "established", "dst", self.outside)
        return len(before - self.sockets())

    def sockets(self) -> set[str]:
        """Established connections to us, by address and port."""
        lines = self.run("ss", "-H", "-t", "-n", "state", "established", "dst", self.outside).splitlines()
        return {" ".join(line.split()[2:4]) for line in lines}

    def heal(self) -> None:
        self.run("iptables", "-w", "-F")
        self.run("ip", "route", "flush", "type", "blackhole")
        self.link("up")


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A new one, gone at the end. Skips the test where it cannot be made."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    need(not absent, f"this test needs {', '.join(absent)} (Debian: iproute2, iptables)")
    name = f"aioha-{os.getpid()}-{next(_numbers)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    need(made.returncode == 0, f"this test needs network namespaces: {made.stderr.strip()}")
    try:
        yield _joined(name)
    finally:
        _run("ip", "netns", "delete", name)


def _joined(name: str) -> Namespace:
    """With a cable to us, and both ends of it up."""
    ours = f"a{os.getpid()}-{name.rpartition('-')[2]}"
    _run("ip", "link", "add", ours, "type", "veth", "peer", "name", "cable", "netns", name)
    outside, inside = _free_addresses()
    found = Namespace(name, inside, outside)
    _run("ip", "address", "add", f"{outside}/30", "dev", ours)
    _run("ip", "link", "set", ours, "up")
    found.run("ip", "address", "add", f"{inside}/30", "dev", "cable")
    found.run("ip", "link", "set", "lo", "up")
    found.run("ip", "link", "set", "cable", "up")
    filter_works = subprocess.run([*found.prefix, "iptables", "-w", "-L"], capture_output=True, text=True, check=False)
    need(filter_works.returncode == 0, f"this test needs iptables: {filter_works.stderr.strip()}")
    return found


def _free_addresses() -> tuple[str, str]:
    """Ours and theirs, of the range that is reserved for tests of networks (RFC 2544)."""
    chance, taken = random.SystemRandom(), _run("ip", "-4", "address")
    for _ in range(ATTEMPTS):
        network = f"198.18.{chance.randrange(256)}"
        if f"{network}." not in taken:
            return f"{network}.1", f"{network}.2"
    raise RuntimeError("no free subnet in 198.18.0.0/16")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
