"""Many turns with random faults: never two leaders at a time, tokens that only rise, and how long nobody worked.

Five candidates on three servers. Each turn the leader resigns or is killed; beside it standbys are killed and servers
are killed and started again. What happened is judged afterwards, by the candidates' own time stamps (`judge`).
"""

import asyncio
import itertools
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .crew import SYSTEMS, Candidate, Crew, Said
from .figures import Figure
from .stores import Store

__all__ = ["Term", "judge", "turns"]

CANDIDATES = 5
SESSION_TIMEOUT = 2.0  # seconds
BOUND = 60.0  # seconds for one takeover: with a server down and another starting on a busy machine
FAULTS = {"resign": 50, "kill": 25, "kill a standby, resign": 10, "restart a server, resign": 15}  # weights
SHORTEST_TERM, LONGEST_TERM = 0.0, 0.3  # seconds from a takeover to the next fault
SHORTEST_DOWN, LONGEST_DOWN = 0.05, 0.5  # seconds
S = 1e9


@dataclass(frozen=True, slots=True)
class Term:
    """One term as its leader told it; `end` is None where it was still running when the run ended. Times in ns."""

    who: str
    token: int
    begin: int
    end: int | None
    ended_by: str


def judge(terms: Sequence[Term]) -> tuple[list[str], dict[str, list[float]]]:
    """What is wrong, in words, and seconds without a leader by what had ended the term before."""
    wrong: list[str] = []
    gaps: dict[str, list[float]] = {}
    ordered = sorted(terms, key=lambda term: term.begin)
    for before, after in itertools.pairwise(ordered):
        if before.end is None or after.begin < before.end:
            late = "never" if before.end is None else f"{(before.end - after.begin) / S:.4f} s too late"
            wrong.append(f"two leaders: {before.who} ended {late} for {after.who} (tokens {before.token}, {after.token})")
        else:
            gaps.setdefault(before.ended_by, []).append((after.begin - before.end) / S)
        if after.token <= before.token:
            wrong.append(f"token {after.token} of {after.who} after {before.token} of {before.who}")
    return wrong, gaps


async def turns(store: Store, count: int) -> list[Figure]:
    """Raises `AssertionError` if two led at a time or a token did not rise."""
    assert store.ensemble is not None
    system = next(each for each in SYSTEMS if each.name == "aioha")
    journal: list[tuple[int, str]] = []  # (ns, fault): a term was ended by the last fault before its end
    async with Crew(system, [store.ensemble.connect_string], store.directory, timeout=SESSION_TIMEOUT) as crew:
        await crew.start(CANDIDATES)
        for _ in range(count):
            await asyncio.sleep(random.uniform(SHORTEST_TERM, LONGEST_TERM))
            fault = random.choices(list(FAULTS), weights=list(FAULTS.values()))[0]
            journal.append((time.monotonic_ns(), fault))
            await _turn(store, crew, fault)
    terms = _terms(crew.said, crew.dead, journal)
    wrong, gaps = judge(terms)
    if wrong:
        raise AssertionError(f"{len(wrong)} wrongs in {len(terms)} terms: " + "; ".join(wrong[:10]))
    everything = [gap for each in gaps.values() for gap in each]
    notes = {"takeovers": str(len(everything)), "one at a time": "yes", "tokens rise": "yes"}
    figures = [Figure("turns", store.name, system.name, "s", everything, notes=notes)]
    for cause, samples in sorted(gaps.items(), key=lambda item: statistics.median(item[1])):
        figures.append(Figure(f"turns: {cause}", store.name, system.name, "s", samples))
    return figures


async def _turn(store: Store, crew: Crew, fault: str) -> None:
    """One fault, until another term has begun and all candidates and servers are up again."""
    leader = await crew.leader(BOUND)
    mark = len(crew.said)
    restart = asyncio.create_task(_restart_one(store)) if fault.startswith("restart") else None
    try:
        victim = None
        if fault == "kill":
            victim = leader
        elif fault.startswith("kill"):
            victim = random.choice([each for each in crew.candidates.values() if each is not leader])
        if victim is not None:
            await crew.kill(victim)
        if victim is not leader:
            leader.resign()
        if victim is not None:
            await crew.add(victim.who)
            await crew.until("UP", BOUND, who=victim.who, since=mark)
        await crew.until("LEAD", BOUND, since=mark)
    finally:
        if restart is not None:
            await restart


async def _restart_one(store: Store) -> None:
    """SIGKILL to any server, the ensemble's leader too, and back after a moment; only ever one at a time."""
    assert store.ensemble is not None
    server = random.choice(store.ensemble.servers)
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(random.uniform(SHORTEST_DOWN, LONGEST_DOWN))
    await asyncio.to_thread(server.start)
    await store.ensemble.ready()


def _terms(said: Sequence[Said], dead: Sequence[Candidate], journal: Sequence[tuple[int, str]]) -> list[Term]:
    """Pairs LEAD with the STOP of the same term, or with the moment at which its process was certainly dead."""
    terms: list[Term] = []
    for number, lead in enumerate(said):
        if lead.event != "LEAD":
            continue
        ends = [each.at for each in said[number:] if each.event == "STOP" and each.token == lead.token]
        ends += [each.killed for each in dead if each.who == lead.who and each.killed is not None and each.killed > lead.at]
        end = min(ends, default=None)
        fault = [fault for at, fault in journal if end is None or at <= end]
        terms.append(Term(lead.who, lead.token, lead.at, end, fault[-1] if fault else "none"))
    return terms
