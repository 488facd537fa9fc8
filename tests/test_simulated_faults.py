"""The simulated ensemble against the real one while servers die, hang and lose each other: the same transcripts.

What is compared is what a client can see: which connections break, what is still answered by a server that nobody
follows, which sessions and nodes survive, what zxids say. Times are not: they are bounded, in both worlds alike.
"""

import asyncio
from collections.abc import Iterator

import pytest
from breakable import SYNC_LIMIT, TICK, Breakable, beating, in_reality, in_simulation
from simulated_client import Raw
from simulated_numbers import CHILDREN, CREATE, EPHEMERAL, OPEN
from simulated_table import Case

from aioha.testing import Ensemble
from aioha.testing.fixtures import require
from aioha.testing.java import missing
from aioha.testing.simulated import run

ATTEMPTS = 2  # on real servers: what takes no time in one world may take some in the other
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@case
async def leader_killed(w: Breakable) -> None:
    c, d = await w.client("follower"), await w.client("other")
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    await d.sync()
    await w.act("kill", "leader")
    await c.hung_up()
    await d.hung_up()
    c = await w.again(c, "follower")
    await c.sync()
    await c.exists(f"{w.root}/e")
    await c.set(f"{w.root}/e", b"still ours")
    await w.act("start", "leader")
    d = await w.again(d, "leader")
    await d.sync()
    await d.get(f"{w.root}/e")


@case
async def follower_killed(w: Breakable) -> None:
    c, d = await w.client("follower"), await w.client("leader")
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    await w.act("kill", "follower")
    await c.hung_up()
    e = await w.raw("other").connect(like=c)
    await e.exists(f"{w.root}/e")
    await e.set(f"{w.root}/e", b"x")
    await w.act("start", "follower")
    f = await w.again(e, "follower")
    await f.sync()
    await f.get(f"{w.root}/e")
    await d.get(f"{w.root}/e")


@case
async def ghost_follower(w: Breakable) -> None:
    """It is alone, and says nothing of it: pings and reads are answered while the session ends elsewhere."""
    d, c = await w.client("leader"), await w.client("follower", timeout=0.4)
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    await d.exists(f"{w.root}/e", True)
    await w.act("cut", "follower", "leader")
    async with beating(c):
        await d.event()
    await c.ping()
    await c.exists(f"{w.root}/e")
    await c.hung_up()
    await w.act("heal")
    await w.again(d, "follower")
    await w.raw("follower").connect(0.4, like=c)


@case
async def frozen_follower(w: Breakable) -> None:
    c, d = await w.client("follower", timeout=20.0), await w.client("leader")
    await w.act("freeze", "follower")
    c.send(CREATE, c.packed(CREATE, f"{w.root}/late", b"", 0, OPEN), what="create")
    await c.nothing()
    e = await w.raw("other").connect(20.0, like=c)
    await e.create(f"{w.root}/e", b"", EPHEMERAL)
    await w.act("thaw", "follower")
    await c.hung_up()
    await e.sync()
    await d.exists(f"{w.root}/late")
    await e.exists(f"{w.root}/e")


@case
async def deposed_leader(w: Breakable) -> None:
    """For a while it answers its own clients everything but writes."""
    c, d = await w.client("leader"), await w.client("follower")
    await w.act("isolate", "leader")
    await c.ping()
    await c.sync()
    await c.exists(w.root)
    c.send(CREATE, c.packed(CREATE, f"{w.root}/never", b"", 0, OPEN), what="create")
    await c.nothing()
    await c.hung_up()
    c = await w.again(c, "follower")
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    await w.act("heal")
    e = await w.again(c, "leader")
    await e.sync()
    await e.exists(f"{w.root}/never")
    await e.exists(f"{w.root}/e")
    await w.again(d, "other")


@case
async def quorum_lost(w: Breakable) -> None:
    c = await w.client("leader")
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    await w.act("kill", "follower")
    await w.act("kill", "other")
    await c.hung_up()
    await w.raw("leader").connect(like=c)
    await w.act("start", "follower")
    c = await w.again(c, "leader")
    await c.sync()
    await c.exists(f"{w.root}/e")


@case
async def behind_the_client(w: Breakable) -> None:
    """A server that lacks what the client has seen does not take it."""
    c = await w.client("leader")
    await w.act("cut", "follower", "leader")
    await c.create(f"{w.root}/a")
    await w.raw("follower").connect(like=c, seen=c.zxid)
    await w.raw("other").connect(like=c, seen=c.zxid)
    await w.act("heal")


@case
async def a_new_leader_gives_a_fresh_timeout(w: Breakable) -> None:
    c, d = await w.client("follower"), await w.client("other", timeout=2.0)
    await d.create(f"{w.root}/e", b"", EPHEMERAL)
    await d.drop()
    await asyncio.sleep(1.0)
    await w.act("kill", "leader")
    killed = w.clock()
    await c.hung_up()
    c = await w.again(c, "follower")
    await c.exists(f"{w.root}/e", True)
    await c.event()
    lasted = w.clock() - killed
    assert lasted > 2.0, f"gone after {lasted:g} s"


@case
async def all_restarted(w: Breakable) -> None:
    c = await w.client("leader")
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    await c.create(f"{w.root}/p")
    for what in ("kill", "start"):
        for role in ("leader", "follower", "other"):
            await w.act(what, role)
    c = await w.again(c, "other")
    await c.sync()
    await c.exists(f"{w.root}/e")
    await c.exists(f"{w.root}/p")
    await c.create(f"{w.root}/n-", b"", 2)


SESSIONS = 8  # through each of the three servers


@case
async def expiry_windows(w: Breakable) -> None:
    """Sessions through each server end within a tick bucket after their timeout, and half a tick of relay.

    A server that stands still relays too late. That takes a busy machine, so some real followers' sessions may end early.
    """
    d, timeout = await w.client("leader", timeout=20.0), 1.0
    windows = {"leader": list[float](), "follower": list[float](), "other": list[float]()}  # seconds after the last ping

    async def one(where: str, number: int) -> None:
        await asyncio.sleep(number * 0.033)
        watcher = await Raw(w.transcript.aside(), "watcher", w._addresses["leader"]).connect(20.0)
        pinged, longest = w.clock(), 0.0
        raw = await Raw(w.transcript.aside(), where, w._addresses[where]).connect(timeout)
        await raw.create(f"{w.root}/{where}-{number}", b"", EPHEMERAL)
        await watcher.exists(f"{w.root}/{where}-{number}", True)
        for _ in range(5):
            await asyncio.sleep(0.07)
            before, pinged = pinged, w.clock()
            await raw.ping()
            longest = max(longest, w.clock() - before)
        await watcher.event()
        if longest < timeout / 2:  # else this machine stood still, and the session may have ended between two pings
            windows[where].append(w.clock() - pinged)
        await raw.shut()
        await watcher.close()

    await asyncio.gather(*(one(where, number) for where in windows for number in range(SESSIONS)))
    await d.children(w.root, op=CHILDREN)
    every = sorted(one for through in windows.values() for one in through)
    told = " ".join(f"{one:.3f}" for one in every)
    assert len(every) >= len(windows) * SESSIONS // 2, f"the machine was too busy to tell: {told}"
    assert timeout <= min(windows["leader"], default=timeout), f"early through the leader: {windows['leader']}"
    assert sum(one < timeout for one in every) <= len(every) * w.early, f"early: {told}"
    assert every[-1] < timeout + 1.5 * TICK + w.late, f"late: {told}"


# ---------------------------------------------------------------------- both worlds


@pytest.fixture(scope="module")
def breakable() -> Iterator[Ensemble]:
    require((hint := missing()) is None, hint or "")
    started = Ensemble(3, tick=TICK, sync_limit=SYNC_LIMIT, cuttable=True)
    started.start()
    yield started
    started.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_fault(breakable: Ensemble, name: str) -> None:
    expected = run(lambda simulation: in_simulation(CASES[name], simulation))
    told = list[str]()
    for _ in range(ATTEMPTS):
        try:
            found = asyncio.run(in_reality(CASES[name], breakable))
        except (AssertionError, OSError) as error:  # servers and we share a machine that may stand still
            found = [repr(error)]
        if found == expected:
            return
        told += ["real:", *found, ""]
    pytest.fail("\n".join([*told, "simulated:", *expected]), pytrace=False)
