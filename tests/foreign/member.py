"""A candidate of any system, as a process."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from rawzk import end_session

from .events import Event, Events, now

__all__ = ["Member"]

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds: more than the start of a JVM takes on a busy machine


class Member:
    """Started by `start`, ended by `kill` or `quit`; `async with` kills what is left of it.

    who: its identity; no other candidate ever has the same.
    """

    def __init__(self, events: Events, who: str, command: Sequence[str], servers: str, path: str, timeout: float) -> None:
        self.who = who
        self._events = events
        self._servers = servers
        self._command = [*command, servers, path, str(round(timeout * 1000)), who]
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self.errors = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    async def start(self) -> None:
        """Returns when it has connected."""
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment
        )
        self._listening = asyncio.create_task(self._listen(self._process))
        await self.said("UP", 1)

    def tell(self, order: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())

    async def said(self, kind: str, times: int = 1) -> None:
        """Wait until it has said this so often."""

        def said() -> bool:
            return self._events.number(kind, self.who) >= times

        await self._events.until(lambda: said() or self._events.number("ENDED", self.who), PATIENCE)
        assert said(), f"{self.who} has ended: {self.errors.decode()}"

    async def members(self) -> list[str]:
        """Whom it lists, in its order."""
        before = self._events.number("MEMBERS", self.who)
        self.tell("members")
        await self.said("MEMBERS", before + 1)
        return self._events.last("MEMBERS", self.who).text.split(",")

    async def kill(self) -> None:
        """SIGKILL. What it said before is in the history afterwards; its session is left to the servers."""
        process, self._process = self._process, None
        if process is None:
            return
        killed = Event("KILLED", self.who, "", now())  # before: the next one may lead before we look at the clock again
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await self._heard(process)
        await self._events.add(killed)

    async def quit(self) -> None:
        """Ask it to end, and insist that it does so in order."""
        process, self._process = self._process, None
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(b"quit\n")
        async with asyncio.timeout(PATIENCE):
            status = await process.wait()
        await self._heard(process)
        assert status == 0, f"{self.who} ended with {status}: {self.errors.decode()}"

    async def expire(self, server: str = "") -> None:
        """End its session, which may be that of a killed one, as the servers would after its timeout.

        server: "host:port", if not the first that it knows.
        """
        session, _, password = self._events.last("UP", self.who).text.partition(":")
        address = server or self._servers.partition(",")[0]
        await asyncio.to_thread(end_session, address, int(session, 16), bytes.fromhex(password))

    async def _heard(self, process: asyncio.subprocess.Process) -> None:
        """It has ended: hear what it still had to say."""
        assert self._listening is not None
        assert process.stdin is not None
        async with asyncio.timeout(PATIENCE):
            await self._listening
        process.stdin.close()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        while line := await process.stdout.readline():
            await self._events.add(Event.of(line))
        self.errors = await errors
        await self._events.add(Event("ENDED", self.who, "", now()))
