"""I6 and I7 at the end of a scene: what candidates watch meanwhile is bounded, and when all have left nothing is left."""

import asyncio
from typing import TYPE_CHECKING

from aioha.testing.history import Kind

if TYPE_CHECKING:
    from .stage import Stage

__all__ = ["leave", "look_at_watches"]

WATCHES = 4  # of one candidate, at most


def look_at_watches(stage: "Stage") -> None:
    """Candidates that stand by or lead watch a few nodes, however long they have done so."""
    watches = sum(len(server.front.watches) for server in stage.ensemble.servers if server.front is not None)
    if watches > WATCHES * len(stage.candidates):
        stage.violated("I6", f"{watches} watches of {len(stage.candidates)} candidates")


async def leave(stage: "Stage") -> None:
    """All leave, as cancelled."""
    stage.history.add(Kind.DISTURBED, note="all leave")
    up = [candidate for candidate in stage.candidates if candidate.is_up]
    tasks = {task for candidate in stage.candidates if (task := candidate.leave()) is not None and not task.done()}
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=stage.scene.bound)
        for task in late:
            stage.violated("I6", f"{task.get_name()} does not leave")
    for candidate in up:
        task = candidate.task
        if task is not None and task.done() and not task.cancelled() and task.exception() is None:
            stage.violated("I7", f"{candidate.name} was cancelled, and ends as if it had not been")
    await asyncio.sleep(1.0)
    for candidate in stage.candidates:
        for task in stage.loop.tasks_of(candidate.host):
            stage.violated("I6", f"left behind: {task!r}")
    await asyncio.sleep(stage.scene.timeout + 2 * stage.scene.tick)
    _look_at_nodes(stage)


def _look_at_nodes(stage: "Stage") -> None:
    tree = stage.truth.newest()
    left = [f"session {session:#x}" for session in tree.sessions]
    left += [f"{path} of session {node.owner:#x}" for path, node in tree.walk() if node.owner]
    fronts = {server.name: server.front for server in stage.ensemble.servers}
    left += [f"watches on {name}" for name, front in fronts.items() if front is not None and len(front.watches)]
    if left:
        stage.violated("I6", f"left behind: {', '.join(left)}")
