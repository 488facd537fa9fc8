"""The random simulation itself: what it plays is what it says, a failure is found, shortened and played again; and seeds.

`make simulate SEEDS=n` plays as many as one likes; here a few, the same each time.
"""

import re
import shlex

import pytest
from proof import schedule, simulate
from proof.play import play
from proof.scene import draw
from proof.schedule import Entry, parse, written
from proof.shrink import shrunk

from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.grant import SessionGrant

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


@pytest.mark.parametrize("layout", DIALECTS)
@pytest.mark.parametrize("seed", range(101, 105))
def test_seed_in_a_queue(seed: int, layout: str) -> None:
    outcome = play(seed, MINUTES, layout=layout)
    assert outcome.violations == [], simulate.replay(seed, MINUTES, outcome.entries, layout)
    assert outcome.terms > 0


@pytest.mark.parametrize("seed", [32, 95, 119, 156, 183, 209, 302, 312])
def test_a_seed_in_a_queue_that_has_failed_once(seed: int) -> None:
    """docs/how-we-know.md says what was wrong."""
    assert play(seed, layout="latch").violations == []
