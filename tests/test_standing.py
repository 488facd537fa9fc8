"""Where a candidate stands: every pair of standing and event, walked."""

import itertools

import pytest

from aioha.standing import Event, Standing, after

S, E = Standing, Event

# The whole table once more, by hand: what is not in here cannot happen.
TABLE = {
    (S.OUT, E.JOIN): S.STANDBY,
    (S.STANDBY, E.WITHDRAW): S.OUT,
    (S.STANDBY, E.WORK): S.LEADING,
    (S.LEADING, E.DOUBT): S.DOUBTFUL,
    (S.LEADING, E.SURE): S.LEADING,
    (S.LEADING, E.STOP): S.RESIGNING,
    (S.DOUBTFUL, E.DOUBT): S.DOUBTFUL,
    (S.DOUBTFUL, E.SURE): S.LEADING,
    (S.DOUBTFUL, E.STOP): S.RESIGNING,
    (S.RESIGNING, E.LEFT): S.OUT,
}
PAIRS = list(itertools.product(Standing, Event))


@pytest.mark.parametrize(("standing", "event"), PAIRS, ids=lambda each: each.name)
def test_every_pair_leads_somewhere_or_cannot_happen(standing: Standing, event: Event) -> None:
    if (standing, event) in TABLE:
        assert after(standing, event) is TABLE[standing, event]
    else:
        with pytest.raises(LookupError) as raised:
            after(standing, event)
        assert str(raised.value) == f"{event.name} cannot happen in {standing.name}"
        assert raised.value.__suppress_context__


def reachable(start: Standing, *, without: Standing | None = None) -> set[Standing]:
    found, new = {start}, [start]
    while new:
        standing = new.pop()
        for (before, event), following in TABLE.items():
            if before is standing and following is not without and following not in found:
                assert after(before, event) is following
                found.add(following)
                new.append(following)
    return found


def test_every_standing_can_be_reached_and_left_for_good() -> None:
    assert reachable(Standing.OUT) == set(Standing)
    for standing in Standing:
        assert Standing.OUT in reachable(standing)


def test_the_work_runs_while_leading_or_doubtful_only() -> None:
    assert {standing for standing in Standing if standing.may_work} == {Standing.LEADING, Standing.DOUBTFUL}


def test_work_begins_with_work_and_ends_with_stop_and_nothing_else() -> None:
    for (before, event), following in TABLE.items():
        assert (not before.may_work and following.may_work) == (event is Event.WORK)
        assert (before.may_work and not following.may_work) == (event is Event.STOP)


def test_nobody_leads_without_standing_by_nor_leaves_work_without_resigning() -> None:
    assert reachable(Standing.OUT, without=Standing.STANDBY) == {Standing.OUT}
    assert Standing.OUT not in reachable(Standing.LEADING, without=Standing.RESIGNING)


def test_nobody_works_again_on_a_term_that_was_told_to_stop() -> None:
    assert not any(standing.may_work for standing in reachable(Standing.RESIGNING, without=Standing.OUT))


def test_the_names_are_those_of_the_documentation() -> None:
    assert [standing.name for standing in Standing] == ["OUT", "STANDBY", "LEADING", "DOUBTFUL", "RESIGNING"]
    assert all(standing.value == standing.name.lower() for standing in Standing)
