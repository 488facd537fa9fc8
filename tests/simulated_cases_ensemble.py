"""Cases that need three servers: sessions that move, watchers elsewhere, `sync`."""

from typing import Any

from simulated_numbers import CHECK, CREATE, EPHEMERAL, OPEN, SEQUENCE, SET
from simulated_table import ensemble_case


@ensemble_case
async def session_moves(w: Any) -> None:
    """Who has moved is refused where it was: a write breaks the old connection, a read does not."""
    c = await w.client("follower")
    d = await w.raw("other").connect(like=c)
    await d.create(f"{w.root}/a", b"", EPHEMERAL)
    await c.exists(w.root)
    await c.set(w.root, b"x")
    await d.ping()
    await d.get(w.root)


@ensemble_case
async def session_moves_from_the_leader(w: Any) -> None:
    c = await w.client("leader")
    d = await w.raw("follower").connect(like=c)
    await d.exists(w.root)
    await c.exists(w.root)


@ensemble_case
async def session_moves_to_the_leader_and_back(w: Any) -> None:
    c = await w.client("follower")
    d = await w.raw("leader").connect(like=c)
    await d.set(w.root, b"d")
    e = await w.raw("follower").connect(like=c)
    await c.hung_up()
    await e.set(w.root, b"e")
    await d.multi((SET, w.root, b"late", -1))
    await e.get(w.root)


@ensemble_case
async def moved_multi_breaks_the_connection(w: Any) -> None:
    c = await w.client("follower")
    d = await w.raw("other").connect(like=c)
    await c.multi((CHECK, w.root, 0))
    await d.ping()


@ensemble_case
async def moved_sync_is_answered(w: Any) -> None:
    c = await w.client("follower")
    d = await w.raw("other").connect(like=c)
    await c.sync()
    await d.sync()


@ensemble_case
async def closed_elsewhere(w: Any) -> None:
    c = await w.client("follower")
    d = await w.raw("other").connect(like=c)
    await d.close()
    await c.hung_up()


@ensemble_case
async def closed_by_a_stranger_at_the_leader(w: Any) -> None:
    c = await w.client("follower")
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    d = await w.raw("leader").connect(like=c)
    await d.close()
    await c.hung_up()
    e = await w.client("other")
    await e.sync()
    await e.exists(f"{w.root}/e")


@ensemble_case
async def watchers_everywhere_are_told(w: Any) -> None:
    c = await w.client("follower")
    others = [await w.client(where) for where in ("leader", "other")]
    for other in others:
        await other.sync()
        await other.get(w.root, True)
        await other.children(w.root, True)
    await c.multi((SET, w.root, b"x", -1), (CREATE, f"{w.root}/a", b"", 0, OPEN))
    for other in others:
        await other.event()
        await other.event()


@ensemble_case
async def sync_makes_a_read_fresh(w: Any) -> None:
    c, d = await w.client("leader"), await w.client("follower")
    for number in range(5):
        await c.set(w.root, b"%d" % number)
        await d.sync()
        await d.get(w.root)


@ensemble_case
async def expired_through_a_follower(w: Any) -> None:
    c, d = await w.client("leader"), await w.client("follower", timeout=0.6)
    await d.create(f"{w.root}/e", b"", EPHEMERAL)
    await c.exists(f"{w.root}/e", True)
    await d.hung_up()
    await c.event()
    await w.raw("other").connect(0.6, like=d)


@ensemble_case
async def ephemeral_sequence_through_all(w: Any) -> None:
    for where in ("follower", "leader", "other", "follower"):
        c = await w.client(where)
        await c.sync()
        await c.create(f"{w.root}/n-", b"", EPHEMERAL | SEQUENCE)
    await c.sync()
    await c.children(w.root)


@ensemble_case
async def set_watches_on_another_server(w: Any) -> None:
    c, d = await w.client("follower"), await w.client("leader")
    await c.create(f"{w.root}/a")
    since = c.zxid
    await c.drop()
    await d.set(f"{w.root}/a", b"x")
    e = await w.raw("other").connect(like=c)
    await e.sync()
    await e.set_watches(since, [f"{w.root}/a", w.root], [f"{w.root}/b"], [w.root])
    await e.nothing()
