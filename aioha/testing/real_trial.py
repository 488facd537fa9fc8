"""A trial on real ZooKeeper servers: each candidate reaches them through proxies of its own, which fail for it alone.

A candidate is a coroutine of this process (`start`) or a program (`start_program`), which can also be frozen.
"""

import asyncio
import contextlib
import shutil
import signal
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from .candidate import AnyServer, Candidate
from .ensemble import Ensemble
from .loopthread import LoopThread
from .program import Program
from .proxy import Proxy
from .recording import monotonic
from .server import Server
from .strangers import close_session, sessions_from
from .trial import Trial

__all__ = ["RealTrial"]


class RealTrial(Trial):
    """`async with RealTrial(ensemble) as trial:`, in a test of any plugin for async tests; or `@on_servers()`.

    options: of `where`, for all candidates: `RealTrial(ensemble, session_timeout=2.0)`. At the end of the block links
    are healed and candidates gone; the servers are as the test left them (the fixtures restore theirs).
    """

    lateness = 1.0  # what stalls a test machine for longer is no test

    def __init__(self, ensemble: Ensemble, *, takeover: float | None = None, **options: object) -> None:
        super().__init__(monotonic, takeover)
        self.ensemble = ensemble
        self._path = f"/trials/{uuid.uuid4().hex}"
        self._options = options
        self._thread = LoopThread("aioha-trial")
        self._links: dict[str, list[Proxy]] = {}
        self._left: list[asyncio.Task[Any]] = []  # of those that were killed
        self._servers_cut = False
        self._directory: Path | None = None

    @property
    def servers(self) -> Sequence[Server]:
        return self.ensemble.servers

    async def leading_server(self) -> Server:
        return await asyncio.to_thread(self.ensemble.leader)

    def server_of(self, candidate: Candidate) -> Server | None:
        links = zip(self.servers, self._links[candidate.name], strict=True)
        found = [server for server, link in links if link.connections]
        return found[0] if len(found) == 1 else None

    async def start_program(self, name: str, *command: str) -> Program:
        """Run a program as a candidate: `await trial.start_program("a", sys.executable, "service.py")`.

        It finds where the election is in AIOHA_WHERE. What its `recorded` work does is told by way of a file that
        AIOHA_HISTORY names; without these facts it is not judged. It must end on SIGTERM.
        """
        where = self._join(name)
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="aioha-trial-"))
        program = Program(name, where, self._directory / f"{name}.jsonl")
        await program.start(command)
        self._take(program, asyncio.create_task(program.run(self.history), name=name))
        return program

    # ------------------------------------------------------------------ how it is done

    def _where(self, name: str) -> str:
        links = self._links[name] = [Proxy(server.address, thread=self._thread) for server in self.servers]
        query = "&".join(f"{option}={value}" for option, value in self._options.items())
        return f"zk://{','.join(link.address for link in links)}{self._path}" + (f"?{query}" if query else "")

    def _spawn(self, name: str, copy: Any) -> "asyncio.Task[Any]":
        return asyncio.create_task(copy, name=name)

    async def _cut(self, candidate: Candidate, servers: Sequence[AnyServer]) -> None:
        for server, link in zip(self.servers, self._links[candidate.name], strict=True):
            if server in servers:
                link.silence()

    async def _cut_server(self, server: AnyServer, others: Sequence[AnyServer]) -> None:
        for other in others:
            self.ensemble.cut(cast("Server", server), cast("Server", other))
            self._servers_cut = True

    async def _freeze(self, whom: Candidate | AnyServer) -> None:
        if isinstance(whom, Program):
            whom.signal(signal.SIGSTOP)
            await whom.stopped()
        elif isinstance(whom, Candidate):
            raise RuntimeError(
                f"{whom.name} is a coroutine of this process, and cannot be stopped without it: run it as a process of its "
                f"own (start_program), or in a simulation"
            )
        else:
            await asyncio.to_thread(cast("Server", whom).freeze)

    async def _thaw(self, whom: Candidate | AnyServer) -> None:
        if isinstance(whom, Program):
            whom.signal(signal.SIGCONT)
        elif not isinstance(whom, Candidate):
            cast("Server", whom).thaw()

    async def _kill(self, candidate: Candidate) -> None:
        """A coroutine cannot be killed: nothing that it says gets out any more, and it is cancelled."""
        task = candidate.task
        if isinstance(candidate, Program):
            candidate.signal(signal.SIGKILL)
            if task is not None:
                await asyncio.wait({task})
        elif task is not None:
            for link in self._links[candidate.name]:
                link.refuse()
            task.cancel()
            self._left.append(task)

    async def _kill_server(self, server: AnyServer) -> None:
        await asyncio.to_thread(cast("Server", server).kill)

    async def _expire(self, candidate: Candidate) -> None:
        await asyncio.to_thread(self._close_session_of, candidate)

    def _close_session_of(self, candidate: Candidate) -> None:
        sessions: set[int] = set()
        for server, link in zip(self.servers, self._links[candidate.name], strict=True):
            if server.alive and (sources := link.sources):
                with contextlib.suppress(OSError):  # it does not answer
                    sessions |= sessions_from(server, sources)
        if not sessions:
            raise RuntimeError(f"{candidate.name} has no session now: it is not connected to any server that answers")
        helper = self.ensemble.leader()
        for session in sessions:
            close_session(helper, session)

    async def _heal_links(self) -> None:
        for name, links in self._links.items():
            if not self.candidates[name].is_dead:
                for link in links:
                    link.heal()
        if self._servers_cut:
            self._servers_cut = False
            self.ensemble.heal()

    async def _revive(self) -> None:
        await asyncio.to_thread(self.ensemble.restore)

    async def _close(self) -> None:
        every = [link for links in self._links.values() for link in links]
        for link in every:
            link.heal()  # for those that were killed: leaving takes longer where nobody answers
        if self._left:
            await asyncio.wait(self._left)
        for link in every:
            link.close()
        self._thread.stop()
        if self._directory is not None:
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
