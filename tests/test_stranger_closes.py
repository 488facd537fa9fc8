"""A stranger attaches to the leader's session and closes it, just while the leader comes back to it: real servers may then
take the leader in all the same, and answer pings for ever, or nothing any more. It must lead again, on a new session.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator

import pytest

from aioha import Elector, Term
from aioha.testing import Ensemble
from aioha.testing.fixtures import require
from aioha.testing.java import missing
from aioha.testing.strangers import close_session

pytestmark = pytest.mark.anyio

TIMES = 8  # that its session is closed; before it was mended, each of them had a chance of a third that it led no more
LATEST = 0.0012  # seconds: it comes back within such a time, and then the close is too late
BOUND = 5.0  # seconds to lead again


@pytest.fixture(scope="module")
def slow() -> Iterator[Ensemble]:
    """Servers that write to their disks before they agree, as they do in earnest: so there is time between two steps."""
    require(missing() is None, missing() or "")
    ensemble = Ensemble(3, fsync=True)
    ensemble.start()
    yield ensemble
    ensemble.stop()


class Work:
    def __init__(self) -> None:
        self.terms = 0
        self.begun = asyncio.Event()

    async def __call__(self, term: Term) -> None:
        self.terms += 1
        self.begun.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("layout", ["ephemeral", "latch"])
@pytest.mark.parametrize("role", ["follower", "leader"])
async def test_who_is_closed_while_it_comes_back_leads_again(slow: Ensemble, role: str, layout: str) -> None:
    server = slow.leader() if role == "leader" else slow.followers()[0]
    chance, work, path = random.Random(f"{role} {layout}"), Work(), f"/closed-{role}-{layout}"
    where = f"zk://{server.address}{path}?session_timeout=4&stop_grace=0.05&layout={layout}"
    async with Elector(where, work) as elector:
        sessions = set[int]()
        while len(sessions) <= TIMES:
            async with asyncio.timeout(BOUND):
                await work.begun.wait()
            work.begun.clear()
            view = elector.session
            assert view is not None
            session = view.id
            assert session is not None
            sessions.add(session)
            term = work.terms
            while work.terms == term and not work.begun.is_set() and elector.is_leading:
                await meddle(slow, server.number, session, chance.uniform(0.0, LATEST))
                await asyncio.sleep(0.05)  # whether it was closed is not heard at once
    assert work.terms > TIMES


async def meddle(ensemble: Ensemble, number: int, session: int, pause: float) -> None:
    signed = session - (1 << 64) if session >> 63 else session
    with contextlib.suppress(OSError):  # its owner has taken it back
        await asyncio.to_thread(close_session, ensemble.servers[number - 1], signed, pause)
