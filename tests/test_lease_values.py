"""The arithmetic of a lease in single numbers; that it is never too long is `test_lease_model`'s to show."""

import math

import pytest

from aioha.lease import DRIFT, Anchor, Lease, gap_for

NEVER = -math.inf


@pytest.mark.parametrize(
    ("timeout", "tick", "gap"), [(10.0, None, 3.0), (4.0, None, 1.2), (10.0, 2.0, 1.1), (30.0, 0.2, 0.2)]
)
def test_between_two_questions_for_touches_passes_half_a_tick_and_some(
    timeout: float, tick: float | None, gap: float
) -> None:
    assert gap_for(timeout, tick) == pytest.approx(gap)
    lease = Lease(tick=tick)
    lease.attached(100.0, timeout, created=True)
    assert lease.gap == pytest.approx(gap)


def test_there_is_no_lease_before_the_first_proof() -> None:
    lease = Lease()
    assert (lease.anchored, lease.deadline, lease.timeout, lease.pings_prove) == (NEVER, NEVER, math.inf, False)
    assert lease.anchor(5.0) is None
    lease.acknowledged(1.0, 2.0)
    lease.relayed(3.0)
    assert lease.anchor(5.0) is None
    lease.attached(100.0, 10.0, created=False)
    assert (lease.anchored, lease.deadline, lease.timeout) == (NEVER, NEVER, 10.0)
    assert lease.anchor(100.0) == Anchor(100.0, needs_relay=False)


def test_a_lease_is_a_little_shorter_than_the_session() -> None:
    lease = Lease()
    lease.attached(100.0, 10.0, created=True)
    assert lease.length == 10.0 * (1 - DRIFT) == 9.99
    assert (lease.anchored, lease.deadline) == (100.0, 109.99)
    for sent, anchored in ((103.0, 103.0), (102.0, 103.0)):
        lease.proved(Anchor(sent, needs_relay=False))
        assert (lease.anchored, lease.deadline) == (anchored, anchored + 9.99)


def leased() -> Lease:
    """Attached at 100 for 10 s, with a gap of 1.1 s; answered 0.1 s after each of 101, 102 and 103."""
    lease = Lease(tick=2.0)
    lease.attached(100.0, 10.0, created=True)
    for sent in (101.0, 102.0, 103.0):
        lease.acknowledged(sent, sent + 0.1)
    return lease


@pytest.mark.parametrize(
    ("now", "sent", "needs_relay"),
    [(102.1, 100.0, False), (102.3, 101.0, True), (103.3, 102.0, True), (104.3, 103.0, True), (120.0, 103.0, True)],
)
def test_a_write_can_prove_what_was_answered_a_gap_before_it(now: float, sent: float, needs_relay: bool) -> None:
    assert leased().anchor(now) == Anchor(sent, needs_relay)


def test_what_was_relayed_needs_no_more_and_is_taken_if_it_is_enough() -> None:
    lease = leased()
    lease.relayed(102.3)
    lease.relayed(102.0)  # an answer that comes late takes nothing back
    exactly = 101.0 + lease.length - 104.3
    for enough, sent, needs_relay in (
        (6.6, 101.0, False),
        (exactly, 101.0, False),
        (6.8, 103.0, True),
        (math.inf, 103.0, True),
    ):
        assert lease.anchor(104.3, enough=enough) == Anchor(sent, needs_relay)
    lease.relayed(104.3)
    assert lease.anchor(104.3) == Anchor(103.0, needs_relay=False)
    lease.relayed(50.0)
    assert lease.anchor(104.3) == Anchor(103.0, needs_relay=False)


@pytest.mark.parametrize("again", [True, False])
def test_what_rests_on_a_connection_ends_with_it(again: bool) -> None:
    lease = leased()
    lease.relayed(104.3)
    if again:
        lease.attached(105.0, 10.0, created=False)
        assert lease.anchor(120.0) == Anchor(105.0, needs_relay=False)
    else:
        lease.detached()
        assert lease.anchor(120.0) is None
    assert lease.deadline == 109.99


def test_what_is_exactly_old_enough_is() -> None:
    lease = Lease(tick=1.8)
    lease.attached(100.0, 10.0, created=True)
    assert lease.gap == 1.0
    for sent in (101.0, 101.0 + 1 / 64, 101.0 + 1 / 32):
        lease.acknowledged(sent, sent)
    assert [sent for sent, _ in lease._acks] == [101.0, 101.0 + 1 / 32]
    assert lease.anchor(102.0) == Anchor(101.0, needs_relay=True)
    lease.acknowledged(102.0 + 1 / 32, 103.0)
    assert [sent for sent, _ in lease._acks] == [101.0 + 1 / 32, 102.0 + 1 / 32]


def test_of_a_busy_connection_so_many_answers_are_kept_as_can_serve() -> None:
    """One each 32nd part of a gap, and of those that are old enough the newest."""
    lease = Lease(tick=2.0)
    lease.attached(100.0, 10.0, created=True)
    for number in range(1000):
        lease.acknowledged(100.0 + number / 100, 100.0 + number / 100)
    assert [round(sent, 2) for sent, _ in lease._acks][-3:] == [109.88, 109.92, 109.96]
    assert 1.1 * 32 / 1.28 < len(lease._acks) < 32 + 2
    assert 108.8 < lease._acks[0][0] < 108.9
    assert lease._acks[1][0] > 109.96 - 1.1


def test_an_answer_that_is_long_in_coming_is_old_enough_when_it_has_come_a_gap_ago() -> None:
    lease = Lease(tick=2.0)
    lease.attached(100.0, 10.0, created=True)
    for sent, replied in ((101.0, 101.1), (101.5, 104.0), (104.5, 104.6)):
        lease.acknowledged(sent, replied)
    assert [sent for sent, _ in lease._acks] == [101.0, 101.5, 104.5]
    assert lease.anchor(105.0) == Anchor(101.0, needs_relay=True)
    lease.acknowledged(105.2, 105.3)
    assert [sent for sent, _ in lease._acks] == [101.5, 104.5, 105.2]
    assert lease.anchor(105.2) == Anchor(101.5, needs_relay=True)


def test_where_pings_prove_a_reply_counts_from_its_sending_and_an_attach_from_its_own() -> None:
    lease = Lease(pings_prove=True)
    assert lease.pings_prove
    lease.attached(100.0, 10.0, created=False)
    assert lease.anchored == 100.0
    lease.acknowledged(101.0, 105.0)
    assert lease.anchored == 101.0
    assert not lease._acks


@pytest.mark.parametrize(("granted", "counts"), [((10.0, 4.0, 6.0), 4.0), ((10.0, 12.0), 10.0)])
def test_the_shortest_timeout_that_was_ever_granted_counts(granted: tuple[float, ...], counts: float) -> None:
    lease = Lease()
    for timeout in granted:
        lease.attached(100.0, timeout, created=True)
    assert (lease.timeout, lease.deadline) == (counts, 100.0 + counts * (1 - DRIFT))
