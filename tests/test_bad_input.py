"""What bad input gets: one line of the documented type within its bound, nothing left behind, the process usable."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from aioha import Elector, Session, Unavailable
from aioha.testing import Ensemble, Proxy, no_leaks


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("zk1,zk2,zk3/master/billing", "local:name"),
        ("", "zk://"),
        ("http://zk1/a", "zk://"),
        ("zk://zk1", "no path"),
        ("zk:///a", "host"),
        ("zk://zk1:port/a", "'port'"),
        ("zk://zk1:70000/a", "'70000'"),
        ("zk://zk1//a", "empty part"),
        ("zk://zk1/a/../b", "'..'"),
        ("zk://zk1/a?session_timeout=soon", "soon"),
        ("zk://zk1/a?color=blue", "color"),
        ("zks://zk1/a", "TLS"),
        ("local:", "local:"),
        ("local:a/b", "a/b"),
    ],
)
def test_a_malformed_where_names_the_bad_part(where: str, shown: str) -> None:
    with pytest.raises(ValueError, match=".") as raised:
        Elector(where)
    assert shown in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"stop_grace": 4.0, "session_timeout": 10.0}, ("4 s", "10 s")),
        ({"session_timeout": 0}, ("session_timeout",)),
        ({"session_timeout": float("nan")}, ("session_timeout",)),
        ({"tick": 3.0, "session_timeout": 4.0}, ("4 s", "3 s")),
        ({"takeover_delay": -1}, ("takeover_delay",)),
        ({"connect_timeout": 0}, ("connect_timeout",)),
        ({"identity": ""}, ("identity",)),
        ({"layout": "curator"}, ("layout", "curator")),
        ({"on_failure": "ignore"}, ("on_failure",)),
        ({"lease": "none"}, ("lease",)),
        ({"token_floor": -1}, ("token_floor",)),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, object], shown: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=".") as raised:
        Elector("local:x", **options)  # type: ignore[arg-type]
    for part in shown:
        assert part in str(raised.value)


def test_a_shared_session_takes_no_path_and_no_local() -> None:
    for where in ("local:x", "zk://zk1/a"):
        with pytest.raises(ValueError, match="without a path"):
            Session(where)


@pytest.fixture
def rubbish() -> Iterator[str]:
    """A server that answers whatever comes with rubbish."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1024)
                connection.sendall(b"\x00\x00\x00\x05abcde" * 3)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


async def test_no_server_is_said_within_the_bound_and_leaves_nothing(rubbish: str) -> None:
    with socket.socket() as closed, closing(socket.create_server(("127.0.0.1", 0))) as hole:
        closed.bind(("127.0.0.1", 0))
        refused = f"127.0.0.1:{closed.getsockname()[1]}"
        silent = f"127.0.0.1:{hole.getsockname()[1]}"
        servers = f"{refused},{silent},{rubbish},nowhere.invalid:2181"
        begun = time.monotonic()
        async with no_leaks():
            with pytest.raises(Unavailable) as raised:
                async with Elector(f"zk://user:s3cret@{servers}/a", connect_timeout=2.0):
                    pytest.fail("connected")
        assert time.monotonic() - begun < 2.5
        message = str(raised.value)
        for server in servers.split(","):
            assert server in message
        assert "refused" in message
        assert "s3cret" not in message
        assert "\n" not in message


async def test_the_process_is_usable_afterwards(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.hold()
        elector = Elector(f"zk://{proxy.address}/bad-input", connect_timeout=0.5)
        with pytest.raises(Unavailable):
            await elector.__aenter__()
        proxy.heal()
        async with asyncio.timeout(10), elector, elector.campaign():
            pass


async def test_connect_timeout_inf_starts_anyway_and_waits(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.refuse()
        async with asyncio.timeout(20), Elector(f"zk://{proxy.address}/inf", connect_timeout=float("inf")) as elector:
            assert elector.session is not None
            assert elector.session.state == "connecting"
            assert elector.session.server is None
            campaign = asyncio.create_task(elector.lead(lambda term: asyncio.sleep(0, term.token)))
            await asyncio.sleep(0.3)
            proxy.heal()
            assert await campaign > 0


def test_a_floor_that_leaves_zookeepers_tokens_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match=f"token_floor: at most {2**62 - 1}"):
        Elector("zk://zk1/x", token_floor=2**62)
    assert Elector("zk://zk1/x", token_floor=2**62 - 1)
