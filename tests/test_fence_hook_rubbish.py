"""The fence hook where nodes hold rubbish, or may not be written: too much is fenced rather than too little."""

import asyncio
import logging

import pytest
from kazoo.security import make_acl
from oldterms import Hook, content, crash, lead_once, overwrite
from operator_client import operator
from stores import BOUND, Store, zookeeper_store
from test_interleavings_election import path_of, server_of

from aioha import SessionFailed
from aioha.testing import Ensemble

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
