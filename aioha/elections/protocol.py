"""What an elector needs of a store: the contract between `elector` and each file of this package.

An `Election` lets one candidate take part: it grants terms one after another and shows who leads. A `Grant` is one
term as the store gave it. It ends at most once, says why, and tells its listener in the same tick, so that the
elector's supervision needs neither a task nor a poll.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..guardian.guarded import Guardian
from ..leaders import Leader, Predecessor

__all__ = ["Candidates", "Election", "Grant", "Leader", "Operation", "Predecessor", "SessionView"]

Candidates = tuple[Leader | None, Sequence[Leader]]  # who leads, and who stands by, in the order in which they would lead


@dataclass(frozen=True, slots=True)
class Operation:
    """One step of a transaction. `version` -1: any."""

    kind: Literal["create", "set_data", "delete", "check"]
    path: str
    data: bytes = b""
    version: int = -1

    def __str__(self) -> str:
        return f"{self.kind} {self.path}"


class SessionView(Protocol):
    """What people may want to know of the connection; `Elector.session`."""

    @property
    def state(self) -> str: ...
    @property
    def server(self) -> str | None: ...
    @property
    def timeout(self) -> float: ...
    @property
    def id(self) -> int: ...


class Grant(Protocol):
    """One term, from being granted to being released. Synchronous, but for `ready`, `confirm`, `commit` and `release`."""

    @property
    def token(self) -> int: ...
    @property
    def number(self) -> int | None: ...
    @property
    def leader(self) -> Leader: ...
    @property
    def predecessor(self) -> Predecessor | None: ...

    @property
    def unfenced(self) -> Sequence[Predecessor]:
        """Earlier terms that did not end cleanly and for which no fence hook has returned yet, newest first."""
        ...

    @property
    def settle(self) -> float:
        """Seconds to wait before the work may start (a predecessor may still be cleaning up); usually 0."""
        ...

    @property
    def stop_grace(self) -> float:
        """Seconds the work has to end, counted back from `deadline`."""
        ...

    @property
    def deadline(self) -> float:
        """When the work must have ended, on the elector's clock; `inf` where the store needs no lease."""
        ...

    @property
    def lease(self) -> float:
        """How long an unrenewed lease lasts, in seconds, for messages; `inf` where there is none."""
        ...

    @property
    def doubtful(self) -> bool:
        """The connection is gone: the term rests on the lease alone."""
        ...

    @property
    def seated(self) -> bool:
        """Nobody can begin to work before `release`, even if the term is over."""
        ...

    @property
    def ended(self) -> str | None:
        """Why the world ended this term, as the end of a sentence; None while it stands. The lease is not in here."""
        ...

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` (the only one) in the same tick in which `ended` or `doubtful` changes."""
        ...

    async def leased(self, interrupted: asyncio.Event) -> None:
        """Wait until the lease is worth starting on (at once, without a pause, where it is), the term has ended, or
        `interrupted` is set.
        """
        ...

    async def ready(self, interrupted: asyncio.Event) -> None:
        """As `leased`, for the work itself: everything that comes before it is over."""
        ...

    async def fenced(self, predecessor: Predecessor) -> None:
        """A fence hook has returned for this one of `unfenced`: returns once the store will remember it, or the term
        has ended. Waits out outages. Raises `SessionFailed` where the store refuses to.
        """
        ...

    async def confirm(self) -> None:
        """Ask the store whether the term stands, in one round trip. Sets `ended` if not; raises `Unavailable`."""
        ...

    @property
    def no_transactions(self) -> str | None:
        """Why there can be no fenced transactions in this term, and what to do instead; None where there can be."""
        ...

    async def commit(self, operations: Sequence[Operation], check: Callable[[], None]) -> bool:
        """Carry out all operations, or none of them if this term does not stand in the store at that moment: False,
        and `ended` says why. Waits while no server is attached.

        `check` raises when the term is over. It is called while waiting, and right before anything is sent; what it
        raises goes out, and nothing was written then. Raises `Fenced` for an operation that did not pass, `ValueError`
        for a transaction that no server would take, and `Unavailable` if the outcome is unknown: the connection, or
        the lease, ended before the reply.
        """
        ...

    def client(self) -> Any:
        """The aiozk client on this term's session. Raises `ElectionError` where there is none."""
        ...

    def release(self) -> Awaitable[None]:
        """Give the term up, now that its work has ended: begins at once, as far as it can, and is to be awaited.

        Idempotent; never raises; done once the store knows, or once it is certain that nothing of ours is left. Can take
        long while the store is unreachable, and waits for what is left of `settle`: nobody else may begin before that.
        """
        ...


class Election(Protocol):
    """One candidate's part in one election."""

    async def open(self) -> None:
        """Connect. Raises `Unavailable` within `connect_timeout`, `SessionFailed`, `LayoutMismatch`."""
        ...

    async def win(self, *, yielding: bool = False) -> Grant:
        """Stand by until the store grants us a term with a lease that is worth starting on; waits out outages.

        `yielding`: another candidate goes first, if one stands by: wait until another leads, at most
        `min(1 s, T/4)`. Cancelling it withdraws: whatever was won or half won is released before it returns.
        Raises `SessionFailed`, `LayoutMismatch`.
        """
        ...

    async def leader(self) -> Leader | None:
        """Who leads now, in one round trip. Raises `Unavailable`."""
        ...

    async def candidates(self) -> Candidates:
        """Who takes part, as far as it can be seen; in few round trips. Raises `Unavailable`."""
        ...

    async def leader_after(self, last: Leader | None, *, first: bool) -> Leader | None:
        """The present leader as soon as it differs from `last` (at once if `first`); waits out outages."""
        ...

    @property
    def session(self) -> SessionView | None: ...

    @property
    def guardian(self) -> Guardian | None:
        """The process that acts when we cannot, if one was asked for."""
        ...

    async def close(self) -> None:
        """Leave, bounded, in any state. Called after every grant was released or given up on."""
        ...
