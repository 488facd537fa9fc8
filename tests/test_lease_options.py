"""What the options say of the lease is what every session's lease goes by, the second one's as well. Without servers."""

import math

import pytest

from aioha.elections.zookeeper import sessions_for
from aioha.lease import Lease, gap_for
from aioha.session_state import SessionState
from aioha.settings import Settings
from aioha.where import parse

TIMEOUT = 8.0


async def leases(**options: object) -> list[Lease]:
    """Of a session that waits for its first server, and of the one after it."""
    where = parse("zk://127.0.0.1:1/nobody/listens")
    settings = Settings.resolve(where, session_timeout=TIMEOUT, connect_timeout=math.inf, **options)  # type: ignore[arg-type]
    sessions = sessions_for(where, settings)
    await sessions.open(math.inf)
    try:
        first = sessions.current
        assert first is not None
        first.lease.attached(0.0, TIMEOUT, created=False)
        first._die(SessionState.EXPIRED, "expired")
        second = sessions._begin()
        second.lease.attached(0.0, TIMEOUT, created=False)
        return [first.lease, second.lease]
    finally:
        await sessions.close()


@pytest.mark.parametrize("tick", [None, 3.0])
async def test_the_tick_that_the_servers_are_said_to_have_is_the_one_that_is_counted_with(tick: float | None) -> None:
    """Below two ticks a lease that guesses the tick is too long: see `test_lease_model`."""
    assert [lease.gap for lease in await leases(tick=tick)] == [gap_for(TIMEOUT, tick)] * 2


async def test_a_reply_proves_a_lease_only_where_that_was_asked_for() -> None:
    assert [lease.pings_prove for lease in await leases()] == [False, False]
    assert [lease.pings_prove for lease in await leases(lease="ping")] == [True, True]


def test_where_pings_prove_each_reply_does_and_counts_from_its_sending() -> None:
    """What `test_lease_model` plays at length."""
    for pings_prove, anchored in ((False, 0.0), (True, 5.0)):
        lease = Lease(pings_prove=pings_prove)
        lease.attached(0.0, TIMEOUT, created=True)
        lease.acknowledged(5.0, 5.5)
        assert lease.deadline == anchored + lease.length
        assert TIMEOUT * 0.99 < lease.length < TIMEOUT
