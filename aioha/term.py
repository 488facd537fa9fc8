"""One period of leadership, as the work sees it."""

import os
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from .clock import Clock
from .elections import Grant, Leader, Predecessor
from .errors import ElectionError, LeadershipLost, TermEnded
from .transaction import Transaction

__all__ = ["Term", "Work", "lease_over"]

T = TypeVar("T")


class Term:
    """What the work of one term is given. Ends at most once; every method says so from then on.

    token: the fencing token; strictly greater than that of every earlier term of the election.
    number: 1, 2, 3, ... from the record; None where none is kept.
    leader: this candidate as observers see it.
    predecessor: who led before, and whether that term's work is known to have ended; None if not known.
    """

    def __init__(
        self, grant: Grant, place: str, clock: Clock, ending: Callable[[], TermEnded | None], resign: Callable[[], Any]
    ) -> None:
        self.token = grant.token
        self.number = grant.number
        self.leader: Leader = grant.leader
        self.predecessor: Predecessor | None = grant.predecessor
        self._grant = grant
        self._place = place
        self._clock = clock
        self._ending = ending
        self._resign = resign
        self._process = os.getpid()

    def __repr__(self) -> str:
        return f"<Term {name_of(self._grant)} of {self._place}>"

    @property
    def remaining(self) -> float:
        """Seconds until the work will be cancelled unless the lease is renewed; not above 0 once the term is over.

        Renewals push it out again and again; `inf` where the store needs no lease.
        """
        left = self._grant.deadline - self._grant.stop_grace - self._clock()
        return left if self._ending() is None else min(left, 0.0)

    def check(self) -> None:
        """Raise `TermEnded` unless this term still holds. No round trip, no await; may be called from any thread.

        To be called before what cannot be undone, and in threads and tasks that cancellation does not reach.
        """
        self._check_process()
        ending = self._ending()
        if ending is not None:
            raise ending
        if self.remaining <= 0:
            raise lease_over(self._grant, self._place, self._clock())

    async def confirm(self) -> None:
        """Ask the store in one round trip that a quorum answers, then `check`.

        Takes at most a third of the session timeout. Raises `TermEnded`; `Unavailable` if nobody answered in time.
        """
        self.check()
        await self._grant.confirm()
        self.check()

    def transaction(self) -> Transaction:
        """Writes to ZooKeeper that happen all together, and only if this term still holds when they do:

            async with term.transaction() as t:
                t.create(path, data)
                t.set_data(path, data, version=-1)
                t.delete(path, version=-1)
                t.check(path, version)

        They are sent at the end of the block, in one request that begins with checks which only this term passes; an
        empty one asks just these. If the block raises, nothing is sent. While no server is attached the end of the
        block waits for one, as long as the term holds; then it takes one round trip that a quorum answers.

        The end of the block raises `Fenced` if nothing was written because the term is over (known without a round
        trip, or told by the store, which ends the term), or because an operation did not pass. `Unavailable`: the reply
        was lost with the connection, so all of it may or may not have been carried out; `await confirm()` and read
        back what it writes. It is not sent again by itself. (`TermEnded` instead, if the term has ended by then.)
        `ValueError`: larger than the 1 MiB that servers take. Cancelling it leaves the outcome unknown, too.

        Raises `ElectionError` where nothing can fence it: on `local`, and in an election without a record. Raises
        `TermEnded` in a forked child. Belongs to the elector's event loop: not to be used from other threads.
        """
        self._check_process()
        why = self._grant.no_transactions
        if why is not None:
            raise ElectionError(f"{self._place}: {why}")
        return Transaction(self._grant, f"term {name_of(self._grant)} of {self._place}", self.check)

    async def resign(self) -> None:
        """Give this term up. From the work itself it returns at once, and the work is then cancelled; from another
        task it returns when the store knows. No effect on a term that is over.
        """
        await self._resign()

    @property
    def zookeeper(self) -> Any:
        """The aiozk client on this term's session; its requests fail with aiozk's exceptions.

        Raises `ElectionError` on `local`, where there is none.
        """
        return self._grant.client()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            name = name_of(self._grant)
            raise TermEnded(f"term {name} of {self._place} belongs to process {self._process}, not to its fork")


Work = Callable[[Term], Awaitable[T]]  # what a leader does


def name_of(grant: Grant) -> str:
    """`7`, or the token where terms are not numbered."""
    return str(grant.number) if grant.number is not None else f"with token {grant.token}"


def lease_over(grant: Grant, place: str, now: float) -> LeadershipLost:
    """The diagnosis of a lease that ran out."""
    silent = now - (grant.deadline - grant.lease)
    usable = grant.lease - grant.stop_grace
    return LeadershipLost(
        f"term {name_of(grant)} of {place}: no answer from the ensemble for {silent:.1f} s (lease {usable:.1f} s)"
    )
