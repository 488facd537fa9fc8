"""The checkers are checked: bugs planted in production code are caught by random elections, and unchanged code is not.

All of them, and many seeds: `python -m proof.mutants`. Here a handful of those that are caught within a few short runs.
"""

import inspect
from collections.abc import Iterator

import pytest
from proof.mutants import MUTANTS, Change, Mutant
from proof.mutants.hunt import Broken, caught_at, hunt, is_clean

SHORT = 0.4  # virtual minutes, from the beginning of a run
QUICK = (
    "ping-lease",
    "no-gap",
    "no-timer",
    "release-first",
    "cancelled-twice",
    "blind-retry",
    "second-term-on-one-node",
)
MINUTES, SEEDS = 3.0, range(30)  # the slowest of them is caught at seed 7


def every_change() -> Iterator[tuple[str, Change]]:
    return ((mutant.name, change) for mutant in MUTANTS.values() for change in mutant.changes)


@pytest.mark.parametrize("name", QUICK)
def test_planted_bug_is_caught_where_unchanged_code_is_clean(name: str) -> None:
    found = hunt(MUTANTS[name], SEEDS, MINUTES)
    assert found.violation is not None
    assert found.seed is not None
    assert found.violation.invariant in MUTANTS[name].breaks
    assert is_clean(found.seed, MINUTES)


@pytest.mark.parametrize(
    "change", [pytest.param(change, id=f"{name}-{change.attribute}") for name, change in every_change()]
)
def test_what_is_replaced_is_there_and_takes_the_same_arguments(change: Change) -> None:
    found = inspect.getattr_static(change.owner, change.attribute)
    assert found is not change.planted
    if inspect.isfunction(found):
        planted = inspect.signature(change.planted).parameters.values()
        if not any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in planted):
            assert len(planted) == len(inspect.signature(found).parameters)


@pytest.mark.parametrize("name", MUTANTS)
def test_planted_bug_runs_and_is_taken_out_again(name: str) -> None:
    before = [inspect.getattr_static(change.owner, change.attribute) for change in MUTANTS[name].changes]
    caught_at(MUTANTS[name], 1, SHORT)  # raises `Broken` if it is a bug of another kind than it is meant to be
    assert before == [inspect.getattr_static(change.owner, change.attribute) for change in MUTANTS[name].changes]


class Production:
    """Stands for it."""

    answer = 1


def test_planting_what_production_code_has_no_more_fails_loudly() -> None:
    gone = Mutant("gone", "it was renamed", ("I1",), (Change(Production, "answer", 2), Change(Production, "question", 0)))
    with pytest.raises(AttributeError), gone.planted():
        pass
    assert Production.answer == 1


def test_a_mutant_that_fails_by_itself_is_no_catch() -> None:
    def fails(self: object, ledger: object, successor: object) -> None:
        raise AttributeError("renamed")

    bid = MUTANTS["any-version"].changes[0]
    broken = Mutant("broken", "it fails", ("I1",), (Change(bid.owner, bid.attribute, fails),))
    with pytest.raises(Broken, match="broken at seed 1: .*renamed"):
        caught_at(broken, 1, SHORT)


def test_what_changes_nothing_survives() -> None:
    lease = MUTANTS["no-relay"].changes[0]
    same = Mutant("same", "nothing", ("I3",), (Change(lease.owner, lease.attribute, lease.owner.anchor),))
    survived = hunt(same, range(2), SHORT)
    assert (survived.violation, survived.played, survived.unclean) == (None, 2, [])
    assert "SURVIVES 2 seeds" in str(survived)
