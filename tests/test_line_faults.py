"""What may happen to the line of an `ephemeral` election, and what must not come of it: nobody bids, or a term forgotten."""

import asyncio
import logging
from unittest import mock

import pytest
from queues import PATH, Queue, T, played

from aioha import Elector, Predecessor, Session, SessionFailed
from aioha.record import Record
from aioha.settings import MOST_DATA
from aioha.testing.simulated import Weather, acl
from aioha.testing.simulated.codes import Perm

LINE = f"{PATH}.aioha/line"
READ_ONLY = (acl.Entry(Perm.READ, "world", "anyone"),)


def test_who_may_not_leave_the_line_any_more_leads_all_the_same() -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        await asyncio.sleep(T)
        queue.operator.set_acl(LINE, READ_ONLY)
        queue.crash("a")
        for turn in (2, 3):
            name, term = await queue.until(turn)
            assert term.number == turn  # with a record all the same
            queue.crash(name)

    played("ephemeral", play)


@pytest.mark.parametrize("strangers", [1, 2, 5])
def test_places_that_nobody_fills_do_not_hold_up_the_line_for_good(strangers: int) -> None:
    async def play(queue: Queue) -> None:
        for path in ("/service", f"{PATH}.aioha", LINE):
            queue.operator.create(path, b"")
        for number in range(strangers):
            queue.operator.create(f"{LINE}/{number:010d}", b"")
        for name in "ab":
            await queue.join(name)
        first, _ = await queue.until(1)
        queue.crash(first)
        await queue.until(2)

    played("ephemeral", play)


def test_a_term_still_to_be_fenced_is_remembered_by_name_however_quickly_others_follow() -> None:
    fenced = list[Predecessor]()

    async def fence(predecessor: Predecessor) -> None:
        fenced.append(predecessor)

    async def play(queue: Queue) -> None:
        for name in "xabc":
            await queue.join(name)
        await queue.until(1)
        queue.crash("x")
        for turn in range(2, 25):
            name, _ = await queue.until(turn)
            await asyncio.sleep(0.3)
            await queue.electors[name].resign()
        await queue.join("d", fence=fence)
        for turn in range(25, 31):
            name, _ = await queue.until(turn)
            if name == "d":
                break
            await queue.electors[name].resign()
        assert [each.identity for each in fenced] == ["x"]

    played("ephemeral", play)


@pytest.mark.parametrize("version", [b"-1", b"99999999999", b"1_000", b"x"])
def test_a_seat_that_says_a_strange_version_is_not_believed(version: bytes) -> None:
    def strange(record: Record, _: int) -> bytes:
        return version + b" " + record.encode()

    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        await asyncio.sleep(T)
        for turn in range(2, 8):
            await queue.electors[queue.terms[-1][0]].resign()
            _, term = await queue.until(turn)
            assert term.number == turn
            await asyncio.sleep(1.0)
            assert len(queue.at_work) == 1

    with mock.patch("aioha.elections.zookeeper.bidding.seat_data", strange):
        played("ephemeral", play)


@pytest.mark.parametrize("unit", [b"\0", b"\xff", b"\\", "é".encode()])
def test_the_longest_data_has_a_place_in_line(unit: bytes) -> None:
    data = (unit * MOST_DATA)[:MOST_DATA]

    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name, data=data)
        await asyncio.sleep(T)
        assert len(queue.members()) == 1
        _, standbys = await queue.electors["a"].election.candidates()
        assert [each.data for each in standbys] == [data]
        await queue.electors["a"].resign()
        assert (await queue.until(2))[0] == "b"

    played("ephemeral", play)


@pytest.mark.parametrize("later", [n / 250 for n in range(6, 20)])
def test_who_stands_by_no_longer_does_not_bid_while_it_leaves_the_line(later: float) -> None:
    electors, at_work = dict[str, Elector](), list[str]()

    async def work(name: str) -> None:
        at_work.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            at_work.remove(name)

    async def stand_by(shared: Session, name: str) -> None:
        async with shared.elector(PATH, identity=name) as electors[name]:
            await electors[name].lead(lambda _: work(name))

    async def play(queue: Queue) -> None:
        hosts, candidates = list[asyncio.Task[None]](), dict[str, asyncio.Task[None]]()

        async def host(name: str) -> None:
            async with Session(
                queue.ensemble.where("").rstrip("/"), session_timeout=T, clock=queue.simulation.clock
            ) as shared:
                candidates[name] = asyncio.create_task(stand_by(shared, name))
                await asyncio.Event().wait()  # the session lives on

        for name in "abc":
            with queue.simulation.on(name):
                hosts.append(asyncio.create_task(host(name)))
            await asyncio.sleep(T)
        resigning = asyncio.create_task(electors["a"].resign())
        await asyncio.sleep(later)
        candidates["b"].cancel()
        await asyncio.wait({resigning})
        await asyncio.sleep(T)
        assert at_work in (["a"], ["c"])
        for each in hosts:
            each.cancel()
        await asyncio.wait(hosts)

    played("ephemeral", play, weather=Weather(latency=0.01))


def test_a_record_that_may_not_be_read_any_more_is_no_refusal_of_the_line(caplog: pytest.LogCaptureFixture) -> None:
    unreadable = (acl.Entry(Perm.ALL & ~Perm.READ, "world", "anyone"),)

    async def play(queue: Queue) -> None:
        for name in "ab":
            await queue.join(name)
        queue.operator.set_acl(f"{PATH}.aioha", unreadable)
        for name in "ab":
            with pytest.raises(SessionFailed, match=f"no permission for {PATH}"):
                await queue.tasks.pop(name)

    with caplog.at_level(logging.WARNING, "aioha"):
        played("ephemeral", play)
    assert not [record for record in caplog.records if "in line" in record.getMessage()]
