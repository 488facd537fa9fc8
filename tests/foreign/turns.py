"""So many turns of one play, and what must hold of them. AIOHA_TURNS asks for more than a few (`make interop TURNS=100`):
then on three servers rather than one, and the sessions of the killed are left to the servers.
"""

import asyncio
import os
import random
import uuid
from pathlib import Path

from aioha.testing import Ensemble
from aioha.testing.fixtures import require

from .play import SIDES, Play
from .systems import SYSTEMS, System

__all__ = ["FIXTURE", "LONGEST", "play_turns", "ready"]

FEW, SEED = 10, 5
MANY = int(os.environ.get("AIOHA_TURNS", "0"))
TURNS = max(MANY, FEW)  # in fewer not everyone can have had one
LONGEST = 60.0 + TURNS * 10.0  # seconds: far more than it takes
FIXTURE = "ensemble" if MANY else "zookeeper"
# Seconds. In a few turns nobody waits for a session to expire, so it can be long enough for the busiest machine: foreign
# leaders work on when theirs is lost.
SESSION_TIMEOUT = 3.0 if MANY else 10.0


async def ready(name: str, programs: Path) -> System:
    """The system, its program made; skips the test where that cannot be."""
    system = next(each for each in SYSTEMS if each.name == name)
    require(system.missing is None, system.missing or "")
    await asyncio.to_thread(system.build, programs)
    return system


async def play_turns(name: str, ensemble: Ensemble, programs: Path) -> None:
    """One leader at a time, all list all, and everyone gets turns."""
    system = await ready(name, programs)
    seed = random.SystemRandom().randrange(10**6) if MANY else SEED
    path, many = f"/shared-{uuid.uuid4().hex}", bool(MANY)
    play = Play(system, programs, ensemble.connect_string, path, timeout=SESSION_TIMEOUT, expires=many, seed=seed)
    async with play.curtain():
        for _ in range(TURNS):
            await play.turn()
    play.events.assert_one_at_a_time()
    turns = play.turns
    print(f"{system.name}, seed {seed}: {dict(turns)}, {dict(play.happened)}")
    for side in SIDES:
        each = [turns[f"{side}-{number}"] for number in range(2)]
        assert all(each) if system.queues else any(each), f"{side} had {each} turns of {turns.total()}"
