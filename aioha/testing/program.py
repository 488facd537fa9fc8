"""A candidate that is a process of its own: what SIGSTOP and SIGKILL can be done to, and its facts read from its file."""

import asyncio
import os
import signal
from bisect import insort
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

from .candidate import Candidate
from .history import Fact, History
from .recording import FILE

__all__ = ["Program"]

WHERE = "AIOHA_WHERE"  # read by the command line, and by whoever likes
LOOK = 0.01  # seconds


class Program(Candidate):
    """Started by `RealTrial.start_program`. `pid`: of its process."""

    def __init__(self, name: str, where: str, file: Path) -> None:
        super().__init__(name, where)
        self._file = file
        self._read = 0  # bytes
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self, command: Sequence[str]) -> None:
        self._file.touch()
        environment = {**os.environ, WHERE: self.where, FILE: str(self._file)}
        self._process = await asyncio.create_subprocess_exec(*command, env=environment, stdin=asyncio.subprocess.DEVNULL)

    async def run(self, history: History) -> None:
        """Tell its facts until it has ended. Cancelled: SIGTERM. Raises `RuntimeError` if it failed."""
        assert self._process is not None
        ended = asyncio.ensure_future(self._process.wait())
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=LOOK)
                self.tell(history)
        except asyncio.CancelledError:
            if self._process.returncode is None:
                self._process.terminate()
            await ended
        finally:
            self.tell(history)
        status = ended.result()
        if status not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
            raise RuntimeError(f"program {self.name} ended with {status}; what it said on stderr is among the output")

    def tell(self, history: History) -> None:
        """What it has said since the last time."""
        with self._file.open("rb") as file:
            file.seek(self._read)
            said = file.read()
        said = said[: said.rfind(b"\n") + 1]  # the rest is being written
        self._read += len(said)
        for line in said.decode().splitlines():
            fact = Fact.of(line)
            insort(history.facts, fact, key=attrgetter("at"))
            for listener in history.listeners:
                listener(fact)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def stopped(self) -> None:
        """SIGSTOP has taken effect."""
        while Path(f"/proc/{self.pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] not in "Tt":  # noqa: ASYNC110, ASYNC240 - nothing announces it
            await asyncio.sleep(0.001)
