"""How soon it is heard that a session was closed: what follows from how long servers take to answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioha.hearing import Hearing

SECONDS = st.floats(min_value=0.0, max_value=10.0)


def heard(*trips: tuple[float, float], greeting: float = 0.0, created: bool = False, authenticates: bool = False) -> Hearing:
    hearing = Hearing(authenticates=authenticates)
    hearing.attached(0.0, greeting, created=created)
    for sent, replied in trips:
        hearing.answered(sent, replied)
    return hearing


def test_before_anything_was_asked() -> None:
    assert (Hearing().round_trip, Hearing().patience, Hearing().within) == (0.0, 0.05, 0.1)


def test_the_quickest_of_late_counts() -> None:
    assert heard((0.0, 1.0), (1.0, 1.25)).round_trip == 0.25
    assert heard((0.0, 0.25), (1.0, 2.0)).round_trip == pytest.approx(0.275)
    assert heard((0.0, 0.25), (1.0, 2.0), (2.0, 3.0), (3.0, 3.3)).round_trip == pytest.approx(0.3)


@pytest.mark.parametrize("count", [2, 200])
def test_many_that_are_on_their_way_together_make_it_grow_once(count: int) -> None:
    """Else a burst of requests, answered one after the other, would pass for a link that has become slower."""
    burst = [(1.0 + number / 1000, 2.0 + number / 1000) for number in range(count)]
    assert heard((0.0, 0.01), *burst).round_trip == pytest.approx(0.011)


@pytest.mark.parametrize(("trip", "patience"), [(0.001, 0.05), (0.016, 0.05), (0.02, 0.06), (0.5, 1.5)])
def test_a_first_answer_may_take_three_round_trips_and_50_ms_at_least(trip: float, patience: float) -> None:
    assert heard((0.0, trip)).patience == pytest.approx(patience)


@pytest.mark.parametrize(("authenticates", "trips"), [(False, 4), (True, 5)])
def test_what_it_takes_until_it_is_known(authenticates: bool, trips: int) -> None:
    hearing = heard((0.0, 0.25), greeting=0.5, authenticates=authenticates)
    assert hearing.within == pytest.approx(2 * 0.5 + trips * 0.25 + 0.1)


def test_how_long_a_quorum_took_to_make_the_session_says_nothing() -> None:
    assert heard((0.0, 0.25), greeting=9.0, created=True).within == pytest.approx((2 + 4) * 0.25 + 0.1)


def test_a_greeting_takes_as_long_as_any_round_trip_at_least() -> None:
    assert heard((0.0, 0.25), greeting=0.125).within == pytest.approx((2 + 4) * 0.25 + 0.1)


def test_whoever_takes_us_back_may_ask_far_away() -> None:
    hearing = heard((0.0, 0.001), created=True)
    hearing.relayed(1.0, 1.5)
    hearing.relayed(2.0, 2.25)
    hearing.relayed(3.0, 4.0)
    assert hearing.trips == pytest.approx((0.001, 0.275))
    assert hearing.within == pytest.approx(2 * 0.275 + 4 * 0.001 + 0.1)


def test_how_long_it_took_to_be_taken_back_counts_until_the_leader_has_been_asked() -> None:
    hearing = heard((0.0, 0.001), created=True)
    hearing.relayed(1.0, 1.5)
    hearing.attached(2.0, 2.25, created=False)  # by another server, perhaps
    assert hearing.trips == (0.001, 0.25)
    hearing.relayed(3.0, 4.0)
    assert hearing.trips == (0.001, 1.0)


@pytest.mark.parametrize(("created", "known"), [(True, False), (False, True)])
def test_a_new_session_does_not_know_the_leader(created: bool, known: bool) -> None:
    hearing = heard((0.0, 0.001), greeting=0.0, created=created)
    assert (hearing.knows_leader, hearing.trips) == (known, (0.001, 0.0))
    hearing.relayed(1.0, 1.0)
    assert (hearing.knows_leader, hearing.trips) == (True, (0.001, 0.0))
    hearing.relayed(2.0, 2.5)  # no trip takes nothing: the clock is coarse
    assert hearing.trips == (0.001, 0.5)


@given(trip=SECONDS, greeting=SECONDS, authenticates=st.booleans())
def test_it_is_long_enough(trip: float, greeting: float, *, authenticates: bool) -> None:
    """The session was closed as a server took us in, at the earliest when it was half way through with that; it says nothing
    more, and the next one tells.
    """
    hearing = heard((0.0, trip), greeting=greeting, authenticates=authenticates)
    takes = greeting / 2 + authenticates * trip + hearing.patience + trip + greeting
    assert hearing.within >= takes
