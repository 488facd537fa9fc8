"""Free TCP ports on loopback that stay free.

They are taken from below the kernel's range of ephemeral ports: a port that `bind(0)` gives may be handed out again as
the source port of any outgoing connection while its server is down, and a client that hammers such a port of a killed
server on loopback sooner or later connects to itself.
"""

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count, islice

__all__ = ["HOST", "bound_socket", "free_ports"]

HOST = "127.0.0.1"
LOWEST, HIGHEST = 10_000, 32_767  # five digits each: `links` replaces one port by another without changing a length
ATTEMPTS = 500

_random = random.SystemRandom()  # forked workers and seeded tests must not all draw the same ports


def bound_socket(port: int | None = None) -> socket.socket:
    """A TCP socket bound to `port` on loopback, or to a free port. Raises `OSError`. Does not listen."""
    for attempt in count(1):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart must not wait for TIME_WAIT
            sock.bind((HOST, port or _random.randint(LOWEST, HIGHEST)))
        except OSError:
            sock.close()
            if port is not None or attempt == ATTEMPTS:
                raise
        else:
            return sock
    raise AssertionError("unreachable")


def free_ports(number: int) -> list[int]:
    """So many different free ports. They are not reserved: who uses them tries again when one was taken meanwhile."""
    with ExitStack() as held:
        return list(islice(_ports(held), number))


def _ports(held: ExitStack) -> Iterator[int]:
    while True:
        yield int(held.enter_context(bound_socket()).getsockname()[1])
