"""Watches across lost connections: they fire when something happened, once, and not when nothing did."""

import asyncio
import struct

import pytest
from livesession import BOUND, Fake, fake, living, new_path, session_on, usable
from rawzk import Raw

from aioha.session import SessionState, ZooKeeperSession
from aioha.testing import Ensemble, Op, Proxy
from aioha.wire import requests
from aioha.wire.errors import NoNode
from aioha.wire.watches import SESSION_OVER, Watches, WatchKind

pytestmark = pytest.mark.anyio

CREATED, DELETED, CHANGED, CHILDREN = 1, 2, 3, 4
NEVER = 0.3  # seconds in which what must not happen does not; a beat of the wire takes milliseconds


class Told:
    """The events that one watch got."""

    def __init__(self) -> None:
        self.events: list[tuple[int, str]] = []
        self._some = asyncio.Event()

    def __call__(self, event: int, path: str) -> None:
        self.events.append((event, path))
        self._some.set()

    async def some(self) -> list[tuple[int, str]]:
        await asyncio.wait_for(self._some.wait(), BOUND)
        return self.events


async def watch_all(session: ZooKeeperSession, path: str) -> dict[str, Told]:
    """Every kind of watch, each on a node of its own: what must exist is made first."""
    for name in ("", "/deleted", "/data", "/children"):
        await session.send(requests.create(path + name, b""))
    told = {name: Told() for name in ("deleted", "data", "children", "exist")}
    await session.exists(f"{path}/deleted", told["deleted"])
    await session.watching(requests.get(f"{path}/data", watch=True), told["data"])
    await session.watching(requests.children(f"{path}/children", watch=True), told["children"])
    with pytest.raises(NoNode):
        await session.exists(f"{path}/exist", told["exist"])
    return told


async def make_events(session: ZooKeeperSession, path: str) -> None:
    await session.send(requests.delete(f"{path}/deleted"))
    await session.send(requests.set_data(f"{path}/data", b"new"))
    await session.send(requests.create(f"{path}/children/child", b""))
    await session.send(requests.create(f"{path}/exist", b""))


def expected(path: str) -> dict[str, list[tuple[int, str]]]:
    return {
        "deleted": [(DELETED, f"{path}/deleted")],
        "data": [(CHANGED, f"{path}/data")],
        "children": [(CHILDREN, f"{path}/children")],
        "exist": [(CREATED, f"{path}/exist")],
    }


@pytest.mark.parametrize("fault", ["cut", "refuse", "truncate"])
async def test_no_watch_fires_falsely_after_a_reconnect_and_each_fires_once_later(zookeeper: Ensemble, fault: str) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard), living(zookeeper.connect_string) as (other, _):
            path = new_path()
            told = await watch_all(session, path)
            for _ in range(2):  # the second reconnect must count from where the first one did
                lost = asyncio.get_running_loop().time()
                _break(proxy, fault)
                await heard.until(SessionState.SUSPENDED, after=lost)
                proxy.heal()
                await heard.until(SessionState.CONNECTED, after=lost)
                await usable(session)
            await asyncio.sleep(NEVER)
            assert {name: each.events for name, each in told.items()} == {name: [] for name in told}
            await make_events(other, path)
            for each in told.values():
                await each.some()
            await make_more(other, path)
            await asyncio.sleep(NEVER)
            assert {name: each.events for name, each in told.items()} == expected(path)


async def test_what_happened_while_we_were_away_is_told_once_after_the_reconnect(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard), living(zookeeper.connect_string) as (other, _):
            path = new_path()
            told = await watch_all(session, path)
            proxy.refuse()
            await heard.until(SessionState.SUSPENDED)
            await make_events(other, path)
            assert all(each.events == [] for each in told.values())
            proxy.heal()
            for each in told.values():
                await each.some()
            await make_more(other, path)
            await asyncio.sleep(NEVER)
            assert {name: each.events for name, each in told.items()} == expected(path)


async def make_more(session: ZooKeeperSession, path: str) -> None:
    """What a watch that is spent must not tell."""
    await session.send(requests.create(f"{path}/deleted", b""))
    await session.send(requests.set_data(f"{path}/data", b"newer"))
    await session.send(requests.create(f"{path}/children/another", b""))
    await session.send(requests.delete(f"{path}/exist"))


def _break(proxy: Proxy, fault: str) -> None:
    if fault == "truncate":
        proxy.truncate_next(9)  # of the next heartbeat's answer: end of stream within a frame
    else:
        getattr(proxy, fault)()


async def test_a_link_lost_while_set_watches_is_awaited_is_no_more_than_that(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address) as (session, heard), living(zookeeper.connect_string) as (other, _):
            path = new_path()
            told = await watch_all(session, path)
            before = session.id
            proxy.drop_reply(Op.SET_WATCHES)
            cut = asyncio.get_running_loop().time()
            proxy.cut()
            again = await usable(session) - cut
            print(f"link lost while SetWatches was awaited: usable {again * 1000:.0f} ms after the first cut")
            assert proxy.dropped == 1
            assert proxy.requests[Op.SET_WATCHES] == 2
            assert again < 1.0
            assert session.id == before
            assert heard.states.count(SessionState.SUSPENDED) == 2
            await make_events(other, path)
            for each in told.values():
                await each.some()
            assert {name: each.events for name, each in told.items()} == expected(path)


async def test_what_happened_is_told_even_if_the_link_is_lost_between_two_parts_of_set_watches() -> None:
    """The reply to the first part shows a newer zxid than the rest of the watches have been counted from."""
    asked_from: list[int] = []

    async def script(server: Fake) -> None:
        await server.greet()
        while True:
            body = await server.request()
            xid, operation = struct.unpack_from(">ii", body)
            zxid = 100 + len(asked_from)
            if operation == Op.SET_WATCHES:
                asked_from.append(struct.unpack_from(">q", body, 8)[0])
                if len(asked_from) == 2:
                    return  # the first part was answered, the second will not be
            server.say(struct.pack(">iqi", xid, zxid, 0) + bytes(80))  # room for a Stat
            if operation == Op.GET_DATA:
                return

    async with fake(script) as address:
        session = session_on(address)
        for number in range(300):  # two parts' worth, as if earlier replies had armed them
            session._watches.armed(WatchKind.DATA, f"/{number:03}" + "x" * 800, lambda event, path: None)
        task = asyncio.create_task(session.run())
        async with asyncio.timeout(BOUND):
            while len(asked_from) < 4:
                await asyncio.sleep(0.01)
        await session.close()
        await task
    assert asked_from[:2] == [0, 0]
    assert asked_from[2:4] == [0, 0], "changes before zxid 101 would never be told to the second part"


async def test_twenty_thousand_watches_are_set_again_in_requests_that_servers_accept(zookeeper: Ensemble) -> None:
    count, parent = 20_000, new_path()
    padding = "p" * 150
    told: list[tuple[int, str]] = []
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with living(proxy.address, 10.0) as (session, heard), living(zookeeper.connect_string) as (other, _):
            await session.send(requests.create(parent, b""))
            paths = [f"{parent}/{number:05}-{padding}" for number in range(count)]
            replies = [session.exists(path, lambda event, path: told.append((event, path))) for path in paths]
            await asyncio.wait_for(asyncio.wait(replies), 30)
            assert all(isinstance(reply.exception(), NoNode) for reply in replies)
            cut = asyncio.get_running_loop().time()
            proxy.cut()
            await heard.until(SessionState.SUSPENDED, after=cut)
            again = await usable(session) - cut
            print(f"{count} watches set again in {proxy.requests[Op.SET_WATCHES]} requests: usable after {again:.2f} s")
            sizes = [len(part.serialize(-8)) for part in session._watches.requests(session.zxid)]
            assert sum(sizes) > 3_000_000
            assert max(sizes) < 500_000
            assert heard.states.count(SessionState.SUSPENDED) == 1
            for path in (paths[0], paths[count // 2], paths[-1]):
                await other.send(requests.create(path, b""))
            async with asyncio.timeout(BOUND):
                while len(told) < 3:
                    await asyncio.sleep(0.01)
            assert told == [(CREATED, paths[0]), (CREATED, paths[count // 2]), (CREATED, paths[-1])]


async def test_the_end_of_the_session_is_told_to_every_watch(zookeeper: Ensemble) -> None:
    async with living(zookeeper.connect_string) as (session, _):
        path = new_path()
        told = await watch_all(session, path)
        await session.close()
        for name, each in told.items():
            assert each.events == [(SESSION_OVER, f"{path}/{name}")]


async def test_a_forgotten_watch_is_not_set_again_and_tells_nobody(zookeeper: Ensemble) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy, Raw(zookeeper.servers[0].address) as other:
        async with living(proxy.address) as (session, _):
            told, path = Told(), new_path()
            with pytest.raises(NoNode):
                await session.exists(path, told)
            session.forget(told)
            assert len(session._watches) == 0
            other.create(path)
            await usable(session)
            assert told.events == []


def test_one_watch_per_listener_and_path_however_often_it_was_asked_for() -> None:
    watches, told = Watches(), Told()
    for _ in range(3):
        watches.armed(WatchKind.DATA, "/a", told)
    watches.fired(CHANGED, "/a")
    watches.fired(CHANGED, "/a")
    assert told.events == [(CHANGED, "/a")]
