"""The fence hook where nodes hold rubbish, or may not be written: too much is fenced rather than too little."""

import asyncio
import contextlib
import logging
from typing import Any

import pytest
from kazoo.security import make_acl
from oldterms import Hook, content, crash, lead_once, once, overwrite
from operator_client import operator
from stores import BOUND, Store, zookeeper_store
from test_interleavings_election import delete, path_of, server_of

from aioha import Elector, LeadershipLost, SessionFailed
from aioha.elections.zookeeper.bidding import Bidder
from aioha.testing import Ensemble, Op, Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(zookeeper: Ensemble) -> Store:
    return zookeeper_store(zookeeper)


async def test_an_unreadable_record_is_kept_aside_and_its_unknown_leader_fenced(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(BOUND):
        for rubbish in (b"\xff not json", b"{" * 70_000):
            before = await lead_once(store, identity="clean")
            await overwrite(store, "", rubbish)
            hook = Hook()
            term = await lead_once(store, hook, identity="next")
            assert term.token > before.token
            assert [(each.identity, each.ended_cleanly) for each in hook.given] == [("", False)]
            assert term.predecessor == hook.given[0]
            assert await content(store, "/unreadable") == rubbish[: 64 * 1024]
            await lead_once(store, hook, identity="and again")
            assert len(hook.given) == 1
    warnings = {record.getMessage() for record in caplog.records if record.levelno == logging.WARNING}
    assert all(f"keeps what stood there in {path_of(store)}.aioha/unreadable" in text for text in warnings)
    assert len(warnings) == 2


async def test_an_unreadable_record_is_newer_than_what_has_ended_where_tokens_were_lifted(store: Store) -> None:
    hook = Hook()
    async with asyncio.timeout(BOUND):
        before = await lead_once(store, token_floor=1 << 60)
        await overwrite(store, "", b"rubbish")
        term = await lead_once(store, hook)
    assert [each.identity for each in hook.given] == [""]
    assert before.token < hook.given[0].token < term.token


async def test_rubbish_in_what_has_ended_fences_too_much_rather_than_too_little(store: Store) -> None:
    hook = Hook()
    async with asyncio.timeout(BOUND):
        await lead_once(store, identity="clean")
        await overwrite(store, "/ended", b"rubbish")
        await lead_once(store, hook)
        await lead_once(store, hook)
    assert hook.whom == ["clean"]


async def test_without_permission_for_the_record_a_hook_is_not_done_without(store: Store) -> None:
    with operator(server_of(store)) as client:
        readers = [make_acl("world", "anyone", read=True)]
        await asyncio.to_thread(client.create, f"{path_of(store)}.aioha", b"", makepath=True, acl=readers)
    with pytest.raises(SessionFailed, match=r"no permission .*\.aioha .* fence= needs"):
        async with asyncio.timeout(BOUND), store.elector(fence=Hook()) as elector, elector.campaign():
            pytest.fail("elected")
    with operator(server_of(store)) as client:
        assert await asyncio.to_thread(client.exists, path_of(store)) is None


async def test_without_permission_for_what_has_ended_the_hook_is_refused(store: Store) -> None:
    await crash(store, "dead")
    with operator(server_of(store)) as client:
        readers = [make_acl("world", "anyone", read=True)]
        await asyncio.to_thread(client.set_acls, f"{path_of(store)}.aioha/ended", readers)
    with pytest.raises(SessionFailed, match=r"no permission for .*\.aioha/ended"):
        async with asyncio.timeout(BOUND), store.elector(fence=Hook()) as elector, elector.campaign():
            pytest.fail("worked")


async def test_a_mark_that_is_ahead_of_all_terms_is_not_believed(store: Store) -> None:
    """It can be read, and no term has borne that token: by it, nobody would ever have to be fenced."""
    hook = Hook()
    async with asyncio.timeout(BOUND):
        dead = await crash(store, "dead")
        await overwrite(store, "/ended", b"%d" % (dead + 10**6))
        term = await lead_once(store, hook)
        assert hook.whom == ["dead"]
        assert term.token > dead + 10**6
        await lead_once(store, hook)
    assert hook.whom == ["dead"]


@pytest.mark.parametrize("mark", [2**62, 2**63 - 1, 2**63])
async def test_tokens_stay_within_63_bits_whatever_has_ended(store: Store, mark: int) -> None:
    async with asyncio.timeout(BOUND):
        await lead_once(store)
        await overwrite(store, "/ended", b"%d" % mark)
        terms = [await lead_once(store) for _ in range(3)]
    tokens = [term.token for term in terms]
    assert tokens == sorted(set(tokens))
    assert tokens[-1] < 2**63
    assert terms[-1].number == 4  # and the record could be read each time


async def test_tokens_rise_although_nobody_knows_how_far_they_were_lifted(store: Store) -> None:
    async with asyncio.timeout(BOUND):
        first = await lead_once(store, token_floor=1 << 40)
        for _ in range(20):  # zxids go on
            await overwrite(store, "/ended", b"%d" % first.token)
        dead = await crash(store, "dead")
        await overwrite(store, "", b"rubbish")
        term = await lead_once(store)
    assert first.token < dead < term.token


async def test_who_has_deleted_what_has_ended_costs_one_wait_and_no_more(store: Store) -> None:
    ends: list[bool] = []
    async with asyncio.timeout(BOUND):
        await lead_once(store)
        await delete(store, f"{path_of(store)}.aioha/ended")
        for _ in range(3):
            term = await lead_once(store, stop_grace=0.05)
            assert term.predecessor is not None
            ends.append(term.predecessor.ended_cleanly)
    assert ends == [False, True, True]


async def test_who_may_not_write_what_has_ended_leaves_all_the_same(store: Store) -> None:
    async with asyncio.timeout(BOUND), store.elector() as elector:
        await lead_once(store)
        with operator(server_of(store)) as client:
            readers = [make_acl("world", "anyone", read=True)]
            await asyncio.to_thread(client.set_acls, f"{path_of(store)}.aioha/ended", readers)
        await once(elector)
        assert await elector.leader() is None
        assert not (await lead_once(store, stop_grace=0.05)).predecessor.ended_cleanly  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [100_000, 1_000_000])
async def test_a_record_that_is_too_large_stops_nobody(store: Store, size: int) -> None:
    """Servers hang up on who sends more than 1 MiB: what was kept of a stranger's fields would be sent for ever."""
    async with asyncio.timeout(BOUND):
        await lead_once(store)
        await overwrite(store, "", b'{"number": 1, "x": "%s"}' % (b"x" * size))
        await lead_once(store, stop_grace=0.05, data=bytes(400 * 1024))
        assert len(await content(store, "")) < 128 * 1024


async def test_a_record_that_nobody_can_read_when_the_reply_is_lost_gives_no_wrong_token(store: Store) -> None:
    """What the takeover wrote is known; what stands there by now is anybody's."""
    with Proxy(server_of(store)) as proxy:
        async with asyncio.timeout(BOUND), Elector(f"zk://{proxy.address}{path_of(store)}", token_floor=1 << 40) as elector:
            proxy.drop_reply(Op.MULTI)
            learning, tokens = asyncio.Event(), list[int]()
            original = Bidder.learn_outcome

            async def spoilt(self: Any, attention: Any) -> Any:
                if not learning.is_set():
                    learning.set()
                    await overwrite(store, "", b"rubbish")
                return await original(self, attention)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Bidder, "learn_outcome", spoilt)
                with contextlib.suppress(LeadershipLost):
                    async with elector.campaign() as term:
                        tokens.append(term.token)
                        await asyncio.sleep(BOUND)
    assert learning.is_set()
    assert tokens[0] > 1 << 40
