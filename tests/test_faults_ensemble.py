"""Real servers that restart, fill their disks, lose their memory or serve no more connections, under an election."""

import asyncio
import contextlib
import functools
import itertools
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from kazoo.exceptions import KazooException
from machine import need
from operator_client import operator
from stores import stands_ready, until
from turns import BOUND, Turns

from aioha import Elector, Unavailable
from aioha.testing import Ensemble, Server
from aioha.testing.fixtures import require
from aioha.testing.java import missing

pytestmark = pytest.mark.anyio


def path() -> str:
    return f"/servers/{uuid.uuid4().hex}"


async def test_all_servers_are_restarted_in_turn(ensemble: Ensemble) -> None:
    """Each when the one before serves again, as an upgrade does it: the term goes on."""
    turns, where = Turns(), ensemble.where(path())
    async with Elector(where, turns.work("a"), session_timeout=20.0), asyncio.timeout(BOUND):
        await turns.begun(1)
        async with Elector(where, turns.work("b"), session_timeout=20.0):
            for server in ensemble.servers:
                server.kill()
                server.start()
                await ensemble.ready()
            assert turns.who == ["a"]
            await asyncio.sleep(0.5)
        assert turns.who == ["a"]


# ---------------------------------------------------------------------- data set back


def data_of(server: Server) -> Path:
    return server._home / "data"


def bring_back(server: Server, copy: Path) -> None:
    server.kill()
    shutil.rmtree(data_of(server))
    shutil.copytree(copy, data_of(server))
    server.start()


@contextlib.asynccontextmanager
async def backup(place: Path) -> AsyncIterator[tuple[Ensemble, str, Callable[[], None]]]:
    """A server and an election on it, and what sets its data back to a copy from which some terms are missing."""
    async with Ensemble() as ensemble, asyncio.timeout(BOUND):
        where, [server] = ensemble.where(path()), ensemble.servers
        async with Elector(where) as elector, elector.campaign():
            pass
        await asyncio.to_thread(shutil.copytree, data_of(server), place)
        with operator(ensemble.connect_string) as client:
            for number in range(20):
                await asyncio.to_thread(client.create, f"/number-{number}")
        yield ensemble, where, functools.partial(bring_back, server, place)


async def test_the_data_is_set_back_under_a_standby(tmp_path: Path) -> None:
    """The leader that it knew is gone with that data: what the standby has seen of its term must do."""
    async with backup(tmp_path / "copy") as (ensemble, where, back), contextlib.AsyncExitStack() as stack:
        turns = Turns()
        await stack.enter_async_context(Elector(where, turns.work("a"), session_timeout=2.0))
        await turns.begun(1)
        async with Elector(where, turns.work("b"), session_timeout=2.0) as standby:
            await until(lambda: stands_ready(standby))
            ensemble.servers[0].kill()
            leaving = asyncio.create_task(stack.aclose())
            await turns.over(turns.turns[0])
            await asyncio.to_thread(back)
            await turns.begun(2)
            await leaving
        turns.assert_one_at_a_time()


# ---------------------------------------------------------------------- no room


@pytest.fixture
def one_tiny_disk(tmp_path: Path) -> Iterator[tuple[Ensemble, Path]]:
    """Three servers, the second of which has a disk of its own with room for little."""
    require((hint := missing()) is None, hint or "")
    data = tmp_path / "2" / "data"
    data.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(data)]
    need(shutil.which("mount") and subprocess.run(mount, check=False).returncode == 0, "this test needs mount (tmpfs)")
    try:
        ensemble = Ensemble(3, directory=tmp_path)
        try:
            ensemble.start()
            yield ensemble, data
        finally:
            ensemble.stop()
    finally:
        subprocess.run(["umount", "-l", str(data)], check=True)


@pytest.mark.root
async def test_the_disk_of_a_server_is_full(one_tiny_disk: tuple[Ensemble, Path]) -> None:
    """It can write nothing down any more and ends; its candidate goes on at another one, and it comes back with room."""
    ensemble, disk = one_tiny_disk
    server, place, turns = ensemble.servers[1], path(), Turns()
    others = ",".join(each.address for each in ensemble.servers if each is not server)
    async with asyncio.timeout(BOUND), Elector(ensemble.where(place), turns.work("a"), session_timeout=6.0) as a:
        await turns.begun(1)
        async with Elector(f"zk://{others}{place}", turns.work("b"), session_timeout=6.0) as b:
            with contextlib.suppress(OSError), open(disk / "ballast", "wb", buffering=0) as ballast:
                while True:
                    ballast.write(b"x" * 4096)
            with operator(others) as client:  # so that something is to be written
                for number in itertools.count():
                    with contextlib.suppress(KazooException):  # the full one may have led the others
                        await asyncio.to_thread(client.create, f"{place}-{number}", b"x" * 200_000)
                    if await asyncio.to_thread(server.mode) is None:
                        break
            (disk / "ballast").unlink()
            server.kill()
            server.start()
            await asyncio.to_thread(server.wait_ready)
            for elector, other in ((a, "b"), (b, "a")):
                while turns.who[-1] != other:
                    number = len(turns.turns)
                    await elector.resign()
                    await turns.begun(number + 1)
    turns.assert_one_at_a_time()


# ---------------------------------------------------------------------- no connections


async def test_servers_that_take_no_more_connections() -> None:
    """Two per host are served. The third candidate waits, says why, and takes part when one of them has gone."""
    async with Ensemble(extra=["maxClientCnxns=2"]) as ensemble, asyncio.timeout(BOUND):
        turns, where = Turns(), ensemble.where(path())
        async with contextlib.AsyncExitStack() as first, contextlib.AsyncExitStack() as second:
            await first.enter_async_context(Elector(where, turns.work("a"), session_timeout=2.0))
            await turns.begun(1)
            await second.enter_async_context(Elector(where, turns.work("b"), session_timeout=2.0))
            with pytest.raises(Unavailable, match="connection (closed by the server|lost)"):
                async with Elector(where, connect_timeout=0.5):
                    pytest.fail("connected")
            async with Elector(where, turns.work("c"), session_timeout=2.0, connect_timeout=float("inf")):
                await first.aclose()
                await turns.begun(2)
                await second.aclose()
                while turns.who[-1] != "c":
                    await turns.begun(len(turns.turns) + 1)
        turns.assert_one_at_a_time()
