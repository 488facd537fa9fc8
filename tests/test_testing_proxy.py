"""The fault proxy: against an echo server each fault by itself, against a real server what needs ZooKeeper's frames."""

import socket
import threading
import time
from collections.abc import Iterator

import anyio
import pytest
from echo import Echo
from rawzk import CREATE, PING, Raw

from aioha.testing import Ensemble, Op, Proxy, no_leaks


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with no_leaks(), Proxy(echo.address, frames=False) as between:
        yield between


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 2.0)


def say(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    answer = b""
    while len(answer) < len(words) and (data := client.recv(65536)):
        answer += data
    return answer


def hears_nothing(client: socket.socket, seconds: float = 0.15) -> bool:
    client.settimeout(seconds)
    try:
        return client.recv(1) is None
    except TimeoutError:
        return True
    finally:
        client.settimeout(2.0)


def test_passes_everything_and_counts_connections(proxy: Proxy) -> None:
    with dial(proxy) as one, dial(proxy) as two:
        assert say(one, b"x" * 300_000) == b"x" * 300_000
        assert say(two, b"hello") == b"hello"
        assert proxy.connections == 2
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""
    _eventually_closed(proxy)
    assert proxy.accepted == 2


def _dial_and_listen(proxy: Proxy) -> bytes:
    with dial(proxy) as client:  # the reset may overtake the end of `connect`
        return client.recv(1)


def _eventually_closed(proxy: Proxy) -> None:
    due = time.monotonic() + 5
    while proxy.connections:
        assert time.monotonic() < due
        time.sleep(0.01)


def test_silence_swallows_and_healing_resets_what_lost_bytes(proxy: Proxy, echo: Echo) -> None:
    with dial(proxy) as loser, dial(proxy) as idle:
        assert say(idle, b"a") + say(loser, b"b") == b"ab"
        proxy.silence()
        loser.sendall(b"lost")
        assert hears_nothing(loser)
        with dial(proxy) as late:
            late.sendall(b"lost")
            assert hears_nothing(late)
            proxy.heal()
            with pytest.raises(ConnectionResetError):
                late.recv(1)
        with pytest.raises(ConnectionResetError):
            loser.recv(1)
        assert say(idle, b"still here") == b"still here"
    assert b"lost" not in echo.heard


def test_one_way_silence(proxy: Proxy, echo: Echo) -> None:
    with dial(proxy) as client:
        say(client, b"-")
        proxy.silence(to_client=True, to_server=False)
        client.sendall(b"heard")
        assert hears_nothing(client, 0.5)
        assert echo.heard == b"-heard"
        proxy.silence(to_client=False, to_server=True)
        client.sendall(b"unheard")
        assert hears_nothing(client)
        assert echo.heard == b"-heard"


def test_a_black_hole_hides_that_the_server_has_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as dead:
        port = dead.getsockname()[1]
    with no_leaks(), Proxy(f"127.0.0.1:{port}") as proxy:
        proxy.silence()
        with dial(proxy) as client:
            client.sendall(b"anybody?")
            assert hears_nothing(client)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            _dial_and_listen(proxy)


def test_held_bytes_arrive_after_healing(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"-")
        proxy.hold()
        client.sendall(b"later")
        assert hears_nothing(client)
        proxy.heal()
        assert client.recv(5) == b"later"


def test_refuse_and_heal(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"-")
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
        assert proxy.connections == 0
        proxy.refuse()
        proxy.heal()
        with dial(proxy) as again:
            assert say(again, b"back") == b"back"


def test_cut_resets_and_accepts_again(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"-")
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with dial(proxy) as again:
        assert say(again, b"back") == b"back"


def test_delay_is_pipelined_and_keeps_the_order(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"-")
        proxy.delay(0.1, jitter=0.05)
        begin = time.monotonic()
        for i in range(8):
            client.sendall(bytes([65 + i]))
            time.sleep(0.01)
        answer = b""
        while len(answer) < 8:
            answer += client.recv(8)
        assert answer == b"ABCDEFGH"
        assert 0.2 <= time.monotonic() - begin < 1.5  # there and back; one after another it would be 2 s


def test_fragments(proxy: Proxy) -> None:
    with dial(proxy) as client:
        say(client, b"-")
        proxy.fragment(1, pause=0.02)
        client.sendall(b"fragment")
        sizes: list[int] = []
        while sum(sizes) < 8:
            sizes.append(len(client.recv(100)))
        assert len(sizes) >= 4


def test_works_while_the_loop_of_the_test_is_blocked(zookeeper: Ensemble) -> None:
    async def blocking() -> None:  # everything below blocks, and the proxy is not impressed
        with Proxy(zookeeper.servers[0].address) as proxy, Raw(proxy.address) as client:
            client.ping()
            client.close_session()

    anyio.run(blocking)


def test_a_dropped_reply_is_of_a_request_that_was_done(zookeeper: Ensemble) -> None:
    address = zookeeper.servers[0].address
    with no_leaks(), Proxy(address) as proxy, Raw(address) as witness:
        with Raw(proxy.address) as client:
            proxy.drop_reply(Op.CREATE)
            client.ping()
            with pytest.raises(ConnectionResetError):
                client.create("/reply-lost", ephemeral=True)
            assert witness.exists("/reply-lost")
        assert proxy.dropped == 1
        with Raw(proxy.address) as client:
            assert client.create("/reply-not-lost", ephemeral=True) == 0
            client.close_session()
        assert proxy.requests[CREATE] == 2
        assert proxy.requests[PING] == 1
        assert proxy.requests[Op.CONNECT] == 2


def test_the_reply_to_the_handshake_can_be_dropped(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.drop_reply(lambda op: op == Op.CONNECT)
        with pytest.raises(ConnectionResetError):
            Raw(proxy.address)


def test_a_frame_ends_in_the_middle(zookeeper: Ensemble) -> None:
    with no_leaks(), Proxy(zookeeper.servers[0].address) as proxy, Raw(proxy.address) as client:
        client.ping()
        proxy.truncate_next(7)
        with pytest.raises(EOFError, match="after 3 of 16"):
            client.ping()
        client.send(b"into the void")  # no reset: the stream to us has ended, ours has not
        assert client.socket.recv(1) == b""
        assert proxy.connections == 1
        client.socket.close()
        _eventually_closed(proxy)


def test_frames_survive_fragments(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.fragment(3, pause=0.0)
        with Raw(proxy.address) as client:
            assert client.exists("/zookeeper")
            client.close_session()
        assert proxy.requests[Op.EXISTS] == 1


def test_what_is_not_a_frame_passes(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy, dial(proxy) as client:
        client.sendall(b"ruok")
        assert client.recv(10) == b"imok"


def test_injected_bytes_reach_the_client(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy, Raw(proxy.address) as client:
        proxy.inject(b"\x7f\xff\xff\xff")
        assert client.socket.recv(4) == b"\x7f\xff\xff\xff"


def test_methods_work_from_any_thread_and_close_is_idempotent(echo: Echo) -> None:
    proxy = Proxy(echo.address)
    thread = threading.Thread(target=proxy.refuse)
    thread.start()
    thread.join()
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    proxy.close()
    proxy.close()
