"""Cases about watches: which event, how often, in which place among the replies, and after coming back (SetWatches)."""

from typing import Any

from simulated_numbers import CHECK, CHILDREN, CREATE, DELETE, EPHEMERAL, EXISTS, GET, OPEN, SET
from simulated_table import CASES, Case, case


@case
async def data_watch_fires_once_before_the_reply(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a")
    await c.get(f"{w.root}/a", True)
    await c.set(f"{w.root}/a", b"1")
    await c.set(f"{w.root}/a", b"2")
    await c.nothing()


@case
async def exists_watch_on_nothing(w: Any) -> None:
    c = await w.client()
    await c.exists(f"{w.root}/a", True)
    await c.create(f"{w.root}/a")
    await c.delete(f"{w.root}/a")
    await c.nothing()


@case
async def failing_reads_leave_no_watch(w: Any) -> None:
    c = await w.client()
    await c.get(f"{w.root}/a", True)
    await c.children(f"{w.root}/a", True)
    await c.create(f"{w.root}/a")
    await c.nothing()


@case
async def deletion_is_told_once_to_a_double_watcher(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a")
    await c.get(f"{w.root}/a", True)
    await c.exists(f"{w.root}/a", True)
    await c.children(f"{w.root}/a", True)
    await c.children(w.root, True)
    await c.delete(f"{w.root}/a")
    await c.nothing()


@case
async def child_watch(w: Any) -> None:
    c = await w.client()
    await c.children(w.root, True)
    await c.set(w.root, b"not a child")
    await c.create(f"{w.root}/a")
    await c.children(w.root, True, op=CHILDREN)
    await c.create(f"{w.root}/a/b")
    await c.set(f"{w.root}/a", b"")
    await c.delete(f"{w.root}/a/b")
    await c.delete(f"{w.root}/a")


@case
async def watches_of_a_multi_come_in_its_order(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a")
    await c.exists(f"{w.root}/b", True)
    await c.get(f"{w.root}/a", True)
    await c.children(w.root, True)
    await c.multi((CREATE, f"{w.root}/b", b"", 0, OPEN), (SET, f"{w.root}/a", b"", 0), (DELETE, f"{w.root}/b", 0))
    await c.nothing()


@case
async def failed_multi_and_checks_wake_nobody(w: Any) -> None:
    c = await w.client()
    await c.get(w.root, True)
    await c.children(w.root, True)
    await c.multi((CHECK, w.root, 0))
    await c.multi((CREATE, f"{w.root}/a", b"", 0, OPEN), (CHECK, w.root, 9))
    await c.nothing()


@case
async def another_client_is_told(w: Any) -> None:
    c = await w.client()
    d = await w.client()
    await c.create(f"{w.root}/a", b"", EPHEMERAL)
    await d.sync()
    await d.exists(f"{w.root}/a", True)
    await d.children(w.root, True)
    await c.close()
    await d.event()
    await d.event()
    await d.exists(f"{w.root}/a")


@case
async def event_between_pipelined_replies(w: Any) -> None:
    c = await w.client()
    c.send(GET, c.packed(GET, w.root, True), what="get")
    c.send(SET, c.packed(SET, w.root, b"x", -1), what="set")
    c.send(GET, c.packed(GET, w.root, True), what="get")
    c.send(SET, c.packed(SET, w.root, b"y", -1), what="set")
    c.send(EXISTS, c.packed(EXISTS, w.root, False), what="exists")
    await c.answers()


async def _away(w: Any) -> tuple[Any, Any]:
    """A client that will have been away, and one that changes things meanwhile."""
    c = await w.client()
    for name in ("data", "gone", "child", "still"):
        await c.create(f"{w.root}/{name}")
    await c.create(f"{w.root}/child/one")
    d = await w.client()
    return c, d


def _set_again(kind: str, path: str, change: str) -> Case:
    async def again(w: Any) -> None:
        c, d = await _away(w)
        node = w.root + path
        since = c.zxid
        await c.drop()
        if change == "set":
            await d.set(node, b"new")
        elif change == "delete":
            await d.delete(node)
        elif change == "create":
            await d.create(node)
        elif change == "child":
            await d.create(f"{node}/new")
        elif change == "again":
            await d.delete(node)
            await d.create(node)
        e = await w.raw().connect(like=c)
        await e.sync()
        await e.set_watches(since, **{kind: [node]})
        await e.nothing()
        if change != "delete":
            await d.set(node, b"newer")
            await e.nothing(0.2)

    return again


for _kind in ("data", "exist", "child"):
    for _path, _change in (
        ("/still", "none"),
        ("/data", "set"),
        ("/gone", "delete"),
        ("/gone", "again"),
        ("/child", "child"),
        ("/new", "create"),
    ):
        CASES[f"set_watches_{_kind}_{_change}"] = _set_again(_kind, _path, _change)


@case
async def set_watches_of_many(w: Any) -> None:
    c, d = await _away(w)
    since = c.zxid
    await c.drop()
    await d.delete(f"{w.root}/gone")
    await d.set(f"{w.root}/data", b"new")
    await d.delete(f"{w.root}/child/one")
    e = await w.raw().connect(like=c)
    await e.sync()
    await e.set_watches(
        since,
        [f"{w.root}/gone", f"{w.root}/data", f"{w.root}/still"],
        [f"{w.root}/none", f"{w.root}/data"],
        [f"{w.root}/child", f"{w.root}/still", w.root],
    )
    await e.nothing()


@case
async def watches_die_with_the_connection(w: Any) -> None:
    c, d = await _away(w)
    await c.get(f"{w.root}/data", True)
    await c.drop()
    e = await w.raw().connect(like=c)
    await d.set(f"{w.root}/data", b"new")
    await e.nothing()
    await e.set_watches(0, [f"{w.root}/still"])
    await e.nothing()
