"""The simulated servers against the real ones: every exchange of `simulated_cases`, reply by reply.

Each case runs on both, through a lone server, through the ensemble's leader, and through a follower, and must leave the
same transcript: replies, errors, events, their order, zxids, stats. A real server that serves others too (sessions left
by an earlier test expire, one after another) may have zxids more in between: then the case is run again, and again.
"""

import asyncio
import contextlib
import difflib
import itertools
import re
from typing import TypeVar

import pytest
from simulated_cases import CASES, ENSEMBLE_CASES, Case
from simulated_client import Raw, Transcript

from aioha.testing import Ensemble
from aioha.testing.simulated import Simulation, run

ATTEMPTS = 3  # on real servers
MOST_DISTURBED = 20  # attempts that others' transactions have disturbed, and nothing else
ZXID = re.compile(r"z[+-]\d+")
AnyWorld = TypeVar("AnyWorld", bound="World")
FEWEST = 150  # exchanges
_numbers = itertools.count()


class World:
    """What a case is run in. `root`: a node of its own, made by its first client."""

    def __init__(self, addresses: dict[str, tuple[str, int]], tick: float) -> None:
        self.root = f"/conformance-{next(_numbers):06d}"
        self.tick = tick
        self.transcript = Transcript(self.root)
        self._addresses = addresses
        self.raws: list[Raw] = []

    def raw(self, where: str = "here") -> Raw:
        """A connection that is still to be made."""
        raw = Raw(self.transcript, f"{len(self.raws) + 1}@{where}", self._addresses[where])
        self.raws.append(raw)
        return raw

    async def client(self, where: str = "here", timeout: float = 10.0) -> Raw:
        """A session; the first one makes the case's own node."""
        first = not self.raws
        raw = await self.raw(where).connect(timeout)
        if first:
            await raw.create(self.root)
        return raw


async def play(case: Case, world: AnyWorld) -> AnyWorld:
    try:
        await case(world)
    finally:
        for raw in world.raws:  # so that nothing expires into the next case
            await raw.shut()
            closing = Raw(world.transcript.aside(), "end", raw._address)
            with contextlib.suppress(OSError):
                if raw.id and (await closing.connect(like=raw)).id:
                    await closing.close()
            await closing.shut()
    return world


async def in_simulation(case: Case, simulation: Simulation, servers: int, via: str) -> World:
    ensemble = await simulation.ensemble(servers)
    leader = await ensemble.leader()
    roles = {"leader": leader}
    if servers > 1:
        roles["follower"], roles["other"] = ensemble.followers()
    addresses = {name: (server.name, 2181) for name, server in roles.items()}
    return await play(case, World({**addresses, "here": addresses[via]}, ensemble.tick))


def simulated(case: Case, servers: int, via: str, seed: int = 0) -> World:
    return run(lambda simulation: in_simulation(case, simulation, servers, via), seed)


def real(case: Case, ensemble: Ensemble, via: str) -> World:
    roles = {"leader": ensemble.leader()}
    if len(ensemble.servers) > 1:
        roles["follower"], roles["other"] = ensemble.followers()
    addresses = {name: ("127.0.0.1", server.port) for name, server in roles.items()}
    return asyncio.run(play(case, World({**addresses, "here": addresses[via]}, ensemble.tick)))


def compare(case: Case, ensemble: Ensemble, via: str) -> None:
    expected = simulated(case, len(ensemble.servers), via).transcript.lines
    differences = list[str]()
    failed = disturbed = 0
    while failed < ATTEMPTS and disturbed < MOST_DISTURBED:
        try:
            found = real(case, ensemble, via).transcript.lines
        except TimeoutError:  # seen twice in some 3,000 plays: the real server does not answer a write, for no reason known
            failed += 1
            differences.append("the real server did not answer")
            continue
        if found == expected:
            return
        if without_zxids(found) == without_zxids(expected):
            disturbed += 1
        else:
            failed += 1
        differences += difflib.unified_diff(found, expected, "real", "simulated", lineterm="")
    pytest.fail("\n".join(differences), pytrace=False)


def without_zxids(lines: list[str]) -> list[str]:
    return [ZXID.sub("z", line) for line in lines]


@pytest.mark.parametrize("name", CASES)
def test_lone_server(zookeeper: Ensemble, name: str) -> None:
    compare(CASES[name], zookeeper, "leader")


@pytest.mark.parametrize("name", CASES)
def test_leader_of_three(ensemble: Ensemble, name: str) -> None:
    compare(CASES[name], ensemble, "leader")


@pytest.mark.parametrize("name", CASES)
def test_follower_of_three(ensemble: Ensemble, name: str) -> None:
    compare(CASES[name], ensemble, "follower")


@pytest.mark.parametrize("name", ENSEMBLE_CASES)
def test_ensemble(ensemble: Ensemble, name: str) -> None:
    compare(ENSEMBLE_CASES[name], ensemble, "follower")


def test_exchanges_are_enough() -> None:
    count = sum(simulated(case, 1, "leader").transcript.exchanges for case in CASES.values())
    count += sum(simulated(case, 3, "follower").transcript.exchanges for case in ENSEMBLE_CASES.values())
    print(f"\n{len(CASES) + len(ENSEMBLE_CASES)} cases, {count} exchanges")
    assert count >= FEWEST
