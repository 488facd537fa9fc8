"""Sessions that are closed by a stranger just as their owner comes back to them, in virtual time."""

import asyncio
from typing import Any

import pytest
from test_faults_simulated import every_seed
from test_simulated_elections import TIMEOUT, Scene

A_MOMENT = 0.001  # seconds


def session_of(candidate: Any) -> int:
    id_: int = candidate.elector.session.id
    return id_


@pytest.mark.parametrize("later", [0.0, 0.01])  # while its first heartbeat is under way, and when that was answered
@pytest.mark.parametrize("role", ["leader", "follower", "alone"])
def test_its_servers_do_not_tell_who_has_come_back_that_its_session_was_closed(role: str, later: float) -> None:
    """A follower answers its pings for ever, the others drop all that it asks: it finds out, and is a candidate again."""

    async def play(scene: Scene) -> None:
        server = scene.ensemble.followers()[0] if role == "follower" else await scene.ensemble.leader()
        first = await scene.leading(at=server, standbys=1)
        session, front = session_of(first), server.front
        assert front is not None
        front.dismiss(session)  # the stranger attaches to it
        while not front.is_attached(session):
            await asyncio.sleep(A_MOMENT)
        await asyncio.sleep(later)
        front.close_late(session)
        second = await scene.history.until(2)
        assert second.who == scene.candidates[1].host
        await asyncio.sleep(TIMEOUT)
        assert session_of(first) != session
        await scene.candidates[1].stop()
        assert (await scene.history.until(3)).who == first.host

    every_seed(play, servers=1 if role == "alone" else 3)
