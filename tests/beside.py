"""A candidate in the test's own process, beside those that are processes: it costs no start, and tells the same history."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from candidates import Event, History, now

from aioha import Elector, Term

__all__ = ["beside"]


@asynccontextmanager
async def beside(history: History, where: str, who: str, **options: Any) -> AsyncIterator[Elector]:
    """It campaigns while the block lasts."""

    async def work(term: Term) -> None:
        await history.add(Event("START", who, term.token, now()))
        try:
            await asyncio.Event().wait()
        finally:
            await history.add(Event("END", who, term.token, now()))

    async with Elector(where, work, identity=who, **options) as elector:
        yield elector
