"""The fence hook on one host: what the lock file remembers, when it is damaged, and when it cannot be written."""

import asyncio
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from candidates import Candidate, History
from oldterms import Hook, crash, lead_once, win_and
from stores import BOUND, Store, local_store

from aioha import SessionFailed
from aioha.elections import Grant
from aioha.elections.local import record
from aioha.leaders import Predecessor

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return local_store(tmp_path)


def file_of(store: Store) -> Path:
    return Path(store.where.removeprefix("local:"))


def remembered(store: Store) -> list[str]:
    return [each.identity for each in record.unpack_account(file_of(store).read_bytes()).unfenced]


async def test_a_killed_process_is_fenced(store: Store) -> None:
    hook, history = Hook(), History()
    async with asyncio.timeout(BOUND):
        async with Candidate(history, store.where, "killed") as leader:
            begun = await history.next("START", "killed")
            await leader.kill()
        await lead_once(store, hook)
    assert [(each.identity, each.token) for each in hook.given] == [("killed", begun.token)]


async def test_the_file_remembers_and_forgets(store: Store) -> None:
    async with asyncio.timeout(BOUND):
        await crash(store, "a", data=b"\xff")
        await lead_once(store, identity="no hook")
        assert remembered(store) == ["a"]
        await crash(store, "b", data=b"d" * 300)
        await lead_once(store, identity="no hook")
        hook = Hook()
        await lead_once(store, hook)
    assert [(each.identity, each.data) for each in hook.given] == [("b", b""), ("a", b"\xff")]
    assert remembered(store) == []
    assert b"unfenced" not in file_of(store).read_bytes()


async def test_what_was_written_before_there_were_hooks_can_be_read(store: Store) -> None:
    await crash(store, "old")
    slot, raw = record.newest_slot(file_of(store).read_bytes()), file_of(store).read_bytes()
    assert b"unfenced" not in raw
    assert not slot.ended
    hook = Hook()
    await lead_once(store, hook)
    assert hook.whom == ["old"]


def test_what_is_remembered_can_be_read_again() -> None:
    unfenced = tuple(Predecessor(f"c{n}\ud800", bytes([n, 255]), n, ended_cleanly=False) for n in range(20, 0, -1))
    packed = record.pack_account(record.Account((), unfenced))
    assert record.unpack_account(b"\0" * record.ACCOUNT_AT + packed).unfenced == unfenced[:16]


@pytest.mark.parametrize(
    "unfenced", ["5", "[5]", "[{}]", '[{"token": 1, "identity": "a", "data": 5}]', '{"token": 1}', "[[]]"]
)
def test_rubbish_in_it_is_unreadable_and_nothing_else(unfenced: str) -> None:
    body = f'{{"terms": [], "unfenced": {unfenced}}}'.encode()
    packed = b"aioha-account-1 %d %08x\n" % (len(body), zlib.crc32(body)) + body
    with pytest.raises(record.Unreadable, match="account of terms"):
        record.unpack_account(b"\0" * record.ACCOUNT_AT + packed)


@pytest.mark.parametrize("harm", ["rubbish", "cut off"])
async def test_a_damaged_account_means_that_somebody_unknown_is_to_be_fenced(store: Store, harm: str) -> None:
    async with asyncio.timeout(BOUND):
        await crash(store, "a")
        clean = await lead_once(store, identity="clean")
        raw = file_of(store).read_bytes()
        cut = raw[: record.ACCOUNT_AT]
        file_of(store).write_bytes(cut if harm == "cut off" else cut + b"!" * 100)
        hook = Hook()
        term = await lead_once(store, hook)
        assert hook.given == [Predecessor("", b"", clean.token, ended_cleanly=False)]
        assert term.predecessor == Predecessor("", b"", clean.token, ended_cleanly=True)
        await lead_once(store, hook)
        assert len(hook.given) == 1


@pytest.mark.parametrize("slot", [0, 1])
async def test_a_torn_slot_fences_rather_than_not(store: Store, slot: int) -> None:
    """Which of the two was the newer one is not known: the last term may have been at work."""
    async with asyncio.timeout(BOUND):
        await lead_once(store, identity="clean")
        raw = bytearray(file_of(store).read_bytes())
        raw[slot * 4096 : slot * 4096 + 256] = b"\0" * 256
        file_of(store).write_bytes(raw)
        hook = Hook()
        await lead_once(store, hook)
        await lead_once(store, hook)
    assert hook.whom == ["clean"]


async def test_the_file_may_be_removed_while_the_hook_runs(store: Store) -> None:
    for identity in ("a", "b"):
        await crash(store, identity)
    hook = Hook()

    async def remove(predecessor: Any) -> None:
        if predecessor.identity == "b":
            os.unlink(file_of(store))
        else:
            assert remembered(store) == ["a"]

    async with asyncio.timeout(BOUND), store.elector(fence=remove) as elector, elector.campaign():
        assert remembered(store) == []
    await lead_once(store, hook)
    assert not hook.given


async def test_a_full_disk_is_no_fencing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be remembered would be done again, or not at all: say so instead."""
    await crash(store, "dead")

    def full(*args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    async def fence(predecessor: Any) -> None:
        monkeypatch.setattr("aioha.elections.local.lockfile.write", full)

    with pytest.raises(SessionFailed, match="No space left on device"):
        async with asyncio.timeout(BOUND), store.elector(fence=fence) as elector, elector.campaign():
            pytest.fail("worked")
    monkeypatch.undo()
    hook = Hook()
    await lead_once(store, hook)
    assert hook.whom[-1] == "dead"


async def test_one_write_that_fails_spoils_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The clean end that follows goes into the slot that does not count, as ever."""
    await crash(store, "dead")

    def full(*args: Any, **options: Any) -> None:
        monkeypatch.undo()
        raise OSError(28, "No space left on device")

    async def fence(predecessor: Any) -> None:
        monkeypatch.setattr("aioha.elections.local.lockfile.write", full)

    with pytest.raises(SessionFailed, match="No space left on device"):
        async with asyncio.timeout(BOUND), store.elector(fence=fence, identity="us") as elector, elector.campaign():
            pytest.fail("worked")
    hook = Hook()
    term = await lead_once(store, hook)
    assert term.predecessor is not None
    assert (term.predecessor.identity, term.predecessor.ended_cleanly) == ("us", True)
    assert not hook.given  # it had returned for the one, and the other has not worked
    assert not [each for each in caplog.records if "damaged" in each.getMessage()]


async def test_who_died_while_it_wrote_is_fenced_too(store: Store) -> None:
    await crash(store, "a")

    async def fenced(grant: Grant) -> None:
        await grant.fenced(grant.unfenced[0])

    await win_and(store, fenced, identity="b")
    hook = Hook()
    await lead_once(store, hook)
    assert hook.whom == ["b"]


async def test_a_term_that_is_over_writes_no_more(store: Store) -> None:
    """A hook that returns after the release says nothing to the file, which is the next leader's."""
    await crash(store, "dead")

    async def released(grant: Grant) -> None:
        dead = grant.unfenced[0]
        await grant.release()
        before = file_of(store).read_bytes()
        await grant.fenced(dead)
        assert file_of(store).read_bytes() == before

    await win_and(store, released, identity="late")
    assert remembered(store) == ["dead"]
