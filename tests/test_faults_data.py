"""People and programs that lay hands on an election's nodes and sessions while it is held."""

import asyncio
import base64
import contextlib
import hashlib
import struct
import uuid
from typing import Any

import pytest
from kazoo.exceptions import NoNodeError
from kazoo.security import make_acl
from livesession import Stranger
from operator_client import operator
from turns import BOUND, Turns

from aioha import Elector, SessionFailed
from aioha.testing import Ensemble

pytestmark = pytest.mark.anyio


@pytest.fixture
def path() -> str:
    return f"/data/{uuid.uuid4().hex}"


def take(address: str, session: Any) -> None:
    """Attach to somebody else's session; again, should its owner be quicker to take it back than we hear of it."""
    for _ in range(100):
        with Stranger(address, session, wait=False) as stranger, contextlib.suppress(EOFError, OSError):
            _, _, taken = struct.unpack_from(">iiq", stranger.receive())
            assert taken == session.id
            return
    pytest.fail("it could not be taken")


async def test_the_session_is_taken_by_another_connection(ensemble: Ensemble, path: str) -> None:
    """As often as it likes: the leader takes its session back, and its term goes on."""
    turns = Turns()
    async with (
        asyncio.timeout(BOUND),
        Elector(ensemble.where(path), turns.work("a"), session_timeout=20.0) as a,
        Elector(ensemble.where(path), session_timeout=20.0) as other,
    ):
        await turns.begun(1)
        for server in ensemble.servers:
            sessions: Any = a.election.session
            await asyncio.to_thread(take, server.address, sessions.current)
            leader = await other.leader()
            assert leader is not None
            assert leader.token == turns.turns[0].token
        term = turns.turns[0]
        assert a.is_leading
        await a.resign()
        await turns.over(term)
    turns.assert_one_at_a_time()


def delete_all(servers: str, path: str) -> None:
    """At once, so that no candidate makes one of them anew meanwhile."""

    def below(client: Any, node: str) -> list[str]:
        return [each for child in client.get_children(node) for each in below(client, f"{node}/{child}")] + [node]

    with operator(servers) as client:
        while client.exists(path):
            with contextlib.suppress(NoNodeError):
                transaction = client.transaction()
                for node in below(client, path):
                    transaction.delete(node)
                transaction.commit()


async def test_the_parent_is_deleted_with_all_below_it(zookeeper: Ensemble, path: str) -> None:
    """Under a leader and a standby, twice: somebody leads again, on nodes made anew."""
    turns, where = Turns(), zookeeper.where(f"{path}/deep/election")
    async with (
        asyncio.timeout(BOUND),
        Elector(where, turns.work("a"), session_timeout=4.0),
        Elector(where, turns.work("b"), session_timeout=4.0),
    ):
        for number in (1, 2):
            turn = await turns.begun(number)
            await asyncio.to_thread(delete_all, zookeeper.connect_string, path)
            await turns.over(turn)
        await turns.begun(3)
    turns.assert_one_at_a_time()


async def change_acl(servers: str, path: str, acl: Any) -> None:
    """Of all that the election keeps beside its path."""
    with operator(servers) as client:
        for node in (f"{path}.aioha", f"{path}.aioha/ended", f"{path}.aioha/seat"):
            with contextlib.suppress(NoNodeError):
                await asyncio.to_thread(client.set_acls, node, [acl])


async def test_the_acl_forbids_to_write(zookeeper: Ensemble, path: str) -> None:
    """The term goes on. At its end nothing can be cleared up, which is said; the next one does without a record."""
    turns, where = Turns(), zookeeper.where(path)
    async with asyncio.timeout(BOUND), Elector(where, session_timeout=6.0) as a:
        leading = asyncio.create_task(a.lead(turns.work("a")))
        await turns.begun(1)
        async with Elector(where, turns.work("b"), session_timeout=6.0):
            await change_acl(zookeeper.connect_string, path, make_acl("world", "anyone", read=True))
            await asyncio.sleep(1.0)  # at least one heartbeat
            assert turns.who == ["a"]
            await a.resign()
            with pytest.raises(SessionFailed, match="no permission"):
                await leading
            await a.__aexit__(None, None, None)  # what it could not remove ends with its session
            await turns.begun(2)
    turns.assert_one_at_a_time()


async def test_the_acl_forbids_to_read(zookeeper: Ensemble, path: str) -> None:
    """Nothing proves a term any more: whoever leads stops, and all say what they lack."""
    turns, where = Turns(), zookeeper.where(path)

    async def candidate(who: str) -> None:
        async with Elector(where, identity=who, session_timeout=2.0) as elector:
            await elector.lead(turns.work(who))

    async with asyncio.timeout(BOUND):
        tasks = [asyncio.create_task(candidate(who)) for who in "ab"]
        await turns.begun(1)
        await change_acl(zookeeper.connect_string, path, make_acl("ip", "192.0.2.1", all=True))
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(error, SessionFailed)
            assert "no permission" in str(error)
    turns.assert_one_at_a_time()


async def test_a_stranger_writes_hostile_data(zookeeper: Ensemble, path: str) -> None:
    """It holds the leader's node, with data that hurts whoever trusts it; candidates read it, wait, and lead after it."""
    turns, where = Turns(), zookeeper.where(path)
    hostile = [b"\0" * 1000, b"\x1b]0;owned\x07\x1b[2J", b"[" * 100_000, b"\xff" * 900_000]
    hostile.append(b'{"identity":"me","token":9223372036854775807,"token_base":9223372036854775807,"number":-1}')
    with operator(zookeeper.connect_string) as client:
        for number, data in enumerate(hostile, 1):
            await asyncio.to_thread(client.create, path, data, ephemeral=True, makepath=True)
            for beside in ("", "/ended", "/control", "/seat", "/line"):
                node = f"{path}.aioha{beside}"
                if await asyncio.to_thread(client.exists, node) is None:
                    await asyncio.to_thread(client.create, node, data)
                else:
                    await asyncio.to_thread(client.set, node, data)
            async with asyncio.timeout(BOUND), Elector(where, turns.work("a"), session_timeout=1.0) as elector:
                leader = await elector.leader()
                assert leader is not None
                assert leader.data == data.rstrip(b"\0")  # as the C++ scheme ends its own
                await asyncio.sleep(0.05)
                assert len(turns.turns) == number - 1
                await asyncio.to_thread(client.delete, f"{path}.aioha/seat")
                await asyncio.to_thread(client.delete, path)
                await turns.begun(number)
    turns.assert_one_at_a_time()


def digest(user: str, password: str) -> Any:
    secret = base64.b64encode(hashlib.sha1(f"{user}:{password}".encode()).digest()).decode()  # noqa: S324 - ZooKeeper's own
    return make_acl("digest", f"{user}:{secret}", all=True)


async def test_a_wrong_password(zookeeper: Ensemble, path: str) -> None:
    """It is said, without the password, when its turn has come; who has the right one leads."""
    turns = Turns()
    with operator(zookeeper.connect_string) as client:
        await asyncio.to_thread(client.create, path, b"", makepath=True, acl=[digest("ada", "s3cret")])
    where = zookeeper.where(f"{path}/election")

    async def intrude() -> None:
        async with Elector(where.replace("zk://", "zk://ada:wr0ng@")) as intruder, intruder.campaign():
            pytest.fail("elected")

    async with asyncio.timeout(BOUND):
        async with Elector(where.replace("zk://", "zk://ada:s3cret@"), turns.work("ada")):
            await turns.begun(1)
            intruding = asyncio.create_task(intrude())
            await asyncio.sleep(0.2)  # it stands by
        with pytest.raises(SessionFailed, match="no permission") as raised:
            await intruding
    assert "wr0ng" not in str(raised.value)
