"""How long nobody works: after a leader resigned (`handover`), and after it was killed (`crash`).

Systems are measured in the same rounds, in random order, so that whatever else the machine does meets all of them.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from .crew import Crew, System
from .figures import Figure
from .stores import Store

__all__ = ["crash", "handover"]

CANDIDATES = 3
SESSION_TIMEOUT = 10.0  # seconds: the default of the libraries; a handover does not depend on it
CRASH_TIMEOUT = 2.0  # seconds: a crash is noticed when the session expires
SETTLE = 1.0  # seconds between the last process's start and the first sample: imports and joining are not timed
REST = 0.06  # seconds between handovers: who resigned is back in line
WARM_UP = 5  # rounds that do not count: the servers compile, paths are made
BOUND = 30.0  # seconds for any one takeover
MS = 1e6
S = 1e9


async def handover(store: Store, systems: Sequence[System], runs: int) -> list[Figure]:
    """STOP of who resigned to LEAD of the next one, in ms."""
    async with _crews(store, systems, SESSION_TIMEOUT) as crews:
        samples: dict[str, list[float]] = {each.name: [] for each in systems}
        again = dict.fromkeys(samples, 0)
        for turn in range(-min(WARM_UP, runs), runs):
            for crew in random.sample(crews, len(crews)):
                gap, same = await _resign(crew)
                if turn >= 0:
                    samples[crew.system.name].append(gap / MS)
                    again[crew.system.name] += same
                await asyncio.sleep(REST)
    return [
        _figure("handover", store, system, systems, "ms", samples[system.name], same_again=again[system.name])
        for system in systems
    ]


async def crash(store: Store, systems: Sequence[System], runs: int) -> list[Figure]:
    """`kill -9` of the leader to LEAD of the next one: in s on ZooKeeper, all systems side by side; in ms on `local`."""
    local = store.servers == ("local",)
    samples: dict[str, list[float]] = {each.name: [] for each in systems}

    async def once(crew: Crew) -> None:
        samples[crew.system.name].append(await _kill(crew) / (MS if local else S))

    async def waiting_its_turn(crew: Crew) -> None:
        for _ in range(runs):
            await asyncio.sleep(random.uniform(0.5, 0.5 + CRASH_TIMEOUT / 3))  # a random phase of its heartbeats
            await once(crew)

    async with _crews(store, systems, CRASH_TIMEOUT) as crews:
        if local:  # milliseconds: one at a time
            for _ in range(runs):
                for crew in random.sample(crews, len(crews)):
                    await once(crew)
        else:  # seconds of waiting: nobody disturbs anybody
            await asyncio.gather(*(waiting_its_turn(crew) for crew in crews))
    unit = "ms" if local else "s"
    return [_figure("crash", store, system, systems, unit, samples[system.name]) for system in systems]


@contextlib.asynccontextmanager
async def _crews(store: Store, systems: Sequence[System], timeout: float) -> AsyncIterator[list[Crew]]:
    async with contextlib.AsyncExitStack() as stack:
        crews: list[Crew] = []
        for system in systems:
            crew = Crew(system, store.servers, store.directory, timeout=timeout)
            crews.append(await stack.enter_async_context(crew))
            await crew.start(CANDIDATES)
        await asyncio.sleep(SETTLE)
        yield crews


async def _resign(crew: Crew) -> tuple[int, bool]:
    """ns from STOP to LEAD, and whether the same one won again."""
    leader = await crew.leader(BOUND)
    mark = len(crew.said)
    leader.resign()
    stop = await crew.until("STOP", BOUND, who=leader.who, since=mark)
    lead = await crew.until("LEAD", BOUND, since=mark)
    if lead.at < stop.at:
        raise AssertionError(f"{crew.system.name}: {lead.who} led {stop.at - lead.at} ns before {stop.who} had stopped")
    return lead.at - stop.at, lead.who == leader.who


async def _kill(crew: Crew) -> int:
    """ns from SIGKILL to LEAD. The dead one is replaced by a new process, which is up when this returns."""
    leader = await crew.leader(BOUND)
    mark = len(crew.said)
    began = await crew.kill(leader)
    lead = await crew.until("LEAD", BOUND, since=mark)
    mark = len(crew.said)
    await crew.add(leader.who)
    await crew.until("UP", BOUND, who=leader.who, since=mark)
    return lead.at - began


def _figure(
    scenario: str,
    store: Store,
    system: System,
    systems: Sequence[System],
    unit: str,
    samples: list[float],
    same_again: int = 0,
) -> Figure:
    yardstick = next((each.name for each in systems if each.yardstick), "")
    notes = {"same again": same_again} if same_again else {}
    return Figure(scenario, store.name, system.name, unit, samples, yardstick, notes)
