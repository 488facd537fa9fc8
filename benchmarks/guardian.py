"""How long nobody works after a guarded leader was killed: in the time of a handover, not of a session.

`guarded`: all servers answer. `guarded, a server frozen`: one that neither the leader nor the next one is attached to,
and that is not the ensemble's leader (that one would stop all commits). Servers that have just been started run code that
Java has not compiled yet, which no ensemble in use does: the first kills are a figure of their own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from .crew import SYSTEMS, Crew
from .figures import Figure
from .stores import Store

__all__ = ["guardian"]

SESSION_TIMEOUT = 10.0  # seconds: the default
JOINED = 4.0  # seconds until a new standby has its lease: a wait of 0.4 T
BOUND = 30.0
MS = 1e6


async def guardian(store: Store, runs: int) -> list[Figure]:
    """SIGKILL of the leader to LEAD of the next one, in ms."""
    assert store.ensemble is not None
    frozen = next(each for each in store.ensemble.servers if each is not store.ensemble.leader())
    others = [each.address for each in store.ensemble.servers if each is not frozen]
    samples = await _kills(store, others, [], 2 * runs)
    with_frozen: list[float] = []
    if len(others) > 1:
        frozen.freeze()
        with_frozen = await _kills(store, others, [frozen.address], max(2, runs // 3))
        frozen.thaw()
    system = "aioha-guarded"
    return [
        Figure("guarded crash, servers just started", store.name, system, "ms", samples[:runs]),
        Figure("guarded crash", store.name, system, "ms", samples[runs:]),
        *([Figure("guarded crash, a server frozen", store.name, system, "ms", with_frozen)] if with_frozen else []),
    ]


async def _kills(store: Store, healthy: Sequence[str], more: Sequence[str], runs: int) -> list[float]:
    # The frozen one may come first, in the middle or last: candidates shuffle their servers.
    everything = ",".join([*healthy, *more])
    samples: list[float] = []
    async with _pair(store, everything) as crew:
        for _ in range(runs):
            await asyncio.sleep(JOINED)
            leader = await crew.leader(BOUND)
            mark = len(crew.said)
            began = await crew.kill(leader)
            lead = await crew.until("LEAD", BOUND, since=mark)
            samples.append((lead.at - began) / MS)
            mark = len(crew.said)
            await crew.add(leader.who)
            await crew.until("UP", BOUND, who=leader.who, since=mark)
    return samples


@contextlib.asynccontextmanager
async def _pair(store: Store, servers: str) -> AsyncIterator[Crew]:
    system = next(each for each in SYSTEMS if each.name == "aioha-guarded")
    async with Crew(system, [servers], store.directory, timeout=SESSION_TIMEOUT) as crew:
        await crew.start(2)
        await crew.leader(BOUND)
        yield crew
