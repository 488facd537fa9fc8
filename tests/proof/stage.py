"""One scene while it is played: its servers, candidates and faults, storms and calms."""

import asyncio
import contextvars
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.ledger import Names
from aioha.testing.checks import Violation
from aioha.testing.history import Fact, History, Kind
from aioha.testing.simulated import Server, SimulatedEnsemble, Simulation
from aioha.testing.simulated.links import LONGEST_RETRANSMISSION

from . import epilogue, faults
from .belief import too_long
from .candidate import Candidate
from .operator import Operator, Unserved
from .queue_truth import QueueTruth
from .scene import INIT_LIMIT, PATH, Scene
from .schedule import Entry
from .truth import Truth
from .work import COUNTER, Store

__all__ = ["Stage"]

HOLD = 0.05  # seconds: how long a fault waits for one that must be alone
CALM_RESTART = 0.1  # seconds: a supervisor that starts at once what has ended
AFTERMATH = 1.0  # seconds, on top of two ticks, that messages of a slow link may still be under way


class Stage:
    """See the head of this file. `play` does it all."""

    def __init__(self, simulation: Simulation, scene: Scene, ensemble: SimulatedEnsemble, entries: list[Entry]) -> None:
        self.simulation = simulation
        self.loop: Any = simulation.loop
        self.scene = scene
        self.ensemble = ensemble
        self.context = contextvars.copy_context()  # of whoever looks on: never frozen
        self.history = History(simulation.clock)
        self.candidates = [Candidate(self, plan) for plan in scene.plans]
        self.operator = Operator(ensemble)
        path = Names(PATH, is_folder=scene.layout == "hadoop").leader
        judged = (ensemble, path, self.history, self.candidates, self.happened)
        dialect = DIALECTS.get(scene.layout)
        self.truth = Truth(*judged) if dialect is None else QueueTruth(*judged, dialect)
        self.store = Store(self.history)
        self.violations: list[Violation] = []
        self.injected: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.crashed: list[str] = []
        self.hooks_fail = False
        self.settled = 0.0  # the longest that anybody waited for old work to end
        self.number = 0  # of the newest term
        self.fenced: set[int] = set()  # tokens of terms for which a hook has returned
        self.rubbished = ""  # what was overwritten or deleted by hand: one thing in a scene, the other one tells of it
        self.no_removals = False  # by hand: some candidate may do without a record by now
        self.storming = False
        self._entries = entries
        self._undo: dict[int, Callable[[], None]] = {}
        self._waiting: list[Entry] = []
        self._number = 0
        self._begun = 0.0
        self._mended = 0.0
        self._judged = 0.0  # the newest deadline that was held against the servers' own
        self._by_name = {candidate.name: candidate for candidate in self.candidates}
        self._disturbed = 0.0  # when a fault began or ended the last time
        self._alone: Candidate | None = None  # nothing else goes wrong until its work has ended,
        self._alone_until = 0.0  # or until then, if its work does not begin
        self.history.listeners.append(self._told)
        self.loop.set_exception_handler(self._failed)

    # ------------------------------------------------------------------ for candidates and faults

    @property
    def is_queue(self) -> bool:
        return isinstance(self.truth, QueueTruth)

    @property
    def waits(self) -> float:
        """Beyond the usual: whoever took over on a slow link has recorded that it may hear of its end so much later."""
        return min(max(self.settled - self.scene.timeout / 4, 0.0), self.scene.timeout)

    @property
    def members(self) -> list[str]:
        """Those in line, if there is a line."""
        return list(self.truth.members) if isinstance(self.truth, QueueTruth) else []

    def where(self, only: int) -> str:
        return self.ensemble.where(PATH) if not only else f"zk://{self.ensemble.servers[only - 1].address}{PATH}"

    def clock_of(self, host: str) -> Callable[[], float]:
        return self.simulation.clock_of(host) if self.scene.clocks else self.simulation.clock

    def clock_for(self, candidate: Candidate) -> Callable[[], float]:
        """What its elector reads. Belief is judged at each look: a proof is followed by one before any time has passed."""
        if self.scene.clocks:
            return self.clock_of(candidate.host)
        loop = self.loop

        def clock() -> float:
            now: float = loop.now
            if candidate.working:
                self._look_at_belief(candidate, now)
            return now

        return clock

    def virtual(self, host: str, reading: float) -> float:
        """Virtual time at which the clock of a host shows this."""
        return self.simulation.network.true_time(host, reading) if self.scene.clocks else reading

    def later(self, seconds: float, callback: Callable[..., None], *args: Any) -> Any:
        return self.loop.call_later(seconds, callback, *args, context=self.context)

    def restart_pause(self, rng: random.Random) -> float:
        return rng.uniform(0, 1.0) * self.scene.timeout if self.storming else CALM_RESTART

    def violated(self, invariant: str, what: str) -> None:
        self.violations.append(Violation(invariant, self.simulation.clock(), what))

    def may_lose_data(self, server: Server) -> bool:
        """Whether all others serve, and have all that was ever agreed on."""
        agreed, others = self.truth.agreed, [each for each in self.ensemble.servers if each is not server]
        return bool(others) and all(each.mode() and each.disk.newest >= agreed for each in others)

    @property
    def is_quiet(self) -> bool:
        """No fault is at work, nothing is late from the last one, and all servers serve, none of them a deposed leader."""
        rest = self.simulation.clock() - self._disturbed
        serving = all(server.mode() is not None for server in self.ensemble.servers)
        united = len({server.current_epoch for server in self.ensemble.servers}) == 1
        return serving and united and not self._undo and rest > AFTERMATH + 2 * self.scene.tick

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """I7: nobody has caught it. A process that has crashed leaves its tasks as they are."""
        source = context.get("task") or context.get("future") or context.get("handle")
        if getattr(source, "actor", None) not in self.crashed:
            loop.default_exception_handler(context)

    def mended(self) -> None:
        """A link passes everything again."""
        self._mended = self.simulation.clock()

    def leave_alone(self, candidate: Candidate) -> None:
        """Nothing else shall go wrong before its work has ended, also if it is elected and its work is about to begin."""
        is_elected = candidate is self.truth.owning(self.truth.owner)
        self._alone = candidate if candidate.working or is_elected else None
        self._alone_until = self.simulation.clock() + self.scene.timeout

    @property
    def _leaves_alone(self) -> bool:
        return self._alone is not None and (self._alone.working or self.simulation.clock() < self._alone_until)

    # ------------------------------------------------------------------ the play

    async def play(self) -> None:
        self.operator.create(COUNTER, b"0")
        self._begun = self.simulation.clock()
        for candidate in self.candidates:
            candidate.start()
        entries = list(self._entries)
        self._calm()
        for begin, end in self.scene.storms:
            await self._until(begin)
            self.storming = True
            for entry in [entry for entry in entries if entry.at < end]:
                entries.remove(entry)
                self.later(max(self._begun + entry.at - self.simulation.clock(), 0.0), self._fire, entry)
            await self._until(end)
            await self._heal()
        await self._until(self.scene.length)
        epilogue.look_at_watches(self)
        await epilogue.leave(self)

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(self._begun + at - self.simulation.clock(), 0.0))

    async def _heal(self) -> None:
        """Undo everything, wait until all servers serve, and call it calm."""
        self.storming = False
        self._waiting.clear()
        self._alone = None
        self.simulation.network.heal()
        for server in self.ensemble.servers:
            server.thaw()
            server.start()
        for number in list(self._undo):
            self._undone(number)
        # A server that believes itself elected, and whom nobody follows, waits for all of init_limit before it looks again.
        await self.ensemble.ready(60.0 + 3 * INIT_LIMIT * self.scene.tick)
        while not self._undone_for_good():
            for server in self.ensemble.servers:  # one may have died of its full disk only now
                server.start()
            await asyncio.sleep(HOLD)
        # What was held back is sent on, also that of processes that are dead by now: their kernels do it.
        await asyncio.sleep(max(self._mended + LONGEST_RETRANSMISSION - self.simulation.clock(), 0.0))
        await asyncio.sleep(max(self.simulation.network.last_arrival - self.loop.now, 0.0))
        for candidate in self.candidates:
            candidate.start()
        self._calm()

    def _calm(self) -> None:
        self.history.add(Kind.CALM)

    # ------------------------------------------------------------------ faults

    def happened(self, event: str) -> None:
        """Faults that wait for it come now, or a little later."""
        if self._waiting:
            due = [entry for entry in self._waiting if entry.after == event]
            self._waiting = [entry for entry in self._waiting if entry.after != event]
            for entry in due:
                self.later(entry.delay, self._inject, entry)

    def _told(self, fact: Fact) -> None:
        if self._alone is not None and fact.kind in (Kind.ENDED, Kind.DIED) and fact.who == self._alone.name:
            self._alone = None
        if self._waiting and fact.kind in (Kind.BEGAN, Kind.ENDED):
            self.happened(fact.kind.value)

    def _look_at_belief(self, candidate: Candidate, now: float) -> None:
        deadline = candidate.lease_deadline
        if deadline == self._judged:
            return  # the servers never take back what they have granted
        self._judged = deadline
        wrong = too_long(self.ensemble, candidate.session_id, deadline, now)
        if wrong is not None and candidate.session_id not in self.truth.by_hand:
            self.violated("I3", f"{candidate.name} {wrong}")

    def _fire(self, entry: Entry) -> None:
        if entry.after:
            self._waiting.append(entry)
        else:
            self._inject(entry)

    def _inject(self, entry: Entry) -> None:
        if not self.storming:
            return
        if self._leaves_alone:
            self.later(HOLD, self._inject, entry)
            return
        try:
            undo = faults.inject(self, entry)
        except faults.Later:
            self.later(HOLD, self._inject, entry)
            return
        except faults.NotNow:
            self.skipped[entry.fault] += 1
            return
        self.history.add(Kind.DISTURBED, entry.target, note=entry.fault)
        self.injected[entry.fault] += 1
        self._disturbed = self.simulation.clock()
        if undo is not None:
            self._number += 1
            self._undo[self._number] = undo
            self.later(entry.lasts, self._undone, self._number)

    def _undone(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        if undo is not None:
            self._disturbed = self.simulation.clock()
            try:
                undo()
            except Unserved:
                self._undo[number] = undo
                if self.storming:
                    self.later(HOLD, self._undone, number)

    def _undone_for_good(self) -> bool:
        """Also what needs a server that serves, and what was asked of a leader that could not get it agreed on."""
        for number in list(self._undo):
            self._undone(number)
        return not self._undo and not faults.reopen(self)
