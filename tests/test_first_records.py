"""What the first record of a session says, on servers that are far from their leader; in virtual time."""

import asyncio

import pytest
from bareelections import ROUND_TRIP, Scene, played

from aioha.record import parse_record
from aioha.testing.simulated import Weather

GRACE, FAR = 0.5, 0.04  # seconds that the work needs, and one way between two servers


@pytest.mark.parametrize("layout", ["ephemeral", "latch", "zk-recipes"])
def test_how_far_the_ensembles_leader_is_counts_from_the_first_term_on(layout: str) -> None:
    """Whoever takes us back asks there, so we hear so much later that our session was closed."""
    relays = set[float]()

    async def play(scene: Scene) -> None:
        leader = await scene.ensemble.leader()
        for one in scene.ensemble.servers:
            for other in scene.ensemble.servers:
                if one is not other:
                    scene.simulation.network.link(one.name, other.name).weather = Weather(FAR, 0.0)
        candidate = await scene.candidate("a", layout, stop_grace=GRACE)
        await candidate.win()
        await asyncio.sleep(3.0)
        relay = ROUND_TRIP + (0.0 if str(candidate.sessions.server).startswith(leader.name) else 2 * FAR)
        relays.add(relay)
        recorded = parse_record(scene.data(".aioha"))
        least = GRACE + 2 * relay + 4 * ROUND_TRIP + 0.1
        assert least <= recorded.stop_grace + 0.001
        assert recorded.stop_grace < least + 4 * ROUND_TRIP

    for seed in range(8):
        played(play, servers=3, seed=seed)
    assert max(relays) > ROUND_TRIP
