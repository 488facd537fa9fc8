"""How a block ends when the world ends the term: the lease runs out behind a link that has fallen silent."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from stores import BOUND, Store, local_store, zookeeper_store

from aioha import Elector, LeadershipLost, Standing
from aioha.testing import Ensemble, Proxy, no_leaks

TIMEOUT, GRACE = 4.0, 1.0


@pytest.fixture
def link(zookeeper: Ensemble) -> Iterator[Proxy]:
    with Proxy(zookeeper.servers[0].address) as proxy:
        yield proxy


@pytest.fixture
async def elector(link: Proxy) -> AsyncIterator[Elector]:
    where = f"zk://{link.address}/losses/{uuid.uuid4().hex}"
    async with asyncio.timeout(BOUND), Elector(where, session_timeout=TIMEOUT, stop_grace=GRACE) as elector:
        yield elector
        link.heal()


async def test_the_lease_runs_out_and_the_message_says_how(link: Proxy, elector: Elector) -> None:
    with pytest.raises(
        LeadershipLost, match=r"^term 1 of /losses/\w+: no answer from the ensemble for \d\.\d s \(lease 3\.0 s\)$"
    ):
        async with elector.campaign():
            link.hold()
            try:
                await asyncio.sleep(BOUND)
            finally:
                assert elector.standing is Standing.RESIGNING
                assert not elector.is_leading


async def test_doubt_does_not_stop_the_work(link: Proxy, elector: Elector) -> None:
    async with elector.campaign() as term:
        link.refuse()
        while elector.standing is not Standing.DOUBTFUL:
            await asyncio.sleep(0.001)
        assert elector.is_leading
        term.check()
        link.heal()
        while elector.standing is not Standing.LEADING:
            await asyncio.sleep(0.01)


async def test_a_finally_that_awaits_half_of_stop_grace_finishes(link: Proxy, elector: Elector) -> None:
    finished = False
    with pytest.raises(LeadershipLost):
        async with elector.campaign():
            link.hold()
            try:
                await asyncio.sleep(BOUND)
            finally:
                await asyncio.sleep(GRACE / 2)
                finished = True
    assert finished


async def test_the_same_inside_code_that_uses_anyio(link: Proxy, elector: Elector) -> None:
    finished = False
    with pytest.raises(LeadershipLost):
        async with elector.campaign():
            link.hold()
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep, BOUND)
                    await anyio.sleep(BOUND)
            finally:
                await anyio.sleep(GRACE / 2)
                finished = True
    assert finished


async def test_work_that_goes_on_is_told_once_more_at_the_deadline(link: Proxy, elector: Elector) -> None:
    left_when_told = list[float]()
    with pytest.raises(LeadershipLost):
        async with elector.campaign() as term:
            link.hold()
            while len(left_when_told) < 2:
                try:
                    await asyncio.sleep(BOUND)
                except asyncio.CancelledError:
                    left_when_told.append(term.remaining)
    to_stop, at_the_deadline = left_when_told
    assert to_stop <= 0
    assert at_the_deadline <= -GRACE


async def test_cleanup_that_raises_wins_with_a_note(link: Proxy, elector: Elector) -> None:
    with pytest.raises(KeyError, match="mine") as raised:
        async with elector.campaign():
            link.hold()
            try:
                await asyncio.sleep(BOUND)
            finally:
                raise KeyError("mine")
    assert any("no answer from the ensemble" in note for note in raised.value.__notes__)


async def test_a_swallowed_loss_is_raised_at_the_exit(link: Proxy, elector: Elector) -> None:
    with pytest.raises(LeadershipLost):
        async with elector.campaign():
            link.hold()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(BOUND)


async def test_released_once_reachable_and_the_next_token_is_higher(link: Proxy, elector: Elector) -> None:
    tokens: list[int] = []
    with pytest.raises(LeadershipLost):
        async with elector.campaign() as first:
            tokens.append(first.token)
            link.hold()
            await asyncio.sleep(BOUND)
    link.heal()
    async with elector.campaign() as second:
        assert second.token > tokens[0]


@pytest.mark.parametrize("kind", ["local", "zookeeper"])
async def test_fifty_campaigns_leak_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    store: Store = local_store(tmp_path) if kind == "local" else zookeeper_store(request.getfixturevalue("zookeeper"))
    async with no_leaks(), store.elector() as elector:
        for _ in range(50):
            elector._yields = False  # nobody stands by
            async with elector.campaign() as term:
                term.check()
