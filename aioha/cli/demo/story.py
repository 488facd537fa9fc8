"""The plot of the demo: three candidates start, the leader is killed, it comes back, the next leader resigns."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..report import UNAVAILABLE, Failure
from .crew import Crew
from .view import View

__all__ = ["tell"]

NAMES = ("ann", "bob", "cyd")
PAUSE = 2.0  # seconds between the acts: to see what happened before the next thing does
FRAME = 0.1
START_TIMEOUT = 30.0
SESSION_TIMEOUT = 3.0  # of the ZooKeeper demo; short, because a killed leader is missed only after it


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo is played."""

    where: str
    shown: str
    arguments: tuple[str, ...]  # of each candidate
    after_kill: str | None  # what to wait for, if it takes a person's time
    patience: float  # seconds after which a takeover has failed


async def tell(*, zookeeper: bool) -> int:
    """Play the demo; returns 0, or 1 if two candidates were ever seen to work at once."""
    with tempfile.TemporaryDirectory(prefix="aioha-demo-") as home, View(NAMES, 24.0 if zookeeper else 11.0) as view:
        frames = asyncio.create_task(_draw(view))
        try:
            async with _zookeeper(view) if zookeeper else _local() as stage:
                return await _play(stage, Path(home), view)
        finally:
            frames.cancel()


async def _draw(view: View) -> None:
    while True:
        view.refresh()
        await asyncio.sleep(FRAME)


@asynccontextmanager
async def _local() -> AsyncGenerator[Stage, None]:
    yield Stage("local:demo", "no server (local:demo)", (), None, START_TIMEOUT)


@asynccontextmanager
async def _zookeeper(view: View) -> AsyncGenerator[Stage, None]:
    from ...testing import Ensemble, ZooKeeperMissing

    ensemble = Ensemble(3)
    view.wait("starting a ZooKeeper ensemble of three servers")
    try:
        async with ensemble:
            limit = SESSION_TIMEOUT + 2 * ensemble.tick + SESSION_TIMEOUT / 10
            yield Stage(
                ensemble.where("/demo"),
                "three ZooKeeper servers",
                (str(SESSION_TIMEOUT),),
                f"its session must expire first: {SESSION_TIMEOUT:g} s, at most {limit:.1f} s",
                limit + START_TIMEOUT,
            )
    except ZooKeeperMissing as error:
        raise Failure(UNAVAILABLE, str(error)) from None


async def _play(stage: Stage, home: Path, view: View) -> int:
    crew = Crew(stage.where, home, stage.arguments, lambda name, standing: _narrate(view, name, standing))
    view.curtain(crew)
    view.say(f"three candidates, one election, {stage.shown}")
    try:
        await _first_leader(crew, view)
        killed = await _kill_the_leader(crew, view, stage)
        await _restart(crew, view, killed)
        await _resign(crew, view, stage)
        await _all_go_home(crew)
    finally:
        await crew.close()
    view.finale(crew.account, NAMES)
    return _judge(crew, view)


def _narrate(view: View, name: str, standing: str) -> None:
    if standing == "broken":
        view.say(f"{name} ended unasked", "bold red")


async def _first_leader(crew: Crew, view: View) -> None:
    await asyncio.gather(*(crew.start(name) for name in NAMES))
    everybody = lambda: set(crew.standing.values()) == {"leading", "standby"}  # noqa: E731
    await crew.until(everybody, START_TIMEOUT, "three candidates, one of them leading")
    if (leader := crew.account.leader()) is not None:
        view.say(f"{leader.name} works, token {leader.token}; the others stand by", "bold", leader.start)
    await asyncio.sleep(PAUSE)


async def _kill_the_leader(crew: Crew, view: View, stage: Stage) -> str:
    leader = crew.account.leader()
    assert leader is not None
    view.say(f"kill -9 {crew.pids[leader.name]}: {leader.name}, the leader", "bold red")
    crew.kill(leader.name)
    if stage.after_kill is not None:
        view.wait(stage.after_kill)
    await _takeover(crew, view, stage)
    return leader.name


async def _restart(crew: Crew, view: View, name: str) -> None:
    view.say(f"{name} is started again")
    await crew.start(name)
    await crew.until(lambda: crew.standing[name] == "standby", START_TIMEOUT, f"{name} standing by")
    view.say(f"{name} stands by")
    await asyncio.sleep(PAUSE)


async def _resign(crew: Crew, view: View, stage: Stage) -> None:
    leader = crew.account.leader()
    assert leader is not None
    view.say(f"{leader.name} resigns, as at a restart or a deployment", "bold")
    crew.resign(leader.name)
    await _takeover(crew, view, stage)


async def _takeover(crew: Crew, view: View, stage: Stage) -> None:
    last = crew.account.in_order()[-1]
    await crew.until(crew.next_leader(last), stage.patience, "the next leader's work")
    view.handed_over(crew.account.handovers()[-1])
    await asyncio.sleep(PAUSE)


async def _all_go_home(crew: Crew) -> None:
    leader = crew.account.leader()
    order = sorted(NAMES, key=lambda name: leader is not None and name == leader.name)  # the leader last: no more handovers
    for name in order:
        crew.dismiss(name)
        with suppress(Failure):  # the drawing is worth more than a clean exit; `close` kills what is left
            await crew.until(lambda name=name: crew.standing[name] in ("left", "broken"), 10.0, f"{name} ended")  # type: ignore[misc]


def _judge(crew: Crew, view: View) -> int:
    account = crew.account
    overlaps = account.overlaps()
    view.verdict(f"\nnever two at once ({account.ticks:,} moments of work compared)", not overlaps)
    view.verdict("tokens only grow: " + " < ".join(str(span.token) for span in account.in_order()), account.tokens_grow())
    return 1 if overlaps or not account.tokens_grow() else 0
