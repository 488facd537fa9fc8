"""The fence hook on real servers: terms lost while it runs, and what stands in the nodes."""

import asyncio
import json
from typing import Any

import pytest
from oldterms import Hook, content, crash, lead_once, once, overwrite, win_and
from operator_client import operator
from stores import BOUND, Store, stands_ready, until, zookeeper_store
from test_interleavings_election import close_session, path_of, server_of

from aioha import Elector, Session
from aioha.clock import boottime
from aioha.elections import Grant
from aioha.testing import Ensemble, Op, Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(zookeeper: Ensemble) -> Store:
    return zookeeper_store(zookeeper)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioha.threshold.FIRST_PAUSE", 0.01)


def far(store: Store, proxy: Proxy, hook: Any, **options: Any) -> Elector:
    """A candidate behind a link that the test can spoil."""
    return Elector(f"zk://{proxy.address}{path_of(store)}", fence=hook, **options)


# ---------------------------------------------------------------------- what stands in the nodes


async def test_what_is_to_be_fenced_is_kept_in_the_record_and_in_what_has_ended(store: Store) -> None:
    async with asyncio.timeout(BOUND):
        dead = await crash(store, "dead", data=b"\xff")
        term = await lead_once(store, identity="no hook")
        assert json.loads(await content(store, ""))["unfenced"] == [
            {"token": dead, "identity": "dead", "data_base64": "/w=="}
        ]
        assert await content(store, "/ended") == b"%d %d" % (term.token, dead)
        hook = Hook()
        term = await lead_once(store, hook, identity="hook")
        assert await content(store, "/ended") == b"%d" % term.token
        await lead_once(store, hook)
        assert "unfenced" not in json.loads(await content(store, ""))


async def test_the_mark_of_a_clean_end_is_known_in_advance(store: Store) -> None:
    """Our guardian writes the same when we are dead."""
    dead = await crash(store, "dead")
    marks: list[bytes] = []

    async def look(grant: Any) -> None:
        marks.append(grant.ended_mark)
        await grant.fenced(grant.unfenced[0])
        marks.append(grant.ended_mark)
        marks.append(await content(store, "/ended"))

    token = (await win_and(store, look)).token
    assert marks == [b"%d %d" % (token, dead), b"%d" % token, b"%d" % dead]


async def test_a_term_that_is_over_writes_nothing(store: Store) -> None:
    await crash(store, "dead")

    async def too_late(grant: Grant) -> None:
        before = await content(store, "/ended")
        await overwrite(store, "", b"{}")
        await grant.fenced(grant.unfenced[0])
        assert grant.ended is not None
        assert await content(store, "/ended") == before

    await win_and(store, too_late)


async def test_ended_is_made_anew_if_somebody_deleted_it_meanwhile(store: Store) -> None:
    dead, hook = await crash(store, "dead"), Hook(free=False)
    async with asyncio.timeout(BOUND), store.elector(fence=hook) as elector:
        task = asyncio.create_task(once(elector))
        await hook.called.wait()
        with operator(server_of(store)) as client:
            await asyncio.to_thread(client.delete, f"{path_of(store)}.aioha/ended")
        hook.free.set()
        term = await task
        assert hook.whom == ["dead"]
        assert await content(store, "/ended") == b"%d" % term.token
        assert term.token > dead


@pytest.mark.parametrize("deleted", [False, True])
async def test_the_reply_to_what_was_written_may_be_lost(store: Store, deleted: bool) -> None:
    await crash(store, "dead")
    next_hook = Hook()
    with Proxy(server_of(store)) as proxy:

        async def fence(predecessor: Any) -> None:
            if deleted:
                with operator(server_of(store)) as client:
                    await asyncio.to_thread(client.delete, f"{path_of(store)}.aioha/ended")
            proxy.drop_reply(Op.MULTI)

        async with asyncio.timeout(BOUND), far(store, proxy, fence, session_timeout=4.0) as elector:
            await once(elector)
            assert proxy.dropped == 1
        await lead_once(store, next_hook)
    assert not next_hook.given


# ---------------------------------------------------------------------- terms that are lost


async def test_a_term_lost_while_the_hook_runs_leaves_both_to_the_next_one(store: Store) -> None:
    await crash(store, "dead")
    hook, next_hook = Hook(free=False), Hook()
    async with asyncio.timeout(BOUND), store.elector(fence=hook, identity="us", stop_grace=0.05) as elector:
        task = asyncio.create_task(once(elector))
        await hook.called.wait()
        hook.called.clear()
        hook.cleanup = 0.3
        await asyncio.to_thread(close_session, store, elector)
        await hook.cancelled.wait()
        await lead_once(store, next_hook, identity="next")
        assert next_hook.whom == ["us", "dead"]
        hook.free.set()
        await task  # it has stood by again
        assert hook.whom == ["dead"]


async def test_the_lease_ends_the_hook_as_it_ends_work(store: Store) -> None:
    """It must not go on where another candidate may lead by now: it might fence that one's host."""
    await crash(store, "dead")
    hook, next_hook = Hook(free=False), Hook()
    hook.cleanup = 0.1
    with Proxy(server_of(store)) as proxy:
        async with (
            asyncio.timeout(BOUND),
            far(store, proxy, hook, identity="us", session_timeout=4.0, stop_grace=1.0) as elector,
            store.elector(fence=next_hook, identity="next") as other,
        ):
            task = asyncio.create_task(once(elector))
            await hook.called.wait()
            proxy.hold()
            next_hook.look = lambda: None if hook.ended.is_set() else pytest.fail("two fence")
            following = asyncio.create_task(once(other))
            await hook.cancelled.wait()
            session: Any = elector.session
            assert boottime() < session.current.lease.deadline  # told before it: the hook has `stop_grace` to end
            await following
            assert next_hook.whom == ["us", "dead"]
            hook.free.set()
            proxy.heal()
            await task
            assert hook.whom == ["dead"]


async def test_a_hook_that_goes_on_is_told_once_more_at_the_deadline_and_reported(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await crash(store, "dead")
    called, reported, told = asyncio.Event(), asyncio.Event(), list[float]()

    async def fence(predecessor: Any) -> None:
        called.set()
        while not reported.is_set():
            try:
                await reported.wait()
            except asyncio.CancelledError:
                told.append(boottime())

    with Proxy(server_of(store)) as proxy:
        async with (
            asyncio.timeout(BOUND),
            far(store, proxy, fence, session_timeout=1.6, stop_grace=0.4) as elector,
        ):
            task = asyncio.create_task(once(elector))
            await called.wait()
            proxy.hold()
            await until(lambda: len(told) == 2)
            session: Any = elector.session
            ended = session.current.lease.deadline
            await until(lambda: any("the fence hook of term 2 still runs" in each.getMessage() for each in caplog.records))
            reported.set()
            proxy.heal()
            await task
    assert ended - 0.4 <= told[0]
    assert ended <= told[1]


async def test_a_term_found_over_after_one_call_makes_no_other(store: Store) -> None:
    token_of_a = await crash(store, "a")
    await crash(store, "b")
    hook = Hook()

    async def fence(predecessor: Any) -> None:
        await hook(predecessor)
        if hook.whom == ["b"]:
            await overwrite(store, "", b"rubbish")

    async with asyncio.timeout(BOUND), store.elector(fence=fence) as elector:
        await once(elector)
    # Nobody knows who they were any more, but `ended` knows of a's term. It may know of b's as well: a heartbeat can find
    # the term over before the hook has returned from its call for b.
    assert hook.whom in (["b", "", ""], ["b", "", "", ""])
    assert hook.given[-1].token == token_of_a
    assert len(hook.whom) == 3 or hook.given[-2].token == hook.given[0].token


async def test_who_is_cancelled_when_it_has_just_won_is_not_fenced(store: Store) -> None:
    """It stood by, its bid won, and nobody had told it yet: it has not worked, and the next one waits for nothing."""
    hook = Hook()
    await lead_once(store, identity="clean")
    with Proxy(server_of(store)) as proxy:
        async with (
            asyncio.timeout(BOUND),
            far(store, proxy, None, identity="us", session_timeout=4.0) as elector,
            store.elector(identity="other") as other,
        ):
            proxy.delay(0.2)
            task = asyncio.create_task(once(elector))
            async for leader in other.observe():
                if leader is not None:
                    break
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        term = await lead_once(store, hook, identity="next")
    assert term.predecessor is not None
    assert (term.predecessor.identity, term.predecessor.ended_cleanly) == ("us", True)
    assert not hook.given


async def test_electors_that_share_a_session_have_hooks_too(store: Store) -> None:
    await crash(store, "dead")
    hook = Hook()
    async with (
        asyncio.timeout(BOUND),
        Session(f"zk://{server_of(store)}", session_timeout=4.0) as session,
        session.elector(path_of(store), fence=hook) as elector,
    ):
        await once(elector)
    assert hook.whom == ["dead"]


async def test_waiting_and_fencing_go_on_at_once(store: Store) -> None:
    await crash(store, "dead", stop_grace=0.6)
    hook, loop = Hook(free=False), asyncio.get_running_loop()
    async with asyncio.timeout(BOUND), store.elector(fence=hook) as elector:
        begun = loop.time()
        task = asyncio.create_task(once(elector))
        await hook.called.wait()
        assert loop.time() - begun < 0.5
        hook.free.set()
        await hook.ended.wait()
        await task
        assert loop.time() - begun >= 0.6  # the hook alone does not do: who has asked for it has other reasons to wait


async def test_a_term_that_others_took_over_when_the_view_was_made_is_not_fenced(store: Store) -> None:
    """b saw the election when a worked, and a ended cleanly before b's bid: the record lists a, and no hook gets it."""
    hook = Hook()
    async with asyncio.timeout(BOUND), store.elector(identity="a") as a, store.elector(fence=hook, identity="b") as b:
        async with a.campaign():
            standing_by = asyncio.create_task(once(b))
            await until(lambda: stands_ready(b))
        await standing_by
        assert [each["identity"] for each in json.loads(await content(store, ""))["unfenced"]] == ["a"]
        await lead_once(store, hook, identity="c")
    assert not hook.given
