"""`layout="hadoop"` in virtual time: a lock, a breadcrumb, and a hook that fences whoever has left one."""

import asyncio
from typing import Any

import pytest
from queues import PATH, Queue, T, played

from aioha import LayoutMismatch, Predecessor, SessionFailed

LOCK, CRUMB = f"{PATH}/ActiveStandbyElectorLock", f"{PATH}/ActiveBreadCrumb"


class Fencing:
    """A hook that remembers whom it was told of; `fails` so often first."""

    def __init__(self, fails: int = 0) -> None:
        self.told = list[Predecessor]()
        self.fails = fails

    async def __call__(self, predecessor: Predecessor) -> None:
        self.told.append(predecessor)
        await asyncio.sleep(0.1)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("not fenced")


def data_of(queue: Queue, path: str) -> bytes | None:
    node = queue.operator.tree.get(path)
    return None if node is None else node.data


def hadoop(play: Any) -> None:
    played("hadoop", play)


@pytest.mark.parametrize("record", [True, False])
def test_the_breadcrumb_is_there_while_somebody_works_and_gone_after_a_clean_end(record: bool) -> None:
    async def play(queue: Queue) -> None:
        fence = Fencing()
        for name in "abc":
            await queue.join(name, fence=fence, record=record)
        for turn in range(1, 5):
            name, term = await queue.until(turn)
            assert (data_of(queue, LOCK), data_of(queue, CRUMB)) == (name.encode(), name.encode())
            assert term.number == (turn if record else None)
            if turn < 4:
                await queue.electors[name].resign()
        for task in queue.tasks.values():
            task.cancel()
        await asyncio.wait(queue.tasks.values())
        queue.tasks.clear()
        assert (data_of(queue, LOCK), data_of(queue, CRUMB)) == (None, None)
        assert fence.told == []

    hadoop(play)


@pytest.mark.parametrize("record", [True, False])
def test_whoever_has_died_is_fenced_before_the_next_one_works_and_its_breadcrumb_written_over_after(record: bool) -> None:
    async def play(queue: Queue) -> None:
        fence = Fencing()
        for name in "ab":
            await queue.join(name, fence=fence, record=record)
        _, first = await queue.until(1)
        queue.crash("a")
        name, term = await queue.until(2)
        assert name == "b"
        assert [(each.identity, each.data, each.ended_cleanly) for each in fence.told] == [("a", b"a", False)]
        assert first.token <= fence.told[0].token < term.token
        assert data_of(queue, CRUMB) == b"b"

    hadoop(play)


def test_a_foreign_breadcrumb_is_fenced_too() -> None:
    async def play(queue: Queue) -> None:
        fence = Fencing()
        for path in ("/service", PATH):
            queue.operator.create(path, b"")
        queue.operator.create(CRUMB, b"\x0a\x02nn1")
        await queue.join("a", fence=fence)
        _, term = await queue.until(1)
        assert [each.data for each in fence.told] == [b"\x0a\x02nn1"]
        assert term.predecessor == fence.told[0]
        assert data_of(queue, CRUMB) == b"a"

    hadoop(play)


def test_a_breadcrumb_stays_until_its_owner_is_fenced_whoever_leads_meanwhile() -> None:
    async def play(queue: Queue) -> None:
        fence, failing = Fencing(), Fencing(fails=100)
        await queue.join("a", fence=fence)
        await queue.until(1)
        await queue.join("b", fence=failing)
        await queue.join("c", fence=fence)
        queue.crash("a")
        name, _ = await queue.until(2)
        assert name == "c"
        assert failing.told
        assert {each.identity for each in [*failing.told, *fence.told]} == {"a"}
        assert data_of(queue, CRUMB) == b"c"

    hadoop(play)


def test_nobody_takes_part_without_a_hook() -> None:
    async def play(queue: Queue) -> None:
        with queue.simulation.on("a"):
            async with queue.elector("a") as elector:
                with pytest.raises(SessionFailed, match="layout=hadoop must fence .*: give the elector fence="):
                    async with elector.campaign():
                        raise AssertionError("works")

    hadoop(play)


def test_a_breadcrumb_of_our_own_that_a_lost_session_has_left_is_taken_over() -> None:
    async def play(queue: Queue) -> None:
        fence = Fencing()
        await queue.join("a", fence=fence, record=False)
        await queue.until(1)
        session = queue.electors["a"].session
        assert session is not None
        queue.operator.close(session.id)
        name, _ = await queue.until(2)
        assert name == "a"
        assert fence.told == []
        assert data_of(queue, CRUMB) == b"a"

    hadoop(play)


def test_it_is_known_from_other_layouts() -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a", fence=Fencing())
        await queue.until(1)
        wrong = {"ephemeral": "the root of a Hadoop election", "latch": "an election of Hadoop"}
        for layout, what in wrong.items():
            with queue.simulation.on("b"), pytest.raises(LayoutMismatch, match=what):
                async with queue.elector("b", layout=layout):
                    raise AssertionError("entered")
        queue.tasks.pop("a").cancel()
        await asyncio.sleep(T)
        queue.operator.create(f"{PATH}/_c_1-latch-0000000000", b"")
        with queue.simulation.on("b"), pytest.raises(LayoutMismatch, match="Curator's LeaderLatch"):
            async with queue.elector("b"):
                raise AssertionError("entered")

    hadoop(play)


def test_a_leaders_node_is_no_folder() -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a", layout="ephemeral")
        await queue.until(1)
        with queue.simulation.on("b"), pytest.raises(LayoutMismatch, match="needs a folder"):
            async with queue.elector("b"):
                raise AssertionError("entered")

    hadoop(play)
