"""One simulated server: what it keeps over a restart, what part it plays, and what a test may do to it.

Its part is `Looking`, `Following` or `Leading`, one after another; while it serves it has a `Front`. Everything it does
runs as an actor of its own, so that it can be frozen.
"""

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .door import Door
from .following import Following
from .front import Front, Role
from .leading import Leading
from .links import Pipe
from .looking import Looking, Vote
from .network import Network
from .peers import Wire
from .sessions import first_session_id
from .streams import End
from .tree import Tree, Txn

__all__ = ["CLIENT_PORT", "Rules", "Server"]

CLIENT_PORT = 2181
WALL_CLOCK = 1_700_000_000.0  # seconds; what it shows when virtual time is 0
BOOT = 0.3, 0.7  # seconds from a process's start until it looks for a leader
MOST_HISTORY = 500  # transactions kept for followers that come back; who lacks more gets everything anew


@dataclass(frozen=True, slots=True)
class Rules:
    """What all servers of an ensemble have in common. Seconds; the limits in ticks."""

    tick: float
    sync_limit: int
    init_limit: int
    min_session_timeout: float
    max_session_timeout: float


class Server:
    """See the head of this file. `peers`: all servers of the ensemble, by number."""

    def __init__(self, network: Network, number: int, rules: Rules, peers: "dict[int, Server]", rng: random.Random) -> None:
        self.network = network
        self.loop = network.loop
        self.number = number
        self.name = f"zk{number}"
        self.host = network.host(self.name)
        self.rules = rules
        self.bucket_phase = rng.random() * rules.tick
        self.note: Callable[[str], None] = lambda _: None
        self.session_over: Callable[[int, bool], None] = lambda _session, _expired: None
        # What a disk keeps:
        self.tree = Tree()
        self.log: deque[Txn] = deque()  # written down, and not known to be committed
        self.history: deque[Txn] = deque(maxlen=MOST_HISTORY)  # the newest that were applied
        self.floor = 0  # zxid in front of `history`
        self.accepted_epoch = self.current_epoch = 0
        # What a process keeps:
        self.alive = False
        self.round = 0
        self.role: Looking | Following | Leading | None = None
        self._decided: tuple[int, Vote] = (0, (0, 0, 0))
        self._peers = peers
        self._rng = rng
        self._votes: dict[int, Pipe] = {}
        self._boot: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Server {self.number} {self.address} {self.mode() or ('alive' if self.alive else 'down')}>"

    @property
    def address(self) -> str:
        return f"{self.name}:{CLIENT_PORT}"

    @property
    def front(self) -> Front | None:
        """None while it does not serve."""
        return getattr(self.role, "front", None)

    def mode(self) -> str | None:
        """ "leader", "follower" or "standalone"; None while it does not serve."""
        return self.role.mode if self.role is not None and self.front is not None else None

    # ------------------------------------------------------------------ what a test may do

    def start(self) -> None:
        """Start the process, on the data it has. It serves a little later: see `SimulatedEnsemble.ready`."""
        if self.alive:
            return
        self.alive = True
        self.note("started")
        self._next_session = first_session_id(self.number, self.wall)
        self._boot = self.later(self._rng.uniform(*BOOT) if len(self._peers) > 1 else 0, self._begin)

    def kill(self) -> None:
        """SIGKILL. Its connections break, and connecting is refused."""
        if not self.alive:
            return
        self.alive = False
        self.note("killed")
        self.host.listen = None
        if self._boot is not None:
            self._boot.cancel()
        role, self.role = self.role, None
        if role is not None:
            role.stop()
        self.network.close_streams(self.host)
        self.round = 0
        self.loop.discard(self.host.name)

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and are silent; the kernel still accepts new ones."""
        self.note("frozen")
        self.loop.freeze(self.host.name)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.loop.is_frozen(self.host.name):
            self.note("thawed")
            self.loop.thaw(self.host.name)

    # ------------------------------------------------------------------ for its parts

    @property
    def quorum(self) -> int:
        return len(self._peers) // 2 + 1

    @property
    def others(self) -> list[int]:
        return [number for number in self._peers if number != self.number]

    @property
    def wall(self) -> int:
        """ms"""
        return round((WALL_CLOCK + self.loop.time()) * 1000)

    def peer(self, number: int) -> "Server":
        return self._peers[number]

    def later(self, delay: float, callback: Callable[..., None], *args: Any) -> asyncio.TimerHandle:
        return self.loop.call_later(delay, callback, *args, context=self.host.context)

    def clamp(self, asked: int) -> int:
        """ms"""
        least, most = round(self.rules.min_session_timeout * 1000), round(self.rules.max_session_timeout * 1000)
        return max(least, min(most, asked))

    def open_front(self, role: Role) -> Front:
        self.note(f"serves as {self.role.mode if self.role else None}")
        front = Front(self.tree, role, self._next_session)
        self._next_session += 1 << 32  # whatever this front gives out, the next one begins behind it
        return front

    # ------------------------------------------------------------------ its part

    def _begin(self) -> None:
        self.host.listen = self._accept
        if len(self._peers) == 1:
            self._play(Leading(self))
        else:
            self.look()

    def look(self) -> None:
        """There is no leader any more, as far as we know."""
        self._play(Looking(self))

    def decide(self, vote: Vote) -> None:
        self._decided = (self.round, vote)
        self._play(Leading(self) if vote[2] == self.number else Following(self, vote[2]))

    def _play(self, role: Looking | Following | Leading) -> None:
        before, self.role = self.role, role
        if before is not None:
            before.stop()
        if not isinstance(before, Looking):
            self.note("looks for a leader" if len(self._peers) > 1 else "begins")
        role.start()

    def meet(self, wire: Wire) -> None:
        """Another server wants to follow us."""
        if self.alive and isinstance(self.role, Leading):
            self.role.meet(wire)
        else:
            wire.close()

    @property
    def vote(self) -> Vote:
        return self.current_epoch, self.newest, self.number

    def tell(self, number: int, mode: str | None, round_: int, vote: Vote) -> None:
        other = self._peers[number]
        if number not in self._votes:
            self._votes[number] = Pipe(self.loop, self.network.link(self.name, other.name), other.host.context)
        self._votes[number].send(other.hear, self.number, mode, round_, vote)

    def hear(self, sender: int, mode: str | None, round_: int, vote: Vote) -> None:
        if isinstance(self.role, Looking):
            self.role.hear(sender, mode, round_, vote)
        elif self.role is not None and mode is None:
            self.tell(sender, self.role.mode, *self._decided)

    # ------------------------------------------------------------------ data

    @property
    def newest(self) -> int:
        """zxid of the newest transaction written down."""
        return self.log[-1].zxid if self.log else self.tree.zxid

    def apply_next(self, front: Front | None) -> Txn:
        """The oldest transaction in the log is committed."""
        txn = self.log.popleft()
        if len(self.history) == MOST_HISTORY:
            self.floor = self.history[0].zxid
        self.history.append(txn)
        if front is not None:
            front.committed(txn)
        else:
            self.tree.apply(txn)
        return txn

    def difference(self, newest: int, *, committed_only: bool) -> tuple[int, Tree | None, list[Txn], int]:
        """For a follower whose newest zxid that is: up to where it agrees with us, what it lacks, how far to apply."""
        known = [*self.history, *(() if committed_only else self.log)]
        commit_to = known[-1].zxid if known else self.tree.zxid
        if newest < self.floor:
            pending = [] if committed_only else list(self.log)
            return self.tree.zxid, self.tree.copy(), pending, commit_to
        keep_to = max((txn.zxid for txn in known if txn.zxid <= newest), default=self.floor)
        return keep_to, None, list(itertools.dropwhile(lambda txn: txn.zxid <= keep_to, known)), commit_to

    def restore(self, snapshot: Tree) -> None:
        self.tree = snapshot
        self.log.clear()
        self.history.clear()
        self.floor = snapshot.zxid

    def truncate(self, keep_to: int) -> None:
        while self.log and self.log[-1].zxid > keep_to:
            self.log.pop()

    def _accept(self, end: End) -> Door:
        return Door(self, end)
