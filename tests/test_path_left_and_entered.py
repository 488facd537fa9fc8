"""A path that is left while no server answers, and entered again on the same session; in virtual time."""

import asyncio
from typing import Any

import pytest
from bareelections import PATH, Scene, T, played

from aioha.elections.zookeeper.ephemeral import EphemeralElection
from aioha.elections.zookeeper.queue import QueueElection
from aioha.settings import Settings


@pytest.mark.parametrize(("layout", "kind"), [("ephemeral", EphemeralElection), ("latch", QueueElection)])
def test_whoever_enters_waits_until_what_was_left_there_has_gone(
    layout: Any, kind: type[EphemeralElection] | type[QueueElection]
) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout)  # elsewhere; its session is shared
        a.sessions.unclaim(PATH)
        settings = Settings(identity="a", layout=layout, session_timeout=T, clock=scene.simulation.clock)
        left, again = (kind(PATH, settings, a.sessions, owns_sessions=False) for _ in range(2))
        await a.do(left.open())
        first = await a.do(left.win())
        scene.simulation.network.cut("a", "zk1")
        a.begin_release(first)
        await a.do(left.close(), bound=5.5)
        await a.do(again.open(), bound=1.5)
        assert again._leaving is left._leaving
        winning = a.start(again.win())
        await asyncio.sleep(0.2)
        assert not winning.done()
        scene.simulation.network.heal()
        async with asyncio.timeout(60.0):
            second = await winning
        assert second.token > first.token
        assert second.session.id == first.session.id
        await asyncio.sleep(1.0)
        assert second.ended is None
        a.begin_release(second)
        await a.do(again.close())

    played(play)
