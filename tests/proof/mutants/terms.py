"""Planted bugs of a term: how it ends, how its work is told, what it may write, and what came before it."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from aioha import threshold
from aioha.background import Background
from aioha.campaign import Campaign
from aioha.elections import Grant, Operation, Predecessor
from aioha.elections.zookeeper.fencing import Fence
from aioha.elections.zookeeper.grant import SessionGrant
from aioha.elections.zookeeper.ledger import LedgerView
from aioha.errors import TermEnded
from aioha.settings import FenceHook
from aioha.tenure import Tenure
from aioha.wire import requests

from .mutant import Change, Mutant

__all__ = ["TERMS"]

_end, _session_changed, _fence_each = Tenure._end, SessionGrant._session_changed, threshold._fence_each
_releases = set[asyncio.Future[None]]()


# ---------------------------------------------------------------------- ending


def _release_at_once(self: Tenure, ending: Callable[[], TermEnded]) -> None:
    _end(self, ending)
    release = asyncio.ensure_future(self._grant.release())
    _releases.add(release)
    release.add_done_callback(_releases.discard)


def _cancel_twice(self: Tenure, ending: Callable[[], TermEnded]) -> None:
    _end(self, ending)
    asyncio.get_running_loop().call_soon(self._cancel, "again")


async def _do_not_wait(self: Background) -> asyncio.CancelledError | None:
    if self._task.cancel():
        self._elector._leaver = self._task  # type: ignore[attr-defined] # and it is not asked once more
    return None


def _deaf_to_its_session(self: SessionGrant) -> None:
    if not self.session.state.is_dead:
        _session_changed(self)


# ---------------------------------------------------------------------- the term before


async def _whatever_it_raises(grant: Grant, hook: FenceHook, place: str, stands: Callable[[], bool]) -> Exception | None:
    async def quiet(predecessor: Predecessor) -> None:
        with contextlib.suppress(Exception):
            await hook(predecessor)

    return await _fence_each(grant, quiet, place, stands)


# ---------------------------------------------------------------------- writes


async def _commit_unchecked(self: Fence, operations: Sequence[Operation], check: Callable[[], None]) -> bool:
    sent = await self._sent(requests.multi(*(self._request(each) for each in operations)), check)
    return sent is not None and requests.failure(await self._reply(sent)) is None


async def _at_once(self: Campaign) -> None:
    pass


TERMS = (
    Mutant(
        "release-first",
        "a term that is over is released when its work is told to end, not when it has ended",
        ("I5", "I1"),
        (Change(Tenure, "_end", _release_at_once),),
    ),
    Mutant(
        "cancelled-twice",
        "work that is told to end is cancelled again at once, in the middle of its cleanup",
        ("I5",),
        (Change(Tenure, "_end", _cancel_twice),),
    ),
    Mutant(
        "not-awaited",
        "the end of the elector's block cancels background work and does not wait for its cleanup",
        ("I5", "I1"),
        (Change(Background, "stop", _do_not_wait), Change(Campaign, "left", _at_once)),
    ),
    Mutant(
        "deaf-to-its-session",
        "a term does not end when its session is known to be lost",
        ("I1", "I3"),
        (Change(SessionGrant, "_session_changed", _deaf_to_its_session),),
    ),
    Mutant(
        "no-settling",
        "after an unclean end nobody waits for the predecessor's `stop_grace`",
        ("I1",),
        (Change(LedgerView, "settle", lambda self, ended: 0.0),),
    ),
    Mutant(
        "fence-ignored",
        "a fence hook that raises counts as one that has returned",
        ("I2",),
        (Change(threshold, "_fence_each", _whatever_it_raises),),
    ),
    Mutant(
        "unchecked-transaction",
        "a transaction without the checks that only its term passes",
        ("I2",),
        (Change(Fence, "commit", _commit_unchecked),),
    ),
)
