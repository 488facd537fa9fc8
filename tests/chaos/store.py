"""A store that fences: it takes a write unless it has taken one with a higher token. Candidates also say here how they do.

A line each: `WHO up`, `WHO began TOKEN`, `WHO ended`, `WHO write TOKEN`. That is for whoever runs the show; what is judged
stands in the files of facts, of which this one has the store's own: writes in the order in which they were taken.
"""

import asyncio
from pathlib import Path
from typing import Self

from aioha.testing.history import Kind

from .account import Account

__all__ = ["Store"]


class Store:
    """`async with` serves. up: candidates that take part; leader: who works; terms: so many until now."""

    def __init__(self, socket: Path, account: Account) -> None:
        self.up: set[str] = set()
        self.leader: str | None = None
        self.terms = 0
        self._socket = socket
        self._account = account
        self._highest = 0
        self._changed = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def change(self) -> None:
        """Wait until `up` or `leader` is another."""
        await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        who = ""
        try:
            while line := await reader.readline():
                who, what, *token = line.decode().split()
                self._take(who, what, int(token[0]) if token else 0)
        except (OSError, ValueError):  # a line cut off by a kill
            pass
        finally:
            self._serving.discard(task)
            self._take(who, "gone", 0)
            writer.close()

    def _take(self, who: str, what: str, token: int) -> None:
        if what == "write":
            kind = Kind.WROTE if token >= self._highest else Kind.REFUSED
            self._highest = max(self._highest, token)
            self._account.tell(kind, who, token=token)
            return
        if what == "up":
            self.up.add(who)
        elif what == "began":
            self.leader = who
            self.terms += 1
        elif self.leader == who:
            self.leader = None
        if what == "gone":
            self.up.discard(who)
        self._changed.set()
        self._changed = asyncio.Event()
