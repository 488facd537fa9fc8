"""Everything that a chaos run consists of, set up and taken down, and the few questions that faults ask of it."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aioha.clock import boottime
from aioha.testing.history import Kind

from .account import Account
from .crew import Crew, Place, Surroundings
from .groups import Group
from .network import Network
from .operators import Observer, make_parents
from .schedule import Step
from .servers import LONGEST_SILENCE, Servers
from .store import Store

__all__ = ["PATH", "STANDBYS", "TICK", "TIMEOUT", "Stage", "staged"]

TIMEOUT, TICK = 4.0, 0.5  # of sessions; tickTime
PATH, WRITES = "/chaos/leader", "/chaos/writes"
SERVERS = 3
CANDIDATES = (
    {"guardian": True, "tick": TICK},
    {"guardian": True},
    {"guardian": "tree", "tick": TICK},
    {"tick": TICK},
    {},
)
STANDBYS = 2  # candidates beside the leader that must take part before the next fault
HOLD_BEFORE = 0.5  # share of a fault's time at which the ending in its midst happens


@dataclass
class Stage:
    """meddled: czxids of leader's nodes that went by somebody's hand. trouble: what must not happen and is no fact.
    hangs: when all servers ran, and did not serve.
    """

    network: Network
    servers: Servers
    crew: Crew
    store: Store
    account: Account
    observer: Observer
    end_leader: Callable[["Stage", str], None]
    path: str = PATH
    writes: str = WRITES
    meddled: set[int] = field(default_factory=set[int])
    trouble: list[str] = field(default_factory=list[str])
    hangs: list[float] = field(default_factory=list[float])

    @property
    def leader(self) -> Place | None:
        place = self.crew.of(self.store.leader)
        return None if place is None or place.told_to_end else place

    async def settled(self, patience: float) -> Place:
        """Wait until somebody leads and enough stand by; who leads. Raises `TimeoutError`."""
        async with asyncio.timeout(patience):
            while True:
                leader = self.leader
                up = [place for place in self.crew.places if place.who in self.store.up]
                if leader is not None and len(up) > STANDBYS:
                    return leader
                await self.store.change()

    async def succeeded(self, who: str, least: float, most: float) -> None:
        """Wait at least and at most so long, until somebody else leads."""
        await asyncio.sleep(least)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(most - least):
                while self.store.leader in (None, who):
                    await self.store.change()

    async def hold(self, step: Step) -> None:
        """The time that a fault lasts, with what else may happen in the midst of it."""
        await asyncio.sleep(step.hold * HOLD_BEFORE)
        if step.ending:
            self.end_leader(self, step.ending)
        await asyncio.sleep(step.hold * (1 - HOLD_BEFORE))

    async def heal(self) -> None:
        """Undo all faults, and wait until every server serves. Raises `TimeoutError`.

        Servers that have been stopped, and run again, at times serve nobody any more until they are restarted (ZooKeeper
        3.8.0 answers connects then and nothing else; see ZOOKEEPER-4409 and -4541). That is no fault of candidates, and
        no calm either.
        """
        self.crew.heal()
        await self.network.heal()
        await self.servers.heal()
        try:
            await self.servers.serving(LONGEST_SILENCE)
        except TimeoutError:
            self.hangs.append(boottime())
            self.account.tell(Kind.DISTURBED, note="servers hang")
            await self.servers.restart()
            await self.servers.serving()
            self.account.tell(Kind.CALM)


@contextlib.asynccontextmanager
async def staged(home: Path, artifacts: Path, owner: int, end_leader: Callable[[Stage, str], None]) -> AsyncGenerator[Stage]:
    """home: for what is not kept. owner: number of the process, outside, after which control groups are named."""
    facts, logs, socket = artifacts / "facts", artifacts / "logs", home / "store"
    for directory in (facts, logs):
        directory.mkdir(exist_ok=True)
    account = Account(facts / "stage.jsonl")
    account.tell(Kind.DISTURBED, note="set-up")
    network = Network()
    await network.start()
    servers = Servers([await network.host(f"s{n}", n) for n in range(1, SERVERS + 1)], home, TICK)
    trouble = list[str]()
    try:
        await servers.heal()
        await servers.serving()
        await asyncio.to_thread(make_parents, servers.addresses, PATH.rpartition("/")[0], WRITES)
        around = Surroundings(f"zk://{servers.addresses}{PATH}", socket, WRITES, facts, logs)
        places = list[Place]()
        for number, options in enumerate(CANDIDATES, 1):
            host = await network.host(f"c{number}", 10 + number)
            group = Group(owner, host.name)
            places.append(Place(host, group, {**options, "session_timeout": TIMEOUT}, around, account, trouble.append))
        with Observer(servers.addresses, PATH) as observer:
            async with Store(socket, Account(facts / "store.jsonl")) as store, Crew(places) as crew:
                stage = Stage(network, servers, crew, store, account, observer, end_leader, trouble=trouble)
                yield stage
    finally:
        servers.kill()
        for server in servers.all:
            with contextlib.suppress(OSError):
                shutil.copy(server.log, logs / f"server-{server.number}.log")
