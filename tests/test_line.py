"""Standbys of an `ephemeral` election wait in line: who bids, what a handover costs, and what may happen to places."""

import asyncio
import json
import logging

import pytest
from queues import PATH, Queue, T, counted, played

from aioha import Leader
from aioha.testing.simulated import Weather, acl
from aioha.testing.simulated.codes import Op, Perm

LINE = f"{PATH}.aioha/line"


def test_turns_are_taken_in_order_and_everybody_is_listed() -> None:
    async def play(queue: Queue) -> None:
        for name in "abcd":
            await queue.join(name, data=f"of {name}".encode())
        for turn in range(1, 8):
            name, term = await queue.until(turn)
            await asyncio.sleep(1.0)
            leader, standbys = await queue.electors["a"].election.candidates()
            order = list("abcdabcdabcd"[turn - 1 : turn + 3])
            assert leader is not None
            assert leader.token == term.token
            assert [each.identity for each in (leader, *standbys)] == order
            assert [each.data for each in (leader, *standbys)] == [f"of {each}".encode() for each in order]
            await queue.electors[name].resign()
        await queue.until(8)
        assert "".join(name for name, _ in queue.terms) == "abcdabcd"
        assert [term.number for _, term in queue.terms] == list(range(1, 9))
        assert all(term.predecessor.ended_cleanly for _, term in queue.terms if term.predecessor is not None)

    played("ephemeral", play)


def test_a_free_election_is_won_without_standing_in_line() -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        await queue.until(1)
        assert queue.operator.tree.get(LINE) is None

    played("ephemeral", play)


@pytest.mark.parametrize(("standbys", "pause"), [(3, 0.5), (12, 0.5), (60, 0.5), (12, 20.0)])
def test_a_handover_costs_at_most_eight_requests_however_many_stand_by(standbys: int, pause: float) -> None:
    """Nor is anything left to be asked later. Heartbeats and nets apart."""
    idle_for = max(4 * pause, 20.0)

    async def play(queue: Queue) -> None:
        for number in range(standbys + 1):
            await queue.join(f"c{number}", session_timeout=30.0)
        await asyncio.sleep(30.0)
        with counted() as idle:
            await asyncio.sleep(idle_for)
        begun = queue.simulation.clock()
        with counted() as asked:
            for turn in range(1, 5):
                await queue.electors[queue.terms[turn - 1][0]].resign()
                await queue.until(turn + 1)
                await asyncio.sleep(pause)
        took = queue.simulation.clock() - begun
        assert (len(asked) - len(idle) * took / idle_for) / 4 <= 8
        assert [name for name, _ in queue.terms] == [f"c{turn % (standbys + 1)}" for turn in range(5)]

    played("ephemeral", play)


def test_only_the_first_two_look_at_the_leader() -> None:
    async def play(queue: Queue) -> None:
        for name in "abcdef":
            await queue.join(name)
        await asyncio.sleep(T)
        fronts = [server.front for server in queue.ensemble.servers]
        assert all(front is not None for front in fronts)
        # The leader at its own node, the first at the leader's, the second at that too, and all others at one place each.
        assert sum(len(front.watches) for front in fronts if front is not None) == 1 + 1 + 2 + 3

    played("ephemeral", play)


def test_the_first_begins_on_the_reply_to_its_bid() -> None:
    latency = 0.05

    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        await asyncio.sleep(T)
        for turn in (1, 2, 3):
            await queue.electors[queue.terms[turn - 1][0]].resign()
            await queue.until(turn + 1)
            await asyncio.sleep(3.0)
        gaps = [begun - ended for begun, ended in zip(queue.began[1:], queue.ended, strict=False)]
        assert max(gaps) < 4 * latency + 0.02  # the release one way, the event, and the bid's way there and back

    played("ephemeral", play, servers=1, weather=Weather(latency=latency))


def test_the_second_of_a_crowd_that_has_come_at_once_takes_over_too() -> None:
    """Each of them counts those that have come before it, and not those behind."""

    async def play(queue: Queue) -> None:
        await queue.join("a")
        for number in range(12):
            with queue.simulation.on(f"c{number}"):
                queue.tasks[f"c{number}"] = asyncio.create_task(queue.lead(f"c{number}"))
        await asyncio.sleep(T)
        first, second, *_ = [queue.data(path)["identity"] for path in queue.members()]
        queue.simulation.network.freeze(first)
        await queue.electors["a"].resign()
        name, _ = await queue.until(2)
        assert name == second
        assert queue.began[1] - queue.ended[0] < T / 16 + 0.1

    played("ephemeral", play)


def test_the_second_takes_over_when_the_first_is_frozen() -> None:
    async def play(queue: Queue) -> None:
        for name in "abcd":
            await queue.join(name)
        await asyncio.sleep(T)  # the second knows by then that it is
        queue.simulation.network.freeze("b")
        await queue.electors["a"].resign()
        name, _ = await queue.until(2)
        assert name == "c"
        assert queue.began[1] - queue.ended[0] < T / 8
        queue.simulation.network.thaw("b")
        await asyncio.sleep(2 * T)  # those behind know by then that it is still there
        await queue.electors["c"].resign()
        assert (await queue.until(3))[0] == "b"

    played("ephemeral", play)


def test_those_behind_move_up_when_the_ones_before_them_die() -> None:
    async def play(queue: Queue) -> None:
        for name in "abcde":
            await queue.join(name)
        for name in "bd":
            queue.crash(name)
        await asyncio.sleep(2 * T)
        assert len(queue.members()) == 2
        await queue.electors["a"].resign()
        assert (await queue.until(2))[0] == "c"
        await queue.electors["c"].resign()
        assert (await queue.until(3))[0] == "e"

    played("ephemeral", play)


def test_a_killed_leader_is_replaced_by_the_first_in_line() -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        await queue.until(1)
        queue.crash("a")
        name, term = await queue.until(2)
        assert name == "b"
        assert term.predecessor is not None
        assert not term.predecessor.ended_cleanly

    played("ephemeral", play)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_who_has_lost_its_place_by_hand_joins_again(which: int) -> None:
    async def play(queue: Queue) -> None:
        for name in "abcd":
            await queue.join(name)
        await asyncio.sleep(T)
        queue.operator.delete(queue.members()[which])
        led = ["a"]
        await asyncio.sleep(2 * T)
        assert len(queue.members()) == 3
        for turn in range(1, 4):
            await queue.electors[led[-1]].resign()
            led.append((await queue.until(turn + 1))[0])
            await asyncio.sleep(1.0)
        assert set(led) == set("abcd")

    played("ephemeral", play)


def test_the_line_deleted_by_hand_is_made_anew() -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        queue.operator.delete(*queue.members(), LINE)
        led = ["a"]
        await asyncio.sleep(2 * T)
        assert len(queue.members()) == 2
        for turn in range(1, 3):
            await queue.electors[led[-1]].resign()
            led.append((await queue.until(turn + 1))[0])
            await asyncio.sleep(1.0)
        assert set(led) == set("abc")

    played("ephemeral", play)


def test_a_lost_reply_makes_no_second_place() -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        await queue.until(1)
        for server in queue.ensemble.servers:
            queue.simulation.network.drop_reply("b", server.name, Op.CREATE, b"/line/")
        await queue.join("b")
        await asyncio.sleep(T)
        assert len(queue.members()) == 1
        await queue.electors["a"].resign()
        assert (await queue.until(2))[0] == "b"

    played("ephemeral", play)


def test_who_ends_leaves_no_place_behind() -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        queue.tasks["b"].cancel()
        await asyncio.wait({queue.tasks["b"]})
        assert len(queue.members()) == 1
        del queue.tasks["b"]
        await queue.electors["a"].resign()
        assert (await queue.until(2))[0] == "c"

    played("ephemeral", play)


def test_where_nobody_may_stand_in_line_it_is_a_plain_race(caplog: pytest.LogCaptureFixture) -> None:
    read_only = (acl.Entry(Perm.READ, "world", "anyone"),)

    async def play(queue: Queue) -> None:
        await queue.join("a")
        await queue.until(1)
        queue.operator.create(LINE, b"")
        queue.operator.set_acl(LINE, read_only)
        for name in "bc":
            await queue.join(name)
        for turn in range(1, 4):
            name, term = await queue.until(turn)
            assert term.number == turn  # with a record all the same
            await queue.electors[name].resign()
        assert (await queue.until(4))[0] != queue.terms[2][0]
        assert queue.members() == []

    with caplog.at_level(logging.WARNING, "aioha"):
        played("ephemeral", play)
    said = [record.getMessage() for record in caplog.records if "in line" in record.getMessage()]
    assert len(said) == 3  # each candidate once
    assert said[0] == (
        f"{PATH}: no permission to stand in line at {LINE} (NoAuth): a plain race in this campaign, in which every standby "
        "looks at the leader"
    )
    assert len(set(said)) == 1


def test_what_others_have_put_into_the_line_is_not_shown() -> None:
    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name)
        queue.operator.create(f"{LINE}/0000000100", b"no JSON")
        queue.operator.create(f"{LINE}/0000000101", b"[]")
        queue.operator.create(f"{LINE}/0000000102", json.dumps({"identity": "x", "data_base64": "/w=="}).encode())
        _, standbys = await queue.electors["a"].election.candidates()
        assert [(each.identity, each.data) for each in standbys] == [("b", b"b"), ("x", b"\xff")]

    played("ephemeral", play)


def test_with_nobody_leading_those_in_line_are_shown_all_the_same() -> None:
    async def play(queue: Queue) -> None:
        for path in ("/service", f"{PATH}.aioha", LINE):
            queue.operator.create(path, b"")
        queue.operator.create(f"{LINE}/0000000007", json.dumps({"identity": "x", "data": "y"}).encode())
        elector = queue.elector("onlooker")
        with queue.simulation.on("onlooker"):
            async with elector:
                leader, standbys = await elector.election.candidates()
        assert leader is None
        assert [(each.identity, each.data, each.token) for each in standbys] == [("x", b"y", 0)]
        assert isinstance(standbys[0], Leader)

    played("ephemeral", play)


def test_who_has_resigned_and_comes_into_line_first_lets_the_others_go_first() -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        await queue.until(1)
        for server in queue.ensemble.servers:
            for pair in (("b", server.name), (server.name, "b")):
                queue.simulation.network.link(*pair).weather = Weather(latency=0.02)
        with queue.simulation.on("b"):
            queue.tasks["b"] = asyncio.create_task(queue.lead("b"))
        await queue.electors["a"].resign()  # while the other is still on its way
        assert (await queue.until(2))[0] == "b"

    played("ephemeral", play)


def test_who_has_resigned_and_is_alone_leads_again() -> None:
    async def play(queue: Queue) -> None:
        await queue.join("a")
        await queue.until(1)
        await queue.electors["a"].resign()
        await queue.until(2)
        assert queue.began[1] - queue.ended[0] < 1.2

    played("ephemeral", play)
