"""What random seeds have found, each as the shortest scene that shows it: docs/how-we-know.md has the list.

A seed draws another scene as soon as faults are added, so it is the scene that is kept.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from proof.operator import Operator

from aioha import Elector, SessionFailed, Term, TermEnded
from aioha.testing.simulated import Simulation, acl, run
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


@pytest.mark.parametrize("how", ["closed", "frozen"])
def test_work_that_ignores_its_cancellation_is_told_again(how: str) -> None:
    """Seed 3: a session ended after its leader had resigned, and nobody was told again, though others could begin.
    Seed 34: after a thaw both cancellations came before the work's next step, and were one to it.
    """
    cancellations = list[float]()

    async def main(simulation: Simulation) -> float:
        ensemble = await simulation.ensemble(3, tick=1.0)
        terms = list[Term]()

        async def stubborn() -> None:
            options = {"session_timeout": 10.0, "stop_grace": 1.0, "clock": simulation.clock}
            async with Elector(ensemble.where(PATH), **options) as elector, elector.campaign() as term:  # type: ignore[arg-type]
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
    assert cancellations[0] - told < 0.01
    assert cancellations[1] - told < (1.1 if how == "closed" else 0.02)


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
