"""Fenced writes raced against takeovers: what an old leader sends is never accepted once another has taken over.

Old leaders keep their grants and go on committing with them, on sessions that live, with no check of their own in the
way: what refuses them is the server. Every write creates a node that bears its token, so the store itself tells
afterwards at which zxid it accepted each, and a term's token is the zxid of its takeover.
"""

import asyncio
import bisect
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from aioha import Elector, Fenced, Term, TermEnded
from aioha.elections import Operation
from aioha.testing import Ensemble
from aioha.wire import requests

Commit = Callable[[Any, Operation], Awaitable[bool]]

CANDIDATES = 3
FRESH, RACING, LATE = 50, 20, 30  # attempts for each term: its own, its old leader's around the takeover, and after it
BURST = 5
AT_ONCE = 1000  # reads


async def fenced(grant: Any, operation: Operation) -> bool:
    """As an old leader commits who has not looked at its clock."""
    return bool(await grant.commit([operation], lambda: None))


async def by_record(grant: Any, operation: Operation) -> bool:
    """With the check alone that a takeover makes fail."""
    return await _sent(grant, *grant.checks, requests.create(operation.path, operation.data))


async def unfenced(grant: Any, operation: Operation) -> bool:
    """The bug to be found: the same without checks."""
    return await _sent(grant, requests.create(operation.path, operation.data))


async def _sent(grant: Any, *operations: requests.Request) -> bool:
    return requests.failure(await grant.session.send(requests.multi(*operations))) is None


class Race:
    """Candidates that take over from one another, and old leaders that do not stop."""

    def __init__(self, where: str, journal: str, takeovers: int, commits: Sequence[Commit]) -> None:
        self.where = where
        self.journal = journal
        self.takeovers = takeovers
        self.commits = commits  # of old leaders, by turns
        self.tokens: list[int] = []
        self.leaders: list[str] = []
        self.accepted = self.refused = self.late = 0
        self._took_over = asyncio.Condition()
        self._old: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            electors = [
                await stack.enter_async_context(Elector(self.where, identity=str(n), session_timeout=10))
                for n in range(CANDIDATES)
            ]
            await asyncio.gather(*map(self._candidate, electors))
            await asyncio.gather(*self._old)

    @property
    def attempts(self) -> int:
        return self.accepted + self.refused

    async def _candidate(self, elector: Elector) -> None:
        while len(self.tokens) < self.takeovers:
            with contextlib.suppress(TermEnded):  # on a machine too busy for the lease: a takeover like any other
                async with elector.campaign() as term:
                    self.leaders.append(elector.identity)
                    await self._lead(term)

    async def _lead(self, term: Term) -> None:
        async with self._took_over:
            self.tokens.append(term.token)
            self._took_over.notify_all()
        await asyncio.gather(*(self._fresh(term, n) for n in range(FRESH)))
        old = asyncio.create_task(self._go_on(term, len(self.tokens)))
        self._old.add(old)
        old.add_done_callback(self._old.discard)

    async def _fresh(self, term: Term, number: int) -> None:
        try:
            async with term.transaction() as t:
                t.create(f"{self.journal}/{term.token}-fresh{number}", b"")
        except Fenced:
            self.refused += 1
        else:
            self.accepted += 1

    async def _go_on(self, term: Term, takeovers: int) -> None:
        """The old leader's: some writes race its release and the takeover, the others are sent after it for certain."""
        for burst in range(RACING // BURST):
            await asyncio.gather(*(self._late(term, "racing", burst * BURST + n) for n in range(BURST)))
        async with self._took_over:
            await self._took_over.wait_for(lambda: len(self.tokens) > takeovers or takeovers >= self.takeovers)
        if takeovers < self.takeovers:
            self.late += LATE
            await asyncio.gather(*(self._late(term, "late", n) for n in range(LATE)))

    async def _late(self, term: Term, kind: str, number: int) -> None:
        commit = self.commits[number % len(self.commits)]
        if await commit(term._grant, Operation("create", f"{self.journal}/{term.token}-{kind}{number}")):
            self.accepted += 1
        else:
            self.refused += 1


async def stale_writes(session: Any, journal: str, tokens: list[int]) -> tuple[int, list[str]]:
    """What the store has: how many writes, and those that it accepted after a takeover from their term."""
    names = (await session.send(requests.children(journal))).children
    stale: list[str] = []
    for start in range(0, len(names), AT_ONCE):
        part = names[start : start + AT_ONCE]
        replies = [session.send(requests.exists(f"{journal}/{name}")) for name in part]
        for name, reply in zip(part, replies, strict=True):
            token, zxid = int(name.partition("-")[0]), requests.stat_of(await reply).czxid
            if tokens[bisect.bisect(tokens, zxid) - 1] != token:  # whose term it was at that zxid
                stale.append(f"{name} at {zxid}")
    return len(names), stale


async def raced(takeovers: int, *commits: Commit) -> tuple[Race, list[str]]:
    """A race of its own server, and the stale writes that its store holds."""
    async with Ensemble(1, jvm=["-Xmx192m"]) as lone:
        race = Race(lone.where("/race/election"), "/race/journal", takeovers, commits)
        async with Elector(lone.where("/race/looker-on")) as looker_on, looker_on.campaign() as looking:
            session = looking._grant.session  # type: ignore[attr-defined]
            await session.send(requests.create("/race/journal", b""))
            await session.send(requests.create("/race/before", b""))
            begun = time.monotonic()
            await race.run()
            took = time.monotonic() - begun
            await session.send(requests.create("/race/after", b""))
            before, after = [
                requests.stat_of(await session.send(requests.exists(f"/race/{name}"))).czxid for name in ("before", "after")
            ]
            held, stale = await stale_writes(session, "/race/journal", race.tokens)
    assert race.tokens == sorted(set(race.tokens))
    assert held == race.accepted  # what was told to be written was, and nothing else
    assert after - before >= race.attempts + len(race.tokens)  # each one, refused or not, took a zxid: it was there
    print(
        f"{len(race.tokens)} takeovers, {race.attempts} attempts: {race.accepted} accepted, {race.refused} refused, "
        f"{race.late} sent after a takeover, {len(stale)} stale ones accepted; {took:.1f} s"
    )
    return race, stale


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_no_stale_write_is_accepted_in_a_thousand_takeovers() -> None:
    race, stale = await raced(1000, fenced, by_record)
    assert stale == []
    assert len(race.tokens) >= 1000
    assert sum(one != other for one, other in itertools.pairwise(race.leaders)) >= 300
    assert race.attempts >= 100_000 - LATE * CANDIDATES
    assert race.late >= 0.25 * race.attempts
    assert race.refused >= race.late
    assert race.accepted >= FRESH * 1000


@pytest.mark.slow
async def test_the_race_finds_writes_without_a_fence() -> None:
    race, stale = await raced(20, unfenced)
    assert len(stale) >= race.late * 0.9
