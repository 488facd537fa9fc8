"""Candidates that crash, and fence hooks that do as the test says; on every store."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from operator_client import operator
from stores import Store
from test_interleavings_election import path_of, server_of

from aioha import Elector, Predecessor, Term
from aioha.elections import Grant, from_where
from aioha.settings import Settings
from aioha.where import parse

__all__ = ["Hook", "content", "crash", "lead_once", "once", "overwrite", "win_and"]

GRACE = 0.05  # seconds that a crashed term's work might go on, so that nobody waits for long


async def win_and(store: Store, then: Callable[[Grant], Awaitable[Any]], **options: Any) -> Grant:
    """A candidate that wins, does something, and dies: its session is closed, or its lock dropped, and no more."""
    options = {"session_timeout": 4.0, "stop_grace": GRACE, **options}
    where = parse(store.where)
    election = from_where(where, Settings.resolve(where, **options))
    await election.open()
    try:
        grant = await election.win()
        await then(grant)
    finally:
        await election.close()
    return grant


async def crash(store: Store, identity: str, **options: Any) -> int:
    """A term that does not end cleanly; its token."""

    async def nothing(grant: Grant) -> None:
        pass

    return (await win_and(store, nothing, identity=identity, **options)).token


class Hook:
    """A fence hook that notes whom it is given. `fails`: what the first calls raise; then it waits for `free`."""

    def __init__(self, *fails: BaseException, free: bool = True) -> None:
        self.given: list[Predecessor] = []
        self.called = asyncio.Event()
        self.free = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ended = asyncio.Event()
        self.cleanup = 0.0
        self.look: Callable[[], None] = lambda: None
        self._fails = list(fails)
        if free:
            self.free.set()

    @property
    def whom(self) -> list[str]:
        return [each.identity for each in self.given]

    async def __call__(self, predecessor: Predecessor) -> None:
        self.given.append(predecessor)
        self.called.set()
        self.look()
        try:
            if self._fails:
                raise self._fails.pop(0)
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await asyncio.sleep(self.cleanup)
            raise
        finally:
            self.ended.set()


async def lead_once(store: Store, hook: Hook | None = None, **options: Any) -> Term:
    """A candidate that leads and ends cleanly."""
    async with store.elector(fence=hook, **options) as elector:
        return await once(elector)


async def once(elector: Elector) -> Term:
    async with elector.campaign() as term:
        return term


async def content(store: Store, name: str) -> bytes:
    """What stands in a node beside the election."""
    with operator(server_of(store)) as client:
        data, _ = await asyncio.to_thread(client.get, f"{path_of(store)}.aioha{name}")
    return bytes(data)


async def overwrite(store: Store, name: str, data: bytes) -> None:
    with operator(server_of(store)) as client:
        await asyncio.to_thread(client.set, f"{path_of(store)}.aioha{name}", data)
