"""The demo's candidates as processes: started, listened to, told to resign, killed; and none of them outlives the demo."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..report import SOFTWARE, Failure
from .account import Account, Span

__all__ = ["Crew"]


class Crew:
    """Candidates by name. Facts go into `account`; `changed` is called after each but ticks."""

    def __init__(self, where: str, home: Path, arguments: Sequence[str], changed: Callable[[str, str], None]) -> None:
        self.account = Account()
        self.standing: dict[str, str] = {}  # "starting", "standby", "leading", "killed", "left"
        self.pids: dict[str, int] = {}
        self._where = where
        self._home = home  # local elections' directory, and what the candidates write to stderr
        self._arguments = arguments
        self._changed = changed
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Condition()
        self._resigning: set[str] = set()

    async def start(self, name: str) -> None:
        """Start a candidate; returns before it has connected."""
        with (self._home / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "aioha.cli.demo.candidate", self._where, name, *self._arguments),
                env={**os.environ, "AIOHA_DIR": str(self._home)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                process_group=0,  # Ctrl-C is for the demo alone; it ends them
            )
        self._processes[name], self.pids[name] = process, process.pid
        self.standing[name] = "starting"
        self._readers[name] = asyncio.create_task(self._listen(name, process))

    def kill(self, name: str) -> None:
        """kill -9, with the moment of the blow on the account."""
        at = time.monotonic_ns()
        self._processes[name].send_signal(signal.SIGKILL)
        self.account.killed(name, at)
        self._stand(name, "killed")

    def resign(self, name: str) -> None:
        self._resigning.add(name)
        self._say(name, b"resign\n")

    def dismiss(self, name: str) -> None:
        """Ask it to end, as a service's SIGTERM would."""
        if (stdin := self._processes[name].stdin) is not None:
            stdin.close()

    async def until(self, happened: Callable[[], bool], within: float, hope: str) -> None:
        """Wait for news that make `happened()` true. Raises `Failure` after `within` seconds, or if a candidate broke."""
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: happened() or bool(self._broken()))
        except TimeoutError:
            raise Failure(SOFTWARE, f"{hope}: not within {within:g} s") from None
        if not happened():
            raise Failure(SOFTWARE, f"{hope}: {self._broken()[0]}")

    def next_leader(self, last: Span | None) -> Callable[[], bool]:
        """Whether somebody works in a term later than `last`."""

        def happened() -> bool:
            leader = self.account.leader()
            return leader is not None and (last is None or leader.token > last.token)

        return happened

    async def close(self) -> None:
        """Kill whatever is left, and reap it."""
        for reader in self._readers.values():
            reader.cancel()
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.kill()
        for process in self._processes.values():
            await process.wait()

    def _say(self, name: str, line: bytes) -> None:
        if (stdin := self._processes[name].stdin) is not None:
            stdin.write(line)

    async def _listen(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.endswith(b"\n"):  # the last one of a killed process may be half a line
                self._hear(name, json.loads(line))
                if b'"tick"' not in line:
                    await self._publish()
        await process.wait()
        if self.standing[name] != "killed" and self._processes[name] is process:
            self.account.left(name, time.monotonic_ns())
            self._stand(name, "left" if process.returncode == 0 else "broken")
        await self._publish()

    def _hear(self, name: str, fact: dict[str, Any]) -> None:
        at: int = fact["at"]
        if self.standing[name] == "killed" and fact["what"] != "tick":
            return  # written in its last moment: the account has its end
        match fact["what"]:
            case "ready":
                self.account.joined(name, at)
                self._stand(name, "standby")
            case "work":
                self.account.began(name, fact["token"], at)
                self._stand(name, "leading")
            case "tick":
                self.account.ticked(name, at)
            case _:
                how = "resigned" if name in self._resigning else "ended"
                self._resigning.discard(name)
                self.account.rested(name, at, how)
                self._stand(name, how)

    def _stand(self, name: str, standing: str) -> None:
        self.standing[name] = "standby" if standing in ("resigned", "ended") else standing
        self._changed(name, standing)

    async def _publish(self) -> None:
        async with self._news:
            self._news.notify_all()

    def _broken(self) -> list[str]:
        return [f"{name}: {self._last_words(name)}" for name, standing in self.standing.items() if standing == "broken"]

    def _last_words(self, name: str) -> str:
        lines = (self._home / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "ended without a word"
