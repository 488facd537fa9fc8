"""How a guardian closes a session: on real servers, and on those that refuse, hang or speak something else."""

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator

import pytest
from operator_client import operator

from aioha.clock import boottime
from aioha.guardian.closing import close_session
from aioha.testing import Ensemble

MARK = b"4711"
AT_ONCE = 1.5  # seconds, on a busy machine; a handful of milliseconds else, and 2 where one server is waited for


@pytest.fixture
def path(request: pytest.FixtureRequest) -> str:
    return f"/closing/{request.node.name.replace('[', '_').replace(']', '')}"


LEADER = """
import sys, time
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl

servers, path, credentials = sys.argv[1:]
client = KazooClient(servers, timeout=10.0, auth_data=[("digest", credentials)] if credentials else None)
client.start(timeout=10)
acl = [make_digest_acl(*credentials.split(":"), all=True)] if credentials else None
client.ensure_path(path.rpartition("/")[0])
client.create(f"{path}.aioha", b"{}", acl=acl)
client.create(f"{path}.aioha/ended", b"", acl=acl)
takeover = client.transaction()
takeover.create(path, b"x", acl=acl, ephemeral=True)
takeover.set_data(path, b"x")
takeover.create(f"{path}.aioha/seat", b"x", acl=acl, ephemeral=True)
takeover.commit()
session, password = client.client_id
print(session, password.hex(), flush=True)
time.sleep(100)
"""


class Dead:
    """A candidate that led and was killed: what is left of it on a server."""

    def __init__(self, ensemble: Ensemble, path: str, credentials: str = "") -> None:
        self.path = path
        leader = subprocess.Popen(
            [sys.executable, "-c", LEADER, ensemble.connect_string, path, credentials], stdout=subprocess.PIPE, text=True
        )
        assert leader.stdout is not None
        with leader.stdout as said:
            session, password = said.readline().split()
            leader.kill()
            leader.wait()
        self.id = int(session)
        user, _, secret = credentials.partition(":")
        self.session = (self.id, bytes.fromhex(password), 10.0, (user, secret) if credentials else None)
        checks, deletes = ((f"{path}.aioha", 0),), ((path, 1), (f"{path}.aioha/seat", -1))
        self.term = (checks, deletes, ((f"{path}.aioha/ended", MARK),))

    def close(self, servers: list[tuple[str, int]], patience: float = 5.0) -> str:
        return close_session(self.session, servers, [self.term], boottime() + patience, boottime)


@pytest.fixture
def dead(ensemble: Ensemble, path: str) -> Dead:
    return Dead(ensemble, path)


def addresses(ensemble: Ensemble) -> list[tuple[str, int]]:
    return [(host, int(port)) for host, port in (each.address.split(":") for each in ensemble.servers)]


@contextlib.contextmanager
def impostor(says: bytes | None) -> Generator[tuple[str, int]]:
    """A server that accepts, and says this; None: nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepted: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(listener.accept()[0])
                    if says is not None:
                        accepted[-1].recv(100)
                        accepted[-1].sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[:2]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for each in accepted:
            each.close()


def nobody() -> tuple[str, int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host, port = free.getsockname()
        return host, port


def assert_ended_cleanly(ensemble: Ensemble, dead: Dead) -> None:
    with operator(ensemble.connect_string) as client:
        client.sync(dead.path)
        assert client.exists(dead.path) is None
        assert client.get(f"{dead.path}.aioha/ended")[0] == MARK


def test_its_nodes_go_and_its_term_has_ended(ensemble: Ensemble, dead: Dead) -> None:
    begun = boottime()
    assert dead.close(addresses(ensemble)).startswith(f"session {dead.id:#x} closed on")
    assert boottime() - begun < AT_ONCE
    assert_ended_cleanly(ensemble, dead)


@pytest.mark.parametrize("says", [None, b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 64, b"\0\0\0\x04abcd"])
def test_servers_that_are_none_cost_little(ensemble: Ensemble, dead: Dead, says: bytes | None) -> None:
    begun = boottime()
    with impostor(says) as one, impostor(says) as other:
        assert "closed on" in dead.close([nobody(), one, other, *addresses(ensemble)])
    assert boottime() - begun < AT_ONCE + 0.3
    assert_ended_cleanly(ensemble, dead)


def test_a_frozen_server_costs_little(ensemble: Ensemble, dead: Dead) -> None:
    frozen = next(each for each in ensemble.servers if each is not ensemble.leader())
    frozen.freeze()
    first = next(each for each in addresses(ensemble) if each[1] == frozen.port)
    others = [each for each in addresses(ensemble) if each != first]
    begun = boottime()
    assert "closed on" in dead.close([first, *others])
    assert boottime() - begun < AT_ONCE
    frozen.thaw()
    assert_ended_cleanly(ensemble, dead)


def test_where_ipv6_is_switched_off(ensemble: Ensemble, dead: Dead, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names have such addresses all the same."""
    real = socket.socket

    def without(family: int = -1, kind: int = -1) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
        return real(family, kind)

    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", without)
        assert "closed on" in dead.close([("::1", 2181), *addresses(ensemble)])
    assert_ended_cleanly(ensemble, dead)


def test_it_goes_on_until_a_server_is_there(ensemble: Ensemble, dead: Dead) -> None:
    target = addresses(ensemble)[0]
    where = nobody()

    def appear() -> None:
        with socket.create_server(where) as listener:
            near, _ = listener.accept()
            with near, socket.create_connection(target) as far:
                near.settimeout(0.02)
                far.settimeout(0.02)
                with contextlib.suppress(OSError):
                    while True:
                        for one, other in ((near, far), (far, near)):
                            with contextlib.suppress(TimeoutError):
                                if not (data := one.recv(4096)):
                                    return
                                other.sendall(data)

    thread = threading.Timer(0.4, appear)
    thread.start()
    assert "closed on" in dead.close([where])
    thread.join()
    assert_ended_cleanly(ensemble, dead)


def test_nobody_there_is_given_up_when_the_session_is_over_anyway(dead: Dead) -> None:
    begun = boottime()
    assert dead.close([nobody()], patience=0.5) == f"no server closed session {dead.id:#x}; it expires by itself"
    assert 0.4 < boottime() - begun < 1.5


def test_a_session_that_is_over(ensemble: Ensemble, dead: Dead) -> None:
    dead.close(addresses(ensemble))
    assert dead.close(addresses(ensemble)) == "its session was over"


def test_who_took_over_is_left_in_peace(ensemble: Ensemble, dead: Dead) -> None:
    with operator(ensemble.connect_string) as client:
        client.set(f"{dead.path}.aioha", b"{}")
        assert "closed on" in dead.close(addresses(ensemble))
        client.sync(dead.path)
        assert client.get(f"{dead.path}.aioha/ended")[0] == b""


def test_a_node_deleted_by_hand_does_not_hide_that_the_term_has_ended(ensemble: Ensemble, dead: Dead) -> None:
    with operator(ensemble.connect_string) as client:
        client.delete(dead.path)
    assert "closed on" in dead.close(addresses(ensemble))
    assert_ended_cleanly(ensemble, dead)


def test_a_node_that_a_stranger_has_made_is_not_ours(ensemble: Ensemble, dead: Dead) -> None:
    with operator(ensemble.connect_string) as client:
        client.delete(dead.path)
        client.create(dead.path, b"stranger", ephemeral=True)
        assert "closed on" in dead.close(addresses(ensemble))
        client.sync(dead.path)
        assert client.get(dead.path)[0] == b"stranger"


def test_it_says_who_it_is(ensemble: Ensemble, path: str) -> None:
    dead = Dead(ensemble, path, "ada:s3cret")
    assert "closed on" in dead.close(addresses(ensemble))
    with operator(ensemble.connect_string, auth_data=[("digest", "ada:s3cret")]) as client:
        assert client.get(f"{dead.path}.aioha/ended")[0] == MARK


def test_many_terms_at_once(ensemble: Ensemble, dead: Dead) -> None:
    checks, deletes, writes = dead.term
    others = [(checks, ((f"{dead.path}/{n}", 1), *deletes[1:]), writes) for n in range(300)]  # that have lost their nodes
    terms = [*others, dead.term]
    assert "closed on" in close_session(dead.session, addresses(ensemble), terms, boottime() + 5, boottime)
    assert_ended_cleanly(ensemble, dead)
