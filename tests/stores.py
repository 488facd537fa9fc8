"""Elections for tests that must hold on every store: where to hold one, and how to hurt it."""

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aioha import Elector, Term
from aioha.testing import Ensemble

__all__ = ["BOUND", "Store", "leading", "local_store", "stands_ready", "until", "zookeeper_store"]

BOUND = 20.0  # seconds: more than anything here takes; a test that waits this long has failed


@dataclass
class Store:
    """One election, new for each test."""

    name: str
    where: str
    ensemble: Ensemble | None

    def elector(self, work: Any = None, **options: Any) -> Elector:
        if self.ensemble is not None:
            options.setdefault("session_timeout", 4.0)
        return Elector(self.where, work, **options)


def local_store(directory: Path) -> Store:
    return Store("local", f"local:{directory}/{uuid.uuid4().hex}.lock", None)


def zookeeper_store(ensemble: Ensemble) -> Store:
    return Store("zookeeper", ensemble.where(f"/tests/{uuid.uuid4().hex}"), ensemble)


async def leading(elector: Elector, body: Callable[[Term], Any]) -> Any:
    """Campaign by hand and run `body` as the block's body."""
    async with elector.campaign() as term:
        return await body(term)


def stands_ready(elector: Elector) -> bool:
    """On ZooKeeper, in the layout `ephemeral`: it has looked at the leader, and its bid is ready."""
    election: Any = elector.election
    return election._bidder._prepared is not None


async def until(condition: Callable[[], bool]) -> None:
    """For what has no event to await: a look every few milliseconds, bounded."""
    async with asyncio.timeout(BOUND):
        while not condition():
            await asyncio.sleep(0.002)
