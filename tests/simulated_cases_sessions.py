"""Cases about sessions on one server: timeouts, attaching again, closing, expiry."""

import asyncio
from typing import Any

from simulated_numbers import CREATE, EPHEMERAL, EXISTS, OPEN
from simulated_table import case


@case
async def timeouts_are_clamped(w: Any) -> None:
    for timeout in (0.001, 0.39, 0.41, 5.0, 60.0, 61.0, 86_400.0, 0.0):
        await w.client(timeout=timeout)


@case
async def negative_timeout(w: Any) -> None:
    await w.client(timeout=-5.0)


@case
async def close_ends_ephemerals(w: Any) -> None:
    c, d = await w.client(), await w.client()
    await c.create(f"{w.root}/e", b"", EPHEMERAL)
    await c.create(f"{w.root}/p")
    await c.close()
    await d.sync()
    await d.children(w.root)
    await d.create(f"{w.root}/e", b"", EPHEMERAL)
    await d.exists(f"{w.root}/e")


@case
async def close_answers_what_was_asked_before(w: Any) -> None:
    c = await w.client()
    c.send(EXISTS, c.packed(EXISTS, w.root, False), what="exists")
    c.send(CREATE, c.packed(CREATE, f"{w.root}/e", b"", EPHEMERAL, OPEN), what="create")
    c.send(-11, what="close")
    await c.answers()
    await c.hung_up()


@case
async def closed_session_is_refused(w: Any) -> None:
    c = await w.client()
    await c.close()
    await w.raw().connect(like=c)
    await w.raw().connect(like=c, password=b"x" * 16)


@case
async def unknown_session_is_refused(w: Any) -> None:
    c = await w.client()
    d = w.raw()
    d.id, d.password = c.id + 12345, c.password
    await w.raw().connect(like=d)


@case
async def wrong_password(w: Any) -> None:
    c = await w.client()
    await w.raw().connect(like=c, password=b"x" * 16)
    await w.raw().connect(like=c, password=b"")
    await w.raw().connect(like=c)


@case
async def attaching_again_hangs_up_on_the_first(w: Any) -> None:
    c = await w.client()
    d = await w.raw().connect(like=c)
    await c.hung_up()
    await d.create(f"{w.root}/a", b"", EPHEMERAL)
    await d.exists(f"{w.root}/a")


@case
async def wrong_password_hangs_up_on_the_owner_too(w: Any) -> None:
    c = await w.client()
    await w.raw().connect(like=c, password=b"y" * 16)
    await c.nothing()


@case
async def another_timeout_at_the_next_attach(w: Any) -> None:
    c = await w.client(timeout=10.0)
    await w.raw().connect(4.0, like=c)
    await w.raw().connect(20.0, like=c)


@case
async def from_the_future(w: Any) -> None:
    """Who has seen more than the server is not served, and the session is not touched."""
    c = await w.client()
    await w.raw().connect(like=c, seen=1 << 60)
    await c.ping()
    await w.raw().connect(seen=1 << 60)


@case
async def has_seen_all(w: Any) -> None:
    c = await w.client()
    await w.raw().connect(like=c, seen=c.zxid)


@case
async def a_session_takes_a_zxid(w: Any) -> None:
    c = await w.client()
    await c.ping()
    d = await w.client()
    await c.sync()
    await c.ping()
    await d.close()
    await c.sync()
    await c.ping()


@case
async def expired_while_away(w: Any) -> None:
    c = await w.client()
    d = await w.client(timeout=0.4)
    await d.create(f"{w.root}/e", b"", EPHEMERAL)
    await c.sync()
    await c.exists(f"{w.root}/e", True)
    await d.drop()
    await c.event()
    await w.raw().connect(0.4, like=d)


@case
async def expired_while_connected(w: Any) -> None:
    c = await w.client()
    d = await w.client(timeout=0.4)
    await d.create(f"{w.root}/e", b"", EPHEMERAL)
    await d.hung_up()
    await c.sync()
    await c.exists(f"{w.root}/e")


@case
async def pings_keep_alive(w: Any) -> None:
    c = await w.client()
    d = await w.client(timeout=0.6)
    await d.create(f"{w.root}/e", b"", EPHEMERAL)
    for _ in range(10):
        await asyncio.sleep(0.15)
        await d.ping()
    await c.sync()
    await c.exists(f"{w.root}/e")
