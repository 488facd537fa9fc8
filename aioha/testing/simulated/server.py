"""One simulated server: what it keeps over a restart, what part it plays, and what a test may do to it.

Its part is `Looking`, `Following` or `Leading`, one after another; while it serves it has a `Front`. Everything it does
runs as an actor of its own, so that it can be frozen.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .disk import Disk
from .door import Door
from .following import Following
from .front import Front, Role
from .handles import Handle
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What all servers of an ensemble have in common. Seconds; the limits in ticks; connections from one address, 0: any."""

    tick: float
    sync_limit: int
    init_limit: int
    min_session_timeout: float
    max_session_timeout: float
    max_client_connections: int = 0


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
        self.committed: Callable[[Txn], None] = lambda _: None
        # What a disk keeps:
        self.disk = Disk()
        self._full: Disk | None = None  # what is left on a full disk when its process ends
        # What a process keeps:
        self.alive = False
        self._choking = False  # it has found its disk full
        self.round = 0
        self.role: Looking | Following | Leading | None = None
        self._decided: tuple[int, Vote] = (0, (0, 0, 0))
        self._peers = peers
        self._rng = rng
        self._votes: dict[int, Pipe] = {}
        self._boot: Handle | None = None

    def __repr__(self) -> str:
        return f"<Server {self.number} {self.address} {self.mode() or ('alive' if self.alive else 'down')}>"

    @property
    def address(self) -> str:
        return f"{self.name}:{CLIENT_PORT}"

    @property
    def tree(self) -> Tree:
        return self.disk.tree

    @property
    def current_epoch(self) -> int:
        """Of the last leader that it has followed, or been."""
        return self.disk.current_epoch

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
        self._votes.clear()
        for peer in self._peers.values():
            peer._votes.pop(self.number, None)  # noqa: SLF001 - our own
        self.round = 0
        self.loop.discard(self.host.actor)
        self._choking = False
        if self._full is not None:
            self.disk = self._full.copy()

    def restart(self) -> None:
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and are silent; the kernel still accepts new ones."""
        self.note("frozen")
        self.loop.freeze(self.host.actor)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.loop.is_frozen(self.host.actor):
            self.note("thawed")
            self.loop.thaw(self.host.actor)

    def snapshot(self) -> Disk:
        """A copy of its data directory as it is now, for `roll_back`."""
        return self.disk.copy()

    def roll_back(self, disk: Disk) -> None:
        """Put a copy of its data directory back, older than what it has. Only while it is down."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs: nobody could replace its data")
        self.note("has older data")
        self.disk = disk.copy()
        if self._full is not None:
            self._full = disk.copy()

    def restore(self, tree: Tree) -> None:
        """Put back a tree alone, of the same epochs. Only while it is down."""
        self.roll_back(
            Disk(tree, floor=tree.zxid, accepted_epoch=self.disk.accepted_epoch, current_epoch=self.current_epoch)
        )

    def fill_disk(self) -> None:
        """From now on its disk takes nothing: the process ends at its first write, and as soon as it is to lead or to
        follow, because both begin with one. See `free_disk`.
        """
        self.note("has a full disk")
        self._full = self.disk.copy()

    def free_disk(self) -> None:
        """There is room again. A process that has ended must be started."""
        if self._full is not None:
            self.note("has room on its disk")
            self._full = None

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
        return round((WALL_CLOCK + self.loop.now) * 1000)

    def peer(self, number: int) -> "Server":
        return self._peers[number]

    def later(self, delay: float, callback: Callable[..., None], *args: Any) -> Handle:
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
        if len(self._peers) > 1:
            self.look()
        elif self.has_room():
            self._play(Leading(self))

    def look(self) -> None:
        """There is no leader any more, as far as we know."""
        self._play(Looking(self))

    def decide(self, vote: Vote) -> None:
        self._decided = (self.round, vote)
        if self.has_room():  # a leader takes a snapshot, a follower writes its epoch down
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
        return self.disk.current_epoch, self.disk.newest, self.number

    def tell(self, number: int, mode: str | None, round_: int, vote: Vote) -> None:
        other = self._peers[number]
        if number not in self._votes:
            self._votes[number] = Pipe(self.loop, self.network.link(self.name, other.name), other.host.context)
        self._votes[number].send(other.hear, self.number, mode, round_, vote)

    def hear(self, sender: int, mode: str | None, round_: int, vote: Vote) -> None:
        if isinstance(self.role, Looking):
            self.role.hear(sender, mode, round_, vote)
        elif self.role is not None and mode is None:
            round_, (epoch, newest, leader) = self._decided
            # The epoch that was agreed on (ZOOKEEPER-1732): all that follow one leader are seen to do so.
            self.tell(sender, self.role.mode, round_, (self.current_epoch if self.front else epoch, newest, leader))

    # ------------------------------------------------------------------ data

    def write(self, txn: Txn) -> bool:
        """Down in the log. False: there is no room."""
        self.disk.log.append(txn)
        return self.has_room()

    def apply_next(self, front: Front | None) -> Txn:
        """The oldest transaction in the log is committed."""
        txn = self.disk.next_committed()
        self.committed(txn)
        if front is not None:
            front.committed(txn)
        else:
            self.disk.tree.apply(txn)
        return txn

    def has_room(self) -> bool:
        """Whether anything can be written down; if not, the process will not last."""
        if self._full is None:
            return True
        if not self._choking:
            self._choking = True
            # What leads alone ends at once, what follows with the next packet, what leads others when it looks at itself.
            self.later(self.rules.tick / 2 if self.mode() == "leader" else 0, self._choke)
        return False

    def _choke(self) -> None:
        if self.alive and self._choking:
            self.note("finds no space left on its disk")
            self.kill()

    # ------------------------------------------------------------------ clients

    def _accept(self, end: End) -> Door:
        door = Door(self, end)
        most, same = self.rules.max_client_connections, sum(each.far is end.far for each in self.host.ends)
        if most and same > most:
            self.loop.call_soon(end.reset, context=self.host.context)
        return door
