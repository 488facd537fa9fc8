"""The fence hook, on every store: who is given to it, when, how often, and what becomes of the term if it fails."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest
from oldterms import Hook, crash, lead_once, once, win_and
from stores import BOUND, Store, local_store, until, zookeeper_store

from aioha import Elector, LeadershipResigned, Standing, Term
from aioha.elections import Grant
from aioha.testing import Ensemble, no_leaks

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["local", "zookeeper"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "local":
        return local_store(tmp_path)
    ensemble: Ensemble = request.getfixturevalue("zookeeper")
    return zookeeper_store(ensemble)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioha.threshold.FIRST_PAUSE", 0.01)


async def test_who_did_not_end_cleanly_is_fenced_before_the_work(store: Store) -> None:
    token = await crash(store, "dead", data=b"10.0.0.1")
    hook, seen = Hook(), list[Any]()
    async with asyncio.timeout(BOUND), store.elector(fence=hook, identity="new") as elector:
        hook.look = lambda: seen.extend((elector.standing, elector.is_leading))
        async with elector.campaign() as term:
            assert hook.ended.is_set()
            assert term.predecessor == hook.given[0]
    [given] = hook.given
    assert (given.identity, given.data, given.token, given.ended_cleanly) == ("dead", b"10.0.0.1", token, False)
    assert seen == [Standing.STANDBY, False]


async def test_who_was_fenced_or_ended_cleanly_is_not_fenced_again(store: Store) -> None:
    async with asyncio.timeout(BOUND), no_leaks():
        await crash(store, "dead")
        hook = Hook()
        for identity in ("a", "b"):
            await lead_once(store, hook, identity=identity)
        await lead_once(store, identity="no hook")
        await lead_once(store, hook, identity="c")
        assert hook.whom == ["dead"]


async def test_all_of_them_newest_first_whoever_led_in_between(store: Store) -> None:
    """Those who died without fencing, or while they were at it, included."""
    async with asyncio.timeout(BOUND):
        await crash(store, "first")
        await lead_once(store, identity="clean, without a hook")
        await crash(store, "second")
        await crash(store, "third")
        await lead_once(store, identity="clean again")
        hook = Hook()
        await lead_once(store, hook, identity="at last")
        assert hook.whom == ["third", "second", "first"]
        await lead_once(store, hook, identity="and again")
        assert len(hook.given) == 3


async def test_the_first_of_all_fences_nobody(store: Store) -> None:
    hook = Hook()
    async with asyncio.timeout(BOUND):
        assert (await lead_once(store, hook)).predecessor is None
    assert not hook.given


async def test_who_died_in_the_middle_is_fenced_and_what_it_had_done_is_known(store: Store) -> None:
    """It is written down after each call: b was fenced before c died."""
    for identity in ("a", "b"):
        await crash(store, identity)

    async def one(grant: Grant) -> None:
        assert [each.identity for each in grant.unfenced] == ["b", "a"]
        await grant.fenced(grant.unfenced[0])

    hook = Hook()
    async with asyncio.timeout(BOUND):
        await win_and(store, one, identity="c")
        await lead_once(store, hook, identity="d")
    assert hook.whom == ["c", "a"]


# ---------------------------------------------------------------------- failing


async def test_who_fails_resigns_and_another_fences_before_it_works(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await crash(store, "dead")
    bad, good = Hook(*(OSError("no route to the power switch") for _ in range(99))), Hook()
    async with (
        asyncio.timeout(BOUND),
        store.elector(fence=bad, identity="bad") as one,
        store.elector(fence=good, identity="good") as two,
    ):
        failing = asyncio.create_task(once(one))
        await bad.called.wait()
        term = await once(two)
        assert not failing.done()
        assert await asyncio.wait_for(failing, BOUND)  # nobody is left to be fenced
    assert good.whom == ["dead"]  # and none of the terms that never worked
    assert set(bad.whom) == {"dead"}
    assert term.predecessor is not None
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "no route to the power switch" in errors[0]
    assert "the next try in 0.01 s" in errors[1]


async def test_who_fails_is_not_followed_by_work_without_fencing(store: Store) -> None:
    """Neither its own: the next term begins with the same hook call."""
    await crash(store, "dead")
    hook = Hook(OSError("once"), OSError("twice"))
    async with asyncio.timeout(BOUND), store.elector(fence=hook, identity="us") as elector:
        await once(elector)
    assert hook.whom == ["dead"] * 3


async def test_failures_double_the_pause_and_a_success_resets_it(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aioha.threshold.LONGEST_PAUSE", 0.04)
    await crash(store, "dead")
    hook = Hook(*(OSError("no") for _ in range(5)))
    async with asyncio.timeout(BOUND), store.elector(fence=hook, session_timeout=1.0) as elector:
        await once(elector)
        said = [record.getMessage() for record in caplog.records]
        assert [text.split()[-5] for text in said if "next try" in text] == ["0.01", "0.02", "0.04", "0.04", "0.04"]


@pytest.mark.parametrize("error", [asyncio.CancelledError("of nobody"), TimeoutError(), LeadershipResigned("a lie")])
async def test_whatever_it_raises_is_a_failure(store: Store, error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    await crash(store, "dead")
    hook = Hook(error)
    async with asyncio.timeout(BOUND):
        await lead_once(store, hook)
    assert hook.whom == ["dead"] * 2
    assert any("fence hook of term" in record.getMessage() for record in caplog.records)


async def test_a_hook_that_is_no_async_function_is_named(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    await crash(store, "dead")
    options: Any = {"fence": lambda predecessor: 3}
    async with store.elector(**options) as elector:
        task = asyncio.create_task(once(elector))
        await until(lambda: any("fence must be an async function" in record.getMessage() for record in caplog.records))
        task.cancel()
        await asyncio.wait({task})


async def test_what_it_had_fenced_before_it_failed_stays_fenced(store: Store) -> None:
    for identity in ("a", "b"):
        await crash(store, identity)
    hook, given = Hook(), list[str]()

    async def fence(predecessor: Any) -> None:
        given.append(predecessor.identity)
        if given == ["b", "a"]:
            raise OSError("a is out of reach")

    async with asyncio.timeout(BOUND), store.elector(fence=fence, identity="c") as elector:
        await once(elector)
        await lead_once(store, hook)
    assert given == ["b", "a", "a"]
    assert not hook.given


# ---------------------------------------------------------------------- interrupted


async def fencing(elector: Elector, hook: Hook) -> "asyncio.Task[Term]":
    """A campaign that has come as far as its hook."""
    task = asyncio.create_task(once(elector))
    await hook.called.wait()
    return task


async def test_resigned_while_the_hook_runs(store: Store) -> None:
    await crash(store, "dead")
    hook, next_hook = Hook(free=False), Hook()
    hook.cleanup = 0.1
    async with asyncio.timeout(BOUND), store.elector(fence=hook, identity="us") as elector:
        task = await fencing(elector, hook)
        await elector.resign()
        assert hook.cancelled.is_set()
        assert hook.ended.is_set()  # its cleanup has been waited for before anything was released
        hook.called.clear()
        await lead_once(store, next_hook, identity="next")
        assert next_hook.whom == ["dead"]  # and not us, who have not worked
        hook.free.set()
        await task
        assert hook.whom == ["dead"]


async def test_cancelled_while_the_hook_runs(store: Store) -> None:
    await crash(store, "dead")
    hook, next_hook = Hook(free=False), Hook()
    hook.cleanup = 0.1
    async with asyncio.timeout(BOUND), no_leaks(), store.elector(fence=hook, identity="us") as elector:
        task = await fencing(elector, hook)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert hook.ended.is_set()
        assert elector.standing is Standing.OUT
        await lead_once(store, next_hook, identity="next")
    assert next_hook.whom == ["dead"]


async def test_a_cancellation_that_the_hook_swallows_does_not_count_as_fencing(store: Store) -> None:
    await crash(store, "dead")
    called, next_hook = asyncio.Event(), Hook()

    async def fence(predecessor: Any) -> None:
        called.set()
        try:
            await asyncio.sleep(BOUND)
        except asyncio.CancelledError:
            return

    async with asyncio.timeout(BOUND), store.elector(fence=fence, identity="us") as elector:
        task = asyncio.create_task(once(elector))
        await called.wait()
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        await lead_once(store, next_hook, identity="next")
    assert next_hook.whom == ["dead"]


async def test_a_hook_that_cancels_itself_and_takes_no_notice_has_not_fenced(store: Store) -> None:
    """A cancellation that leaked into its task, say from a library: work must not begin on the rest of its calls."""
    for identity in ("a", "b"):
        await crash(store, identity)
    given: list[str] = []

    async def fence(predecessor: Any) -> None:
        given.append(predecessor.identity)
        if len(given) == 1:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(BOUND)

    async with asyncio.timeout(BOUND), store.elector(fence=fence) as elector, elector.campaign():
        assert given == ["b", "b", "a"]


async def test_a_hook_may_resign_whatever_it_is_doing(store: Store) -> None:
    """Also while it is being cancelled, and it does not wait for its own end then."""
    await crash(store, "dead")
    called, resigned = asyncio.Event(), list[str]()

    async def fence(predecessor: Any) -> None:
        if resigned:
            return
        called.set()
        try:
            await asyncio.sleep(BOUND)
        finally:
            await elector.resign()
            resigned.append(predecessor.identity)

    async with asyncio.timeout(BOUND), store.elector(fence=fence) as elector:
        task = asyncio.create_task(once(elector))
        await called.wait()
        await elector.resign()
        assert resigned == ["dead"]
        await task


async def test_the_block_may_end_while_the_hook_runs(store: Store) -> None:
    await crash(store, "dead")
    hook, next_hook = Hook(free=False), Hook()

    async def work(term: Term) -> None:
        pytest.fail("worked")

    async with asyncio.timeout(BOUND):
        async with store.elector(work, fence=hook, identity="us"):
            await hook.called.wait()
        assert hook.cancelled.is_set()
        await lead_once(store, next_hook, identity="next")
    assert next_hook.whom == ["dead"]
