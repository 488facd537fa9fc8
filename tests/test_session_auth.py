"""Digest authentication: said again on every connection, and no answer to it mistaken for a sign of life."""

import asyncio
import base64
import hashlib

import pytest
from aiozk import ACL, protocol
from livesession import BOUND, Fake, fake, living, new_path, session_on, usable

from aioha.errors import SessionFailed
from aioha.session import SessionState
from aioha.testing import Ensemble, Op, Proxy
from aioha.wire import requests
from aioha.wire.errors import NoAuth

pytestmark = pytest.mark.anyio

AUTH_FAILED = -115


def owned_by(user: str, password: str) -> list[ACL]:
    digest = base64.b64encode(hashlib.sha1(f"{user}:{password}".encode()).digest()).decode()  # noqa: S324 - ZooKeeper's own
    return [ACL.make("digest", f"{user}:{digest}", read=True, write=True, create=True, delete=True, admin=True)]


async def test_credentials_are_sent_again_at_every_attach(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address, credentials=("ada", "s3cret")) as (session, heard):
            path = new_path()
            await session.send(requests.create(path, b"private", acl=owned_by("ada", "s3cret")))
            for attach in range(2, 5):
                cut = asyncio.get_running_loop().time()
                proxy.cut()
                await heard.until(SessionState.SUSPENDED, after=cut)
                async with asyncio.timeout(BOUND):
                    await session.attached()
                assert (await session.send(requests.get(path))).data == b"private"
                assert proxy.requests[Op.AUTH] == attach


@pytest.mark.parametrize("credentials", [None, ("ada", "wrong"), ("eve", "s3cret")])
async def test_without_the_right_credentials_a_protected_node_stays_closed(
    zookeeper: Ensemble, credentials: tuple[str, str] | None
) -> None:
    async with (
        living(zookeeper.connect_string, credentials=("ada", "s3cret")) as (owner, _),
        living(zookeeper.connect_string, credentials=credentials) as (session, heard),
    ):
        path = new_path()
        await owner.send(requests.create(path, b"private", acl=owned_by("ada", "s3cret")))
        with pytest.raises(NoAuth):
            await session.send(requests.get(path))
        assert heard.states == [SessionState.CONNECTED]  # a refusal is an answer


async def test_the_session_is_not_attached_before_the_server_has_taken_the_credentials(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        proxy.drop_reply(Op.AUTH)
        async with living(proxy.address, credentials=("ada", "s3cret")) as (session, heard):
            assert proxy.dropped == 1
            assert proxy.requests[Op.AUTH] == 2
            assert heard.states == [SessionState.CONNECTED]
            await usable(session)


async def test_refused_credentials_fail_the_session_and_the_password_is_not_told() -> None:
    async def script(server: Fake) -> None:
        await server.greet()
        await server.answer(AUTH_FAILED)

    async with fake(script) as address:
        session = session_on(address, credentials=("ada", "s3cret"))
        await asyncio.wait_for(session.run(), BOUND)
        assert session.state is SessionState.FAILED
        assert session.why == f"{address} refused digest authentication for user 'ada'"
        assert issubclass(SessionFailed, Exception)


async def test_the_answer_to_authentication_does_not_prolong_the_lease() -> None:
    """Servers answer it without touching the session (`processPacket` leaves before `submitRequest`)."""

    async def script(server: Fake) -> None:
        await server.greet()
        await asyncio.sleep(0.05)
        assert await server.answer() == protocol.AuthRequest.opcode
        await server.reader.read()

    async with fake(script) as address:
        session = session_on(address, credentials=("ada", "s3cret"))
        task = asyncio.create_task(session.run())
        async with asyncio.timeout(BOUND):
            await session.attached()
        assert list(session.lease._acks) == []
        session.fail("enough")
        await asyncio.wait_for(task, BOUND)
