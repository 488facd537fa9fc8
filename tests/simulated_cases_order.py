"""Cases about the order of replies, zxids and `sync`, and about what is no proper request."""

import struct
from typing import Any

from simulated_client import text
from simulated_numbers import CHECK, CHILDREN, CREATE, DELETE, EXISTS, GET, MULTI, OPEN, SET, SYNC
from simulated_table import case


@case
async def refusals_take_a_zxid_too(w: Any) -> None:
    c = await w.client()
    await c.create(w.root)
    await c.delete(f"{w.root}/x")
    await c.set(w.root, b"", 9)
    await c.multi((CHECK, f"{w.root}/x", 0))
    await c.exists(f"{w.root}/x")
    await c.ping()


@case
async def sync_of_anything(w: Any) -> None:
    c = await w.client()
    await c.sync(w.root)
    await c.sync(f"{w.root}/none")
    await c.sync("rubbish")
    await c.sync("")


@case
async def replies_in_the_order_of_requests(w: Any) -> None:
    c = await w.client()
    a = f"{w.root}/a"
    c.send(EXISTS, c.packed(EXISTS, a, False), what="exists")
    c.send(CREATE, c.packed(CREATE, a, b"", 0, OPEN), what="create")
    c.send(EXISTS, c.packed(EXISTS, a, False), what="exists")
    c.send(SYNC, text("/"), what="sync")
    c.send(SET, c.packed(SET, a, b"1", 0), what="set")
    c.send(GET, c.packed(GET, a, False), what="get")
    c.send(DELETE, c.packed(DELETE, a, 0), what="delete")
    c.send(DELETE, c.packed(DELETE, a, 1), what="delete")
    c.send(CHILDREN, c.packed(CHILDREN, w.root, False), what="children")
    await c.answers()


@case
async def pings_wait_their_turn(w: Any) -> None:
    c = await w.client()
    c.send(CREATE, c.packed(CREATE, f"{w.root}/a", b"", 0, OPEN), what="create")
    c.send(11, what="ping", xid=-2)
    await c.answers()


@case
async def any_xid_will_do(w: Any) -> None:
    c = await w.client()
    for xid in (7, 7, 0, -9, 2**31 - 1):
        await c.ask(EXISTS, c.packed(EXISTS, w.root, False), what=f"exists {xid}", xid=xid)


@case
async def a_write_with_the_same_xid_twice(w: Any) -> None:
    c = await w.client()
    await c.ask(CREATE, c.packed(CREATE, f"{w.root}/a", b"", 0, OPEN), what="create", xid=5)
    await c.ask(CREATE, c.packed(CREATE, f"{w.root}/b", b"", 0, OPEN), what="create", xid=5)


@case
async def unknown_operation(w: Any) -> None:
    c = await w.client()
    await c.ask(77, text(w.root), what="unknown")
    await c.hung_up()


@case
async def frame_too_large(w: Any) -> None:
    c = await w.client()
    c.rubbish(struct.pack(">i", 0xFFFFF + 1))
    await c.hung_up()


@case
async def frame_with_a_negative_size(w: Any) -> None:
    c = await w.client()
    c.rubbish(struct.pack(">i", -5))
    await c.hung_up()


@case
async def read_cut_short(w: Any) -> None:
    c = await w.client()
    await c.ask(EXISTS, text(w.root)[:-3], what="exists")
    await c.ask(GET, b"", what="get")
    await c.ping()


@case
async def write_cut_short(w: Any) -> None:
    c = await w.client()
    await c.ask(CREATE, text(f"{w.root}/a"), what="create")
    await c.ask(MULTI, b"\0\0", what="multi")
    await c.ping()


@case
async def more_than_was_needed(w: Any) -> None:
    c = await w.client()
    await c.ask(EXISTS, c.packed(EXISTS, w.root, False) + b"and more", what="exists")


@case
async def first_frame_is_no_greeting(w: Any) -> None:
    c = await w.client()
    d = await w.raw().open()
    d.frame(b"\0\0\0\1")
    await d.hung_up()
    await c.ping()
