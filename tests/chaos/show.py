"""A chaos run from its first fault to its last: one step of the schedule after another, each undone before the next.

What is not a fault of the ensemble's or of several candidates' leaves the calm undisturbed, so that the time until the
next leader is judged; all others end with a healed network and servers that serve, and from there it is judged again.
"""

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aioha.clock import boottime
from aioha.testing.history import Kind

from .faults import FAULTS, OF_CANDIDATES
from .operators import writes
from .sandbox import HOME
from .schedule import Step, schedule
from .stage import TIMEOUT, Stage, staged
from .stalls import note_stalls

__all__ = ["MACHINE", "Mark", "Outcome", "show"]

PATIENCE = 10 * TIMEOUT  # until somebody leads; far more than what is judged, so that a run ends in any case
STALLED = 0.1  # seconds
MACHINE = "machine"  # who has stalled, when it was this process: all of them may have


@dataclass(frozen=True, slots=True)
class Mark:
    """A fault as it was: from and to; whom: who led when it began; guarded: whether they were."""

    at: float
    until: float
    kind: str
    whom: str
    guarded: bool
    note: str = ""


@dataclass
class Outcome:
    """What is not in files of facts. transactions: zxid and token of each that was fenced; vanished: czxids of leader's
    nodes, and when they were found gone; meddled: those that went by somebody's hand; guarded: names of places; skipped:
    faults that this machine cannot bring about; trouble: what must not happen; hangs: when ZooKeeper itself did.
    """

    seed: int
    begun: float
    ended: float
    marks: list[Mark]
    transactions: list[tuple[int, int]]
    vanished: list[tuple[int, float]]
    meddled: list[int]
    guarded: list[str]
    skipped: list[str]
    trouble: list[str]
    hangs: list[float]

    def fields(self) -> dict[str, Any]:
        return asdict(self)


async def show(seed: int, minutes: float, artifacts: Path, owner: int) -> Outcome:
    """Runs inside a sandbox. Cancelled, it clears up and says what there was up to then."""
    marks, skipped = list[Mark](), set[str]()
    async with staged(Path(HOME), artifacts, owner, _end_leader) as stage:
        note_stalls(stage.account, MACHINE, STALLED)
        begun = boottime()
        try:
            await stage.settled(PATIENCE)
            stage.account.tell(Kind.CALM)
            told = 0.0
            for step in schedule(seed):
                lasted = (boottime() - begun) / 60
                if lasted >= minutes:
                    break
                if lasted >= told + 1:
                    told = lasted // 1
                    print(f"{told:.0f} min: {stage.store.terms} terms, {len(marks)} faults", flush=True)
                await _play(stage, step, marks, skipped)
            await stage.settled(PATIENCE)
        except TimeoutError as error:
            stage.trouble.append(f"after {marks[-1].kind if marks else 'the set-up'} it did not settle: {error!r}")
        except asyncio.CancelledError:
            stage.trouble.append("interrupted")
        stage.account.tell(Kind.DISTURBED, note="end of the run")
        ended = boottime()
        written = await _all_written(stage)
    return Outcome(
        seed,
        begun,
        ended,
        marks,
        written,
        [(each.czxid, each.at) for each in stage.observer.vanished],
        sorted(stage.meddled - {0}),
        [place.host.name for place in stage.crew.places if place.guarded],
        sorted(skipped),
        stage.trouble,
        stage.hangs,
    )


async def _all_written(stage: Stage) -> list[tuple[int, int]]:
    try:
        await stage.heal()
        found = await asyncio.to_thread(writes, stage.servers.addresses, stage.writes)
    except TimeoutError as error:
        stage.trouble.append(f"the servers did not come back at the end: {error!r}")
        return []
    return [(write.zxid, write.token) for write in found]


async def _play(stage: Stage, step: Step, marks: list[Mark], skipped: set[str]) -> None:
    leader = await stage.settled(PATIENCE)
    if (step.kind == "throttle" and not leader.group.can_throttle) or (
        step.kind.startswith("freeze") and not leader.group.can_freeze
    ):
        skipped.add(step.kind)
        return
    await asyncio.sleep(step.pause)
    leader = await stage.settled(PATIENCE)
    calm = step.kind in OF_CANDIDATES
    if not calm:
        stage.account.tell(Kind.DISTURBED, note=step.kind)
    at, whom = boottime(), leader.who
    try:
        await FAULTS[step.kind](stage, leader, step)
    finally:
        marks.append(Mark(at, boottime(), step.kind, whom, leader.guarded, step.ending))
        if not calm or step.hold:
            await stage.heal()
    if not calm:
        stage.account.tell(Kind.CALM)


def _end_leader(stage: Stage, how: str) -> None:
    leader = stage.leader
    if leader is not None:
        {"terminate": leader.terminate, "resign": leader.resign, "kill": leader.kill}[how]()
