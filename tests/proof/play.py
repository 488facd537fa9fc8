"""Plays one seed and judges it.

outcome = play(seed)                       # everything is drawn from the seed
outcome = play(seed, entries=parse(text))  # the same scene with another schedule of faults
outcome.violations, outcome.worst_gap, ...
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from unittest import mock

from aioha.testing.checks import Bounds, Violation, check
from aioha.testing.history import Fact, Kind
from aioha.testing.simulated import Simulation, run

from . import schedule
from .scene import INIT_LIMIT, Scene, draw
from .schedule import Entry
from .stage import Stage
from .story import Log

__all__ = ["MINUTES", "Outcome", "play"]

MINUTES = 10.0


@dataclass(slots=True)
class Outcome:
    """Of one seed. Durations are seconds; `virtual` is simulated, `spent` the processor's."""

    scene: Scene
    entries: list[Entry]
    violations: list[Violation] = field(default_factory=list[Violation])
    facts: list[Fact] = field(default_factory=list[Fact])
    journal: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    log: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    fingerprint: str = ""
    virtual: float = 0.0
    spent: float = 0.0
    terms: int = 0
    worst_gap: float = 0.0  # in calm
    injected: Counter[str] = field(default_factory=Counter[str])
    skipped: Counter[str] = field(default_factory=Counter[str])
    wrote: int = 0
    refused: int = 0
    transactions: int = 0

    def differs(self) -> None:
        """I9: played again, it went another way."""
        self.violations.append(Violation("I9", self.virtual, "the same seed did not run the same twice"))


def play(
    seed: int,
    minutes: float = MINUTES,
    entries: Sequence[Entry] | None = None,
    scene: Scene | None = None,
    *,
    layout: str | None = None,
    listen: bool = False,
) -> Outcome:
    """One scene from its beginning to its end. Whatever breaks is a violation. listen: keep the log, too."""
    scene = draw(seed, minutes, layout) if scene is None else scene
    outcome = Outcome(scene, list(schedule.draw(scene) if entries is None else entries))
    stages, logs = list[Stage](), list[Log]()
    begun, collecting = time.process_time(), gc.isenabled()
    logger = logging.getLogger("aioha")
    level, _ = logger.level, logger.setLevel(logging.INFO if listen else logging.CRITICAL + 1)

    async def main(simulation: Simulation) -> None:
        limits = {"sync_limit": scene.sync_limit, "init_limit": INIT_LIMIT}
        ensemble = await simulation.ensemble(scene.servers, tick=scene.tick, **limits)
        stage = Stage(simulation, scene, ensemble, outcome.entries)
        stages.append(stage)
        if listen:
            log = Log(simulation.clock)
            logger.addHandler(log)
            logs.append(log)
        started = simulation.clock()
        try:
            await stage.play()
        finally:
            outcome.virtual = simulation.clock() - started
            outcome.fingerprint = simulation.fingerprint

    gc.disable()  # cycles are collected at the end: what they complain of then belongs to this seed
    try:
        with mock.patch("aioha.tenure.watch", lambda watched: watched):  # its thread lives in real time
            run(main, seed, weather=scene.weather())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
        outcome.violations.append(Violation("I7", outcome.virtual, f"the run ends with {error!r}"))
    finally:
        logger.setLevel(level)
        for log in logs:
            logger.removeHandler(log)
            outcome.log = log.lines
        gc.collect()
        if collecting:
            gc.enable()
    if stages:
        _judge(outcome, stages[0])
    outcome.spent = time.process_time() - begun
    return outcome


def _judge(outcome: Outcome, stage: Stage) -> None:
    facts = outcome.facts = stage.history.facts
    found = [*check(facts, Bounds(stage.scene.bound + stage.waits)), *stage.violations, *stage.truth.violations]
    failures = [Violation("I7", 0.0, f"nobody caught {failure!r}") for failure in stage.loop.failures]
    outcome.violations += [*sorted(found, key=lambda violation: violation.at), *failures]
    outcome.journal = stage.ensemble.journal
    outcome.injected, outcome.skipped = stage.injected, stage.skipped
    kinds = Counter(fact.kind for fact in facts)
    outcome.terms, outcome.wrote, outcome.refused = kinds[Kind.BEGAN], kinds[Kind.WROTE], kinds[Kind.REFUSED]
    outcome.transactions = stage.truth.transactions
    outcome.worst_gap = _worst_gap(facts)


def _worst_gap(facts: Sequence[Fact]) -> float:
    """The longest that nobody worked while nothing was wrong."""
    worst, calm_since, vacant_since, working = 0.0, None, facts[0].at if facts else 0.0, dict[str, int]()
    for fact in facts:
        if fact.kind in (Kind.BEGAN, Kind.DISTURBED) and not working and calm_since is not None:
            worst = max(worst, fact.at - max(calm_since, vacant_since))
        match fact.kind:
            case Kind.BEGAN:
                working[fact.who] = fact.token
            case Kind.ENDED | Kind.DIED:
                working.pop(fact.who, None)
                vacant_since = fact.at
            case Kind.DISTURBED:
                calm_since = None
            case Kind.CALM:
                calm_since = fact.at
            case _:
                pass
    return worst
