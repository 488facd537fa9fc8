"""A candidate's own side of its guardian: what it is told, and that there is one.

`know` and `forget` tell it a fact; all of them are kept here, for the next one should it end. While work runs a timer
writes onto the board that our loop still turns, and until when the lease lasts: a guardian that sees an old time there
at the end of the lease kills us.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..clock import Clock, boottime
from ..lease import Lease
from . import facts
from .facts import Board
from .launch import PASSING, GuardianProcess, Impossible

__all__ = ["Guardian"]

log = logging.getLogger("aioha")

PULSE_SHARE = 1 / 64  # of the session timeout; a quarter of the silence that counts as frozen
# Of the work's time to end, if that is less: a lease renewed just before work is told to end must be known in time.
PULSE_OF_GRACE, SHORTEST_PULSE = 1 / 4, 0.02  # the latter in seconds
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds until another one is started
LONGEST_PARTING = 1.0  # seconds that it may take to end when it is told to
LONGEST_LOOKUP = 5.0  # seconds for the addresses of the servers
NEVER = float("inf")
Descriptors = Callable[[], Sequence[int]]


class Guardian:
    """See the head of this package. Nothing here fails because of it, and nothing but `heard` and `stop` waits for it.

    `clock`: of the leases. `tree`: kill everything that descends from this process when it dies, rather than wait for it.
    """

    def __init__(self, clock: Clock, *, tree: bool = False) -> None:
        self._clock = clock
        self._facts: dict[Any, tuple[Any, Descriptors]] = {}
        self._board: Board | None = None
        self._process: GuardianProcess | None = None
        self._failing = self._hopeless = False  # the last start failed; the next one would, too
        self._ended = asyncio.Event()
        self._answers: list[asyncio.Future[None]] = []  # of this process, in order
        self._keeper: asyncio.Task[None] | None = None
        self._lookup: asyncio.Task[None] | None = None
        self._working: Counter[Lease] = Counter()  # leases that running work rests on
        self._grace = 0.0  # the longest of them
        self._pulse: asyncio.TimerHandle | None = None
        if tree:
            self.know(facts.TREE, True)

    @property
    def pid(self) -> int | None:
        """Of the guardian's process; None while there is none."""
        return self._process.pid if self._process is not None and self._process.running else None

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Start it, and another one whenever it ends. Takes a few milliseconds; it is not waited for."""
        self._launch()
        self._keeper = asyncio.create_task(self._keep(), name="aioha guardian")

    async def stop(self) -> None:
        """Let it end. Bounded; when cancelled it is left to end by itself."""
        tasks = {task for task in (self._keeper, self._lookup) if task is not None}
        self._keeper = self._lookup = None
        for task in tasks:
            task.cancel()
        self._working.clear()
        self._stop_pulse()
        board, self._board = self._board, None
        if board is not None:
            board.close()
        process = self._process
        if process is not None:
            process.tell(facts.pack(facts.BYE, True, answer=False))
        if tasks:
            await asyncio.wait(tasks)
        if process is not None and process.running:
            try:
                async with asyncio.timeout(LONGEST_PARTING):
                    await self._ended.wait()
            except TimeoutError:
                process.kill()
                await self._ended.wait()

    # ------------------------------------------------------------------ what it knows

    def know(self, key: Any, value: Any, fds: Descriptors = tuple) -> None:
        """From now on this holds. `fds` travel along; asked for again should another guardian need them."""
        self._facts[key] = (value, fds)
        self._tell(key, value, fds)

    def forget(self, key: Any) -> None:
        """It holds no longer."""
        if self._facts.pop(key, None) is not None:
            self._tell(key, None)

    async def heard(self, bound: float = LONGEST_PARTING) -> None:
        """Wait until it has taken in all that it was told so far. One that does not within `bound` seconds is killed."""
        if self._process is None or not self._process.running:
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        self._process.tell(facts.pack("heard", None, answer=True))
        try:
            async with asyncio.timeout(bound):
                await answer
        except TimeoutError:
            self._process.kill()
            await self._ended.wait()

    def attend(self, session: tuple[int, bytes, float, tuple[str, str] | None] | None) -> None:
        """Close this session should we die: id, password, timeout, user and password; None: there is none any more."""
        if session is None:
            self.forget(facts.SESSION)
        elif self._facts.get(facts.SESSION) != (session, tuple):
            self.know(facts.SESSION, session)

    def serve(self, servers: Sequence[tuple[str, int]], first: tuple[str, int] | None) -> None:
        """Where the session can be closed; `first`: the address that just served it."""
        if self._lookup is not None:
            self._lookup.cancel()
        if first is not None:
            self.know(facts.SERVERS, [first])
        self._lookup = asyncio.create_task(self._look_up(servers, first), name="aioha guardian's servers")

    # ------------------------------------------------------------------ work

    def begin(self, lease: Lease, grace: float) -> None:
        """Work begins that rests on this lease, and is told to end `grace` seconds before that ends."""
        self._working[lease] += 1
        self._grace = max(self._grace, grace)
        self._beat()

    def end(self, lease: Lease) -> None:
        """It has ended: nothing is to be prevented any more."""
        if lease not in self._working:
            return
        self._working[lease] -= 1
        if not self._working[lease]:
            del self._working[lease]
        self._beat()

    def _beat(self) -> None:
        self._stop_pulse()
        if self._board is None:
            return
        now = boottime()
        if not self._working:
            self._grace = 0.0
            self._board.write(NEVER, 0.0, now, 0.0)
            return
        deadline, timeout = min((lease.deadline, lease.timeout) for lease in self._working)
        self._board.write(now + deadline - self._clock(), self._grace, now, timeout)
        pause = min(timeout * PULSE_SHARE, max(self._grace * PULSE_OF_GRACE, SHORTEST_PULSE))
        self._pulse = asyncio.get_running_loop().call_later(pause, self._beat)

    def _stop_pulse(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None

    # ------------------------------------------------------------------ inside

    def _tell(self, key: Any, value: Any, fds: Descriptors = tuple) -> None:
        if self._process is not None:
            self._process.tell(facts.pack(key, value, answer=False), fds())

    def _launch(self) -> None:
        self._ended = asyncio.Event()
        try:
            if self._board is None:
                self._board = Board()
            self._process = GuardianProcess(self._board, self._on_answer, self._on_end)
        except (Impossible, OSError) as error:
            self._process = None
            self._hopeless = not (isinstance(error, OSError) and error.errno in PASSING)
            self._ended.set()
            if not self._failing:
                log.warning("no guardian for this process: %s; a crash will cost a whole session timeout", error)
            self._failing = True
            return
        self._failing = self._hopeless = False
        self._beat()  # onto a board that may be new
        for key, (value, fds) in self._facts.items():
            self._tell(key, value, fds)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            begun = self._clock()
            await self._ended.wait()
            if self._hopeless:
                return  # it cannot be started here, and that has been said
            if self._clock() - begun > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            if self._process is not None:
                log.warning(
                    "the guardian of this process (pid %d) has ended with status %s; another one is started in %g s",
                    self._process.pid,
                    self._process.status,
                    pause,
                )
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            self._launch()

    def _on_answer(self, count: int) -> None:
        answered, self._answers = self._answers[:count], self._answers[count:]
        for answer in answered:
            if not answer.done():
                answer.set_result(None)

    def _on_end(self) -> None:
        self._on_answer(len(self._answers))
        self._ended.set()

    async def _look_up(self, servers: Sequence[tuple[str, int]], first: tuple[str, int] | None) -> None:
        """Names become addresses here: the guardian must not wait for a name server."""
        loop, found = asyncio.get_running_loop(), [] if first is None else [first]
        for host, port in servers:
            try:
                async with asyncio.timeout(LONGEST_LOOKUP):
                    answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError, TimeoutError):
                continue
            for *_, address in answers:
                server = (str(address[0]), int(address[1]))
                if server not in found:
                    found.append(server)
        if found:
            self.know(facts.SERVERS, found)
