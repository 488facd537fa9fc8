"""What a proxy does to the bytes that pass, and what its connections share. Plain state; `flow` acts on it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Faults", "Traffic"]


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@dataclass(slots=True)
class Faults:
    """As constructed: none. Durations are seconds."""

    silent_to_client: bool = False
    silent_to_server: bool = False
    delay: float = 0.0
    jitter: float = 0.0
    size: int = 0  # of fragments; 0: as they come
    pause: float = 0.0  # between fragments
    truncate: int | None = None
    drop: Callable[[int], bool] | None = None
    released: asyncio.Event = field(default_factory=_open_gate)  # cleared: nothing passes for now

    def silent(self, *, to_client: bool) -> bool:
        return self.silent_to_client if to_client else self.silent_to_server


@dataclass(slots=True)
class Traffic:
    """What all connections of one proxy share."""

    target: tuple[str, int]
    frames: bool  # whether this is ZooKeeper's client protocol
    patience: float = 0.0  # seconds to go on trying to reach a target that refuses
    faults: Faults = field(default_factory=Faults)
    rewrite: tuple[bytes, bytes] | None = None  # in the first bytes to the server
    requests: Counter[int] = field(default_factory=Counter[int])
    dropped: int = 0

    def take_drop(self, operation: int) -> bool:
        """Whether the reply to this operation is the one to drop. Only one is."""
        if self.faults.drop is None or not self.faults.drop(operation):
            return False
        self.faults.drop = None
        self.dropped += 1
        return True

    def take_truncate(self) -> int | None:
        """How many bytes of this reply are to pass, if it is the one to truncate."""
        size, self.faults.truncate = self.faults.truncate, None
        return size
