"""The random simulation itself: what it plays is what it says, a failure is found, shortened and played again; and seeds.

`make simulate SEEDS=n` plays as many as one likes; here a few, the same each time, and those that once found a bug.
"""

import asyncio
import re
import shlex
from typing import Any

import pytest
from proof import schedule, simulate
from proof.operator import Operator
from proof.play import play
from proof.scene import draw
from proof.schedule import Entry, parse, written
from proof.shrink import shrunk

from aioha import Elector, SessionFailed, Term
from aioha.elections.zookeeper.grant import SessionGrant
from aioha.testing.simulated import Simulation, acl, run
from aioha.testing.simulated.codes import Perm

PATH = "/service/election"
SEEDS = range(1, 13)
MINUTES = 5.0


# ---------------------------------------------------------------------- the tools


@pytest.mark.parametrize("seed", range(40))
def test_a_schedule_is_one_line_and_back(seed: int) -> None:
    entries = schedule.draw(draw(seed))
    assert parse(written(entries)) == entries
    assert schedule.draw(draw(seed)) == entries


@pytest.mark.parametrize("text", ["12", "12 nonsense leading 1", "x crash leading 1", "1 crash leading 1 sometime+3"])
def test_a_schedule_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        parse(f"1 crash leading 2; {text}")


def test_every_fault_can_be_injected() -> None:
    from proof.faults import INJECTORS

    assert set(INJECTORS) == set(schedule.FAULTS)


@pytest.mark.parametrize("needed", [(), (7,), (3, 31), (0, 15, 39), tuple(range(40))])
def test_what_is_not_needed_is_left_out(needed: tuple[int, ...]) -> None:
    assert shrunk(range(40), lambda some: set(needed) <= set(some), most=2000) == list(needed)


def test_shrinking_ends() -> None:
    trials = list[int]()

    def fails(some: object) -> bool:
        trials.append(1)
        return {3, 31} <= set(some)  # type: ignore[call-overload]

    assert {3, 31} <= set(shrunk(range(1000), fails, most=10))
    assert len(trials) <= 12


def test_a_planted_bug_is_found_shortened_and_played_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody whose session has ended works on, and says so nowhere."""
    minutes = 1.5
    scenes = (draw(seed, minutes) for seed in range(100))
    seed = next(scene.seed for scene in scenes if scene.record and not scene.is_rough and scene.timeout == 10)
    entries = parse("8 reset leading 0; 9 slow standby 0.5; 12 stranger leading 0; 17 reset standby 0")
    assert play(seed, minutes, entries).violations == []
    monkeypatch.setattr(SessionGrant, "_end", lambda self, why: None)
    outcome = play(seed, minutes, entries)
    assert {violation.invariant for violation in outcome.violations} == {"I1"}
    short = simulate.shrink(seed, minutes, entries, {"I1"})
    assert [entry.fault for entry in short] == ["stranger"]
    line = simulate.replay(seed, minutes, short)
    command = shlex.split(line)
    assert command[:4] == ["PYTHONPATH=tests", "python", "-m", "proof.simulate"]
    assert simulate.main(command[4:]) == 1
    assert "VIOLATION I1" in capsys.readouterr().out
    monkeypatch.undo()
    assert simulate.main(command[4:]) == 0


def test_the_same_seed_is_the_same_run() -> None:
    first, second = play(5, 3.0), play(5, 3.0)
    assert first.fingerprint == second.fingerprint
    assert first.facts == second.facts
    assert play(6, 3.0).fingerprint != first.fingerprint


def test_a_schedule_may_be_shortened_and_the_rest_remains() -> None:
    whole = draw(11)
    assert play(11, 2.0, [Entry(20.0, "reset", "leading")]).scene == draw(11, 2.0)
    assert whole == draw(11)


# ---------------------------------------------------------------------- seeds


@pytest.mark.parametrize("seed", SEEDS)
def test_seed(seed: int) -> None:
    outcome = play(seed, MINUTES)
    assert outcome.violations == [], simulate.replay(seed, MINUTES, outcome.entries)
    assert outcome.terms > 0


# ---------------------------------------------------------------------- what seeds have found


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
            operator.set_acl(f"{PATH}.aioha", (acl.Entry(Perm.READ, "world", "anyone"),))
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
