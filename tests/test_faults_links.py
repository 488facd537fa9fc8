"""A leader behind a link that is slow, tears what it carries, or carries rubbish: it leads on, and hands over in order."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from turns import BOUND, Turns

from aioha import Elector, Standing
from aioha.testing import Ensemble, Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def link(zookeeper: Ensemble) -> Iterator[Proxy]:
    with Proxy(zookeeper.servers[0].address) as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def leading_behind(link: Proxy, zookeeper: Ensemble, timeout: float) -> AsyncIterator[Elector]:
    """The elector "far" leads behind that link, and resigns at the end in favour of "near". No term is lost."""
    turns, path = Turns(), f"/links/{uuid.uuid4().hex}"
    async with (
        asyncio.timeout(BOUND),
        Elector(f"zk://{link.address}{path}", turns.work("far"), session_timeout=timeout) as far,
    ):
        await turns.begun(1)
        async with Elector(zookeeper.where(path), turns.work("near"), session_timeout=timeout):
            yield far
            assert turns.who == ["far"]
            await far.resign()
            await turns.begun(2)
    turns.assert_one_at_a_time()


async def holds(elector: Elector, seconds: float) -> None:
    """The lease is proved anew all the time."""
    until = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < until:
        assert elector.is_leading
        await asyncio.sleep(0.05)


async def test_round_trips_of_a_tenth_to_a_whole_second(link: Proxy, zookeeper: Ensemble) -> None:
    async with leading_behind(link, zookeeper, 10.0) as far:
        link.delay(0.05, jitter=0.45)
        await holds(far, 1.5)
        link.heal()


async def test_320_bytes_per_second(link: Proxy, zookeeper: Ensemble) -> None:
    async with leading_behind(link, zookeeper, 10.0) as far:
        link.fragment(32, pause=0.1)
        await holds(far, 1.5)
        link.heal()


async def test_fragments_of_one_byte(link: Proxy, zookeeper: Ensemble) -> None:
    link.fragment(1, pause=0.0)
    async with leading_behind(link, zookeeper, 10.0) as far:
        await holds(far, 0.5)


async def doubted(elector: Elector) -> None:
    """It has noticed that its connection is gone, and has another one."""
    async with asyncio.timeout(BOUND):
        while elector.standing is not Standing.DOUBTFUL:
            await asyncio.sleep(0)
        while elector.standing is not Standing.LEADING:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("size", [2, 9])
async def test_a_frame_is_cut_in_the_middle(link: Proxy, zookeeper: Ensemble, size: int) -> None:
    async with leading_behind(link, zookeeper, 6.0) as far:
        link.truncate_next(size)
        await doubted(far)


@pytest.mark.parametrize(
    "noise",
    [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x04nope", b"HTTP/1.1 500 \r\n\r\n"],
    ids=["oversized", "negative", "malformed", "another protocol"],
)
async def test_the_server_says_rubbish(link: Proxy, zookeeper: Ensemble, noise: bytes) -> None:
    async with leading_behind(link, zookeeper, 10.0) as far:
        link.inject(noise)
        await doubted(far)
