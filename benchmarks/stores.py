"""Where elections are held in a run: this host, or a real ensemble with fresh data that syncs to disk."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from aioha.testing import Ensemble

__all__ = ["STORES", "Store", "opened"]

STORES = {"local": 0, "zookeeper-1": 1, "zookeeper-3": 3}


@dataclass(frozen=True, slots=True)
class Store:
    """`servers`: the connect string of each server, given to candidates in turn; ("local",) without any.

    `directory`: a temporary one, for lock files.
    """

    name: str
    servers: tuple[str, ...]
    directory: Path
    ensemble: Ensemble | None

    @property
    def kind(self) -> str:
        return "local" if self.ensemble is None else "zookeeper"


@contextlib.asynccontextmanager
async def opened(name: str) -> AsyncIterator[Store]:
    """One of `STORES`, up and serving; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="aioha-benchmark-") as directory:
        if not STORES[name]:
            yield Store(name, ("local",), Path(directory), None)
            return
        async with Ensemble(STORES[name], fsync=True) as ensemble:
            yield Store(name, tuple(server.address for server in ensemble.servers), Path(directory), ensemble)
