"""What a heartbeat waits for, and how long: in virtual time, on a connection whose server says nothing."""

import asyncio
from typing import Any

import pytest

from aioha.heartbeat import LATE, Heartbeat
from aioha.lease import Lease
from aioha.testing.simulated import Simulation, run
from aioha.wire.errors import ConnectionLoss

TIMEOUT = 6.0
SILENCE = 1.0  # a sixth of it


class Silent:
    """A connection that answers nothing. `unanswered_since`: of what was sent before the heartbeat, or of the heartbeat."""

    def __init__(self, clock: Any, since: float | None) -> None:
        self.unanswered_since = since
        self.lost: str | None = None
        self.lost_at = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._clock = clock
        self._replies: list[asyncio.Future[Any]] = []

    def send(self, request: object, then: object = None) -> "asyncio.Future[Any]":
        if self.unanswered_since is None:
            self.unanswered_since = self._clock()
        self._replies.append(asyncio.get_running_loop().create_future())
        return self._replies[-1]

    def abort(self, reason: str) -> None:
        if self.lost is None:
            self.lost, self.lost_at = reason, self._clock()
            self.ended.set_result(None)
            for reply in self._replies:
                if not reply.done():
                    reply.set_exception(ConnectionLoss())


@pytest.mark.parametrize(("before", "dropped_after"), [(None, SILENCE), (0.25, 0.75), (5.0, LATE)])
def test_a_silent_server_is_left_in_time(before: float | None, dropped_after: float) -> None:
    """Counted from the oldest request without an answer. After a standstill what has come meanwhile is read first."""

    async def main(simulation: Simulation) -> float:
        lease = Lease()
        lease.attached(simulation.clock(), TIMEOUT, created=True)
        begun = simulation.clock()
        connection = Silent(simulation.clock, None if before is None else begun - before)
        await Heartbeat(lease, simulation.clock).run(connection)  # type: ignore[arg-type]
        assert connection.lost is not None
        assert connection.lost.startswith("no answer for")
        return connection.lost_at - begun

    assert run(main) == pytest.approx(dropped_after)
