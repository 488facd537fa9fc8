"""What random seeds have found, each as the shortest scene that shows it: docs/how-we-know.md has the list.

A seed draws another scene as soon as faults are added, so it is the scene that is kept.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from proof.operator import Operator
from simulated_client import Raw, Transcript
from simulated_numbers import CLOSE, EXISTS, SYNC

from aioha import Elector, SessionFailed, Term, TermEnded
from aioha.elections import SessionView
from aioha.testing.simulated import SimulatedEnsemble, Simulation, Weather, acl, run
from aioha.testing.simulated.codes import Perm
from aioha.testing.simulated.looking import Looking

PATH = "/service/election"
READ_ONLY = (acl.Entry(Perm.READ, "world", "anyone"),)


def test_somebody_elses_writing_in_the_record_of_a_dead_leader_keeps_nobody_out() -> None:
    """Seed 7 (rubbish in the record, its writer dead): looking at the leader never ended, and candidates could not enter."""

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)
        with simulation.on("first"):
            task = asyncio.create_task(_leading(ensemble.where(PATH), began := asyncio.Event()))
        await began.wait()
        simulation.network.crash("first")
        Operator(ensemble).set(f"{PATH}.aioha", b"rubbish")
        await asyncio.sleep(0.1)
        begun = simulation.clock()
        async with Elector(ensemble.where(PATH), session_timeout=10.0, clock=simulation.clock) as elector:
            assert simulation.clock() - begun < 0.1
            assert await elector.leader() is not None
        assert not task.done()

    run(main, 7)


async def _leading(where: str, began: asyncio.Event) -> None:
    async with Elector(where, session_timeout=10.0) as elector:

        async def work(term: Term) -> None:
            began.set()
            await asyncio.Event().wait()

        await elector.lead(work)


@pytest.mark.parametrize("how", ["closed", "closed as it comes back", "frozen"])
def test_work_that_ignores_its_cancellation_is_told_again(how: str) -> None:
    """Seed 3: a session ended after its leader had resigned, and nobody was told again, though others could begin.
    Seed 34: after a thaw both cancellations came before the work's next step, and were one to it. Seed 3 of `late-close`
    alone: while the servers had not told that the session was over, a seat was believed that was gone.
    """
    cancellations = list[float]()

    async def main(simulation: Simulation) -> float:
        ensemble = await simulation.ensemble(3, tick=1.0)
        terms = list[Term]()

        async def stubborn() -> None:
            options: dict[str, Any] = {"session_timeout": 10.0, "stop_grace": 1.0, "clock": simulation.clock}
            where = f"zk://{ensemble.followers()[0].address}{PATH}"
            async with Elector(where, **options) as elector, elector.campaign() as term:
                terms.append(term)
                for _ in range(2):
                    try:
                        await asyncio.sleep(100)
                    except asyncio.CancelledError:
                        cancellations.append(simulation.clock())

        with simulation.on("stubborn"):
            task = asyncio.create_task(stubborn())
        await asyncio.sleep(5)
        told = simulation.clock()
        if how == "closed":
            await _resigned(terms[0])
            Operator(ensemble).close(terms[0]._grant.session.id)  # type: ignore[attr-defined]
        elif how == "closed as it comes back":
            await _closed_late(ensemble, terms[0]._grant.session)  # type: ignore[attr-defined]
        else:
            simulation.network.freeze("stubborn")
            await asyncio.sleep(30)
            told = simulation.clock()
            simulation.network.thaw("stubborn")
        await asyncio.wait({task}, timeout=50)
        assert task.done()
        task.exception()
        return told

    told = run(main, 3)
    assert len(cancellations) == 2
    assert cancellations[0] - told < 0.03
    assert cancellations[1] - told < (0.02 if how == "frozen" else 1.1)


async def _closed_late(ensemble: SimulatedEnsemble, session: Any) -> None:
    (front,) = (server.front for server in ensemble.servers if session.server.startswith(server.name))
    assert front is not None
    front.dismiss(session.id)
    while not front.is_attached(session.id):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)  # until its first heartbeat has been answered
    front.close_late(session.id)


async def _resigned(term: Term) -> None:
    asking = asyncio.ensure_future(term.resign())
    await asyncio.sleep(0.001)
    asking.cancel()


@pytest.mark.parametrize("how", ["data set back", "record refused"])
def test_tokens_never_fall_silently(how: str) -> None:
    """Seed 75: a record that may not be written any more had lifted tokens, and a plain race went on below them."""

    async def main(simulation: Simulation) -> tuple[int, int | None]:
        ensemble = await simulation.ensemble(1, tick=1.0)
        operator, tokens = Operator(ensemble), list[int]()
        disks = ensemble.snapshot()
        for _ in range(20):
            operator.create("/something", b"")
            operator.delete("/something")

        async def lead(name: str, **options: Any) -> None:
            where, clock = ensemble.where(PATH), simulation.clock
            async with Elector(where, identity=name, session_timeout=10.0, clock=clock, **options) as elector:

                async def work(term: Term) -> None:
                    tokens.append(term.token)
                    await asyncio.Event().wait()

                await elector.lead(work)

        with simulation.on("first"):
            first = asyncio.create_task(lead("first", token_floor=0 if how == "data set back" else 10**9))
        await asyncio.sleep(1)
        with simulation.on("second"):
            second = asyncio.create_task(lead("second"))
        await asyncio.sleep(1)
        assert not first.done()
        simulation.network.crash("first")
        if how == "data set back":
            ensemble.roll_back(disks)
        else:
            operator.set_acl(f"{PATH}.aioha", READ_ONLY)
        await asyncio.wait({second}, timeout=60)
        if second.done():
            with pytest.raises(SessionFailed, match="token"):
                second.result()
        else:
            second.cancel()
            await asyncio.wait({second})
        return tokens[0], tokens[1] if len(tokens) > 1 else None

    first, second = run(main, 75)
    assert second is None if how == "record refused" else second is not None and second > first


def test_a_successor_without_a_record_fences_the_transactions_of_who_had_one() -> None:
    """Seed 181: node and seat deleted by hand while the leader was frozen, and the record forbidden. Who came next did
    without a record, and its node passed for the old one's.
    """

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)
        operator, terms = Operator(ensemble), dict[str, Term]()
        operator.create("/data", b"")

        async def lead(name: str) -> None:
            where, clock = ensemble.where(PATH), simulation.clock
            elector = Elector(where, identity=name, session_timeout=10.0, clock=clock)
            async with elector, elector.campaign() as term:
                terms[name] = term
                if name == "second":
                    await asyncio.Event().wait()
                await asyncio.sleep(1.0)  # it is frozen meanwhile
                async with term.transaction() as t:
                    t.set_data("/data", b"stale")

        tasks = list[asyncio.Task[None]]()
        for name in ("first", "second"):
            with simulation.on(name):
                tasks.append(asyncio.create_task(lead(name)))
            await asyncio.sleep(0.4)
        simulation.network.freeze("first")
        await asyncio.sleep(1.0)  # its transaction is due by now, and so is sent before it hears of anything
        operator.set_acl(f"{PATH}.aioha", READ_ONLY)
        operator.delete(PATH, f"{PATH}.aioha/seat")
        await asyncio.sleep(3.0)  # the lease lasts for longer
        assert terms["second"].number is None
        simulation.network.thaw("first")
        await asyncio.sleep(1.0)
        node = operator.tree.get("/data")
        assert node is not None
        assert node.data == b""
        for name in terms:
            simulation.network.crash(name)

    run(main, 181)


def test_a_server_joins_followers_that_came_to_their_leader_in_different_rounds() -> None:
    """Seeds 437 and 2382: it looked for ever, as no quorum had voted alike."""
    decided = list[tuple[int, int, int]]()
    server: Any = SimpleNamespace(
        round=0, vote=(7, 70, 2), quorum=2, others=(), later=lambda *_: None, decide=decided.append
    )
    looking = Looking(server)
    looking.hear(1, "follower", 7, (8, 63, 3))
    assert decided == []
    looking.hear(3, "leader", 8, (7, 75, 3))  # it has not agreed on the epoch with the other yet
    assert decided == []
    looking.hear(3, "leader", 8, (8, 75, 3))
    assert decided == [(8, 75, 3)]
    assert server.round == 8


def test_votes_that_were_held_for_a_frozen_server_do_not_hold_up_those_for_the_next() -> None:
    """Seed 2647: a server was killed while it was frozen, and what a link had held for it blocked the link for good."""

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)
        leader, one = await ensemble.leader(), ensemble.followers()[0]
        simulation.network.silence(one.name, leader.name)
        async with asyncio.timeout(60.0):
            while one.mode() is not None:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)  # its vote is held by the link
        leader.freeze()
        simulation.network.heal(one.name, leader.name)
        await asyncio.sleep(2.0)
        leader.kill()
        leader.start()
        await ensemble.ready()

    run(main, 2647)


def test_work_by_hand_ends_at_once_when_its_host_wakes_up_too_late() -> None:
    """Seed 3770: the timers of a loop had stood still with it, and work that nobody asks at each step went on."""

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)
        network, steps = simulation.network, list[float]()
        network.set_rate("laptop", 1.0)

        async def lead() -> None:
            clock = simulation.clock_of("laptop")
            async with Elector(ensemble.where(PATH), session_timeout=10.0, clock=clock) as elector, elector.campaign():
                while True:
                    await asyncio.sleep(0.02)
                    steps.append(simulation.clock())

        with simulation.on("laptop"):
            task = asyncio.create_task(lead())
        await asyncio.sleep(5.0)
        assert steps
        network.suspend("laptop")
        for server in ensemble.servers:
            network.cut("laptop", server.name)  # no news of the servers ends the term, the clock alone can
        await asyncio.sleep(30.0)
        network.thaw("laptop")
        woken = simulation.clock()
        await asyncio.sleep(2.0)
        network.heal("laptop")
        await asyncio.wait({task}, timeout=60.0)
        with pytest.raises(TermEnded):
            task.result()
        assert steps[-1] < woken

    run(main, 3770)


@pytest.mark.parametrize("after", ["others out of reach", "resets"])
def test_a_leader_whose_session_was_closed_hears_of_it_before_the_next_one_begins(after: str) -> None:
    """Seed 7288: it asked servers out of reach first, and went on for as long as they did not answer. Seed 7019: it had lost
    connection after connection, a third of a second each, and paused before it asked again.
    """

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)
        at_work, sessions = list[str](), dict[str, SessionView]()

        async def lead(name: str) -> None:
            options: dict[str, Any] = {"session_timeout": 10.0, "stop_grace": 0.1, "clock": simulation.clock}
            async with Elector(ensemble.where(PATH), identity=name, **options) as elector, elector.campaign():
                assert not at_work
                at_work.append(name)
                assert elector.session is not None
                sessions[name] = elector.session
                try:
                    await asyncio.Event().wait()
                finally:
                    at_work.remove(name)

        tasks = list[asyncio.Task[None]]()
        for name in ("first", "second"):
            with simulation.on(name):
                tasks.append(asyncio.create_task(lead(name)))
            await asyncio.sleep(1.0)
        attached = (sessions["first"].server or "").partition(":")[0]
        if after == "resets":
            for _ in range(6):
                attached = (sessions["first"].server or "").partition(":")[0]
                simulation.network.reset("first", attached)
                await asyncio.sleep(0.3)
        else:
            for server in ensemble.servers:
                if server.name != attached:
                    simulation.network.cut("first", server.name)
        Operator(ensemble).close(sessions["first"].id)
        with pytest.raises(TermEnded):
            await tasks[0]
        await asyncio.sleep(1.0)
        assert at_work == ["second"]
        simulation.network.crash("second")

    run(main, 7288, weather=Weather(latency=0.001))


@pytest.mark.parametrize("how", ["closed", "broken"])
def test_a_simulated_server_sets_no_watch_for_a_connection_that_has_ended(how: str) -> None:
    """Seed 8246: what was asked behind a request that waits for the ensemble is answered with it, whoever still listens."""

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)
        server = ensemble.followers()[0]
        client = await Raw(Transcript(PATH), "client", (server.name, 2181)).connect()
        client.send(CLOSE) if how == "closed" else client.send(SYNC, client.packed(SYNC, PATH))
        client.send(EXISTS, client.packed(EXISTS, PATH, True))
        await (client.hung_up() if how == "closed" else client.shut())
        await asyncio.sleep(1.0)
        assert server.front is not None
        assert len(server.front.watches) == 0

    run(main, 8246)


def test_a_term_that_ends_before_its_node_was_looked_at_leaves_no_watch() -> None:
    """Seed 8246: the reply to its question came after its end, and from then on it asked again at each change, for good."""

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(3, tick=1.0)

        async def work(term: Term) -> None:
            """Over at once."""

        async with Elector(ensemble.where(PATH), session_timeout=10.0, clock=simulation.clock) as elector:
            for _ in range(3):
                await elector.lead(work)
            await asyncio.sleep(1.0)
            assert sum(len(server.front.watches) for server in ensemble.servers if server.front is not None) == 0

    run(main, 8246)
