"""Elections of members in line, in virtual time: every dialect keeps what the `ephemeral` layout promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from queues import PATH, Queue, T, counted, played

from aioha import Fenced, LayoutMismatch, Leader, Predecessor
from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.testing.simulated import Weather, acl
from aioha.testing.simulated.codes import Op, Perm

READ_ONLY = (acl.Entry(Perm.READ, "world", "anyone"),)

pytestmark = pytest.mark.parametrize("layout", DIALECTS)


def test_turns_are_taken_in_order(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        for turn in range(1, 8):
            name, _ = await queue.until(turn)
            await asyncio.sleep(1.0)
            await queue.electors[name].resign()
        await queue.until(8)
        terms = [term for _, term in queue.terms]
        assert [name for name, _ in queue.terms] == list("abcabcab")
        assert [term.number for term in terms] == list(range(1, 9))
        assert sorted({term.token for term in terms}) == [term.token for term in terms]
        for before, term in pairwise(terms):
            assert term.predecessor is not None
            assert (term.predecessor.identity, term.predecessor.token) == (before.leader.identity, before.token)
            assert term.predecessor.ended_cleanly

    played(layout, play)


def test_who_is_next_leads_on_the_event_with_no_further_round_trip(layout: str) -> None:
    latency = 0.05

    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        await asyncio.sleep(5.0)
        for turn in (1, 2, 3):
            await asyncio.sleep(2.0)
            await queue.electors[queue.terms[turn - 1][0]].resign()
            await queue.until(turn + 1)
        gaps = [begun - ended for begun, ended in zip(queue.began[1:], queue.ended, strict=False)]
        assert len(gaps) == 3
        # One way to a server, and the event one way back; a lone server agrees with itself at once. Whose name might be
        # another's by now asks first, at the release, and whose name does not tell whose it is begins with its record.
        ways = 2 if DIALECTS[layout].is_unique else 8
        assert max(gaps) < ways * latency + 0.03

    played(layout, play, servers=1, weather=Weather(latency=latency))


def test_a_handover_costs_at_most_eight_requests_however_many_stand_by(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for number in range(12):
            await queue.join(f"c{number}", session_timeout=30.0)
        await asyncio.sleep(5.0)
        with counted() as asked:
            for turn in range(1, 5):
                await asyncio.sleep(1.0)
                await queue.electors[queue.terms[turn - 1][0]].resign()
                await queue.until(turn + 1)
            await asyncio.sleep(1.0)
        assert len(asked) / 4 <= (8 if DIALECTS[layout].is_unique else 10)

    played(layout, play)


def test_a_killed_leader_is_replaced_when_its_session_has_expired(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        await queue.until(1)
        killed = queue.simulation.clock()
        queue.crash("a")
        name, term = await queue.until(2)
        assert name == "b"
        assert T * 0.8 < queue.began[1] - killed < T + 2 * 1.0 + T / 4
        assert term.predecessor is not None
        assert (term.predecessor.identity, term.predecessor.ended_cleanly) == ("a", False)

    played(layout, play)


def test_a_frozen_leader_that_wakes_up_late_does_nothing_more(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name)
        _, first = await queue.until(1)
        queue.at_work.remove("a")  # it cannot end it, being frozen
        queue.simulation.network.freeze("a")
        _, second = await queue.until(2)
        queue.at_work.append("a")
        queue.simulation.network.thaw("a")
        await asyncio.sleep(0.01)
        assert queue.at_work == ["b"]
        with pytest.raises(Fenced):
            async with first.transaction() as transaction:
                transaction.create("/stale", b"")
        assert second.token > first.token

    played(layout, play)


def test_a_transaction_is_carried_out_as_long_as_the_member_stands(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name)
        _, first = await queue.until(1)
        async with first.transaction() as transaction:
            transaction.create("/data", b"first")
        with pytest.raises(Fenced):
            async with first.transaction() as transaction:
                transaction.create("/data", b"again")
        await first.confirm()
        queue.operator.delete(queue.members()[0])  # the servers know of it before the leader does
        with pytest.raises(Fenced):
            async with first.transaction() as transaction:
                transaction.set_data("/data", b"stale")
        node = queue.operator.tree.get("/data")
        assert node is not None
        assert node.data == b"first"

    played(layout, play)


def test_a_leaders_node_that_is_deleted_by_hand_ends_its_term_and_the_next_waits_for_its_work(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name, stop_grace=1.0)
        await queue.until(1)
        await asyncio.sleep(2.0)
        deleted = queue.simulation.clock()
        queue.operator.delete(queue.members()[0])
        name, term = await queue.until(2)
        assert name == "b"
        assert 1.0 <= queue.began[1] - deleted < 1.5
        assert queue.ended[0] - deleted < 0.1
        assert term.predecessor is not None
        assert not term.predecessor.ended_cleanly

    played(layout, play)


def test_a_standby_whose_node_is_deleted_by_hand_joins_again(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        old = queue.members()
        queue.operator.delete(old[1])
        await asyncio.sleep(0.5)
        new = queue.members()
        assert len(new) == 3
        assert new[:2] == [old[0], old[2]]
        await queue.electors["a"].resign()
        assert (await queue.until(2))[0] == "c"

    played(layout, play)


def test_a_lost_reply_makes_no_second_member(layout: str) -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        for server in queue.ensemble.servers:
            queue.simulation.network.drop_reply("b", server.name, Op.CREATE, DIALECTS[layout].after.encode())
        await queue.join("b")
        await asyncio.sleep(T)
        assert len(queue.members()) == 2
        await queue.electors["a"].resign()
        assert (await queue.until(2))[0] == "b"

    played(layout, play, servers=1)


def test_a_standby_that_is_cancelled_leaves_the_line(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        queue.tasks.pop("b").cancel()
        await asyncio.sleep(0.5)
        assert len(queue.members()) == 2
        await queue.electors["a"].resign()
        assert (await queue.until(2))[0] == "c"

    played(layout, play)


def test_without_a_record_there_are_transactions_and_no_numbers(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name, record=False)
        _, term = await queue.until(1)
        assert term.number is None
        async with term.transaction() as transaction:
            transaction.create("/data", b"")
        await queue.electors["a"].resign()
        _, second = await queue.until(2)
        assert second.token > term.token
        assert queue.operator.tree.get(f"{PATH}.aioha") is None

    played(layout, play)


def test_data_set_by_hand_keeps_nobody_from_leading(layout: str) -> None:
    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name)
        for member in queue.members():
            queue.operator.set(member, b"by hand")
        await asyncio.sleep(2 * T)
        await queue.electors["a"].resign()
        name, term = await queue.until(2)
        assert name == "b"
        async with term.transaction() as transaction:
            transaction.create("/data", b"")
        await asyncio.sleep(2 * T)
        assert queue.at_work == ["b"]

    played(layout, play)


def test_a_record_that_may_not_be_written_leaves_no_place_behind_where_a_hook_needs_it(layout: str) -> None:
    async def hook(_: Predecessor) -> None:
        raise AssertionError("nobody is to be fenced")

    async def play(queue: Queue) -> None:
        await queue.join("a", fence=hook)
        await queue.join("b", fence=hook)
        queue.operator.set_acl(f"{PATH}.aioha", READ_ONLY)
        await queue.electors["a"].resign()
        await asyncio.sleep(2 * T)
        for name in list(queue.tasks):
            queue.tasks[name].cancel()
            await asyncio.wait({queue.tasks.pop(name)})
        assert queue.members() == []

    played(layout, play)


def test_a_foreign_leader_with_much_data_is_remembered_in_brief(layout: str) -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        queue.operator.create(f"{PATH}/{DIALECTS[layout].new_stem()}0000000001", bytes(range(256)) * 1200)
        await queue.join("b")
        queue.operator.delete(queue.members()[0])  # a's
        await asyncio.sleep(2.0)
        assert queue.at_work == []
        queue.operator.delete(queue.members()[0])  # the foreign one
        name, term = await queue.until(2)
        assert name == "b"
        assert term.predecessor is not None
        assert len(term.predecessor.identity) <= 256
        await asyncio.sleep(1.0)
        record = queue.operator.tree.get(f"{PATH}.aioha")
        assert record is not None
        assert b'"number":2' in (record.data or b"")
        assert len(record.data or b"") < 4096

    played(layout, play)


def test_foreign_members_are_shown_and_waited_for(layout: str) -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        await queue.electors["a"].resign()
        await asyncio.sleep(0.5)
        async with stranger(queue) as leave:
            await queue.electors["a"].resign()  # behind the stranger now
            await asyncio.sleep(1.0)
            elector = queue.electors["a"]
            seen = await elector.leader()
            assert seen is not None
            assert seen.identity == "10.0.0.7"
            leader, standbys = await elector.election.candidates()
            assert leader is not None
            assert [each.identity for each in (leader, *standbys)] == ["10.0.0.7", "a"]
            turns = len(queue.terms)
            await leave()
            _, term = await queue.until(turns + 1)
            assert term.predecessor is not None
            assert (term.predecessor.identity, term.predecessor.ended_cleanly) == ("10.0.0.7", False)

    played(layout, play)


@asynccontextmanager
async def stranger(queue: Queue) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """A member that somebody else has made: it keeps no record."""
    async with queue.elector("10.0.0.7", record=False) as elector:
        task = asyncio.create_task(elector.lead(lambda _: asyncio.Event().wait()))
        await asyncio.sleep(0.5)

        async def leave() -> None:
            task.cancel()
            await asyncio.wait({task})

        yield leave
        await leave()


def test_who_looks_on_sees_every_change(layout: str) -> None:
    async def play(queue: Queue) -> None:
        seen = list[str | None]()

        async def look() -> None:
            async with queue.elector("onlooker") as elector:
                async for leader in elector.observe():
                    seen.append(name_of(leader))

        with queue.simulation.on("onlooker"):
            looking = asyncio.create_task(look())
        await asyncio.sleep(0.5)
        for name in "ab":
            await queue.join(name)
        await queue.electors["a"].resign()
        await asyncio.sleep(0.5)
        for name in "ab":
            queue.tasks.pop(name).cancel()
            await asyncio.sleep(0.5)
        looking.cancel()
        assert seen == [None, "a", "b", None]

    played(layout, play)


def name_of(leader: Leader | None) -> str | None:
    return None if leader is None else leader.identity


def test_a_path_of_another_layout_is_refused(layout: str) -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        other = "kazoo" if layout != "kazoo" else "latch"
        for wrong in (other, "ephemeral"):
            with pytest.raises(LayoutMismatch, match=PATH):
                async with queue.elector("b", layout=wrong) as elector:
                    await elector.lead(lambda _: asyncio.sleep(0))
        queue.tasks.pop("a").cancel()
        await asyncio.sleep(0.5)

    played(layout, play)
