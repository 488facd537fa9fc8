"""Cases about access: ACL and who one is."""

from typing import Any

from simulated_numbers import ADMIN, ALL, CHECK, MAY_CREATE, OPEN, READ, SET
from simulated_table import case


@case
async def acl_of_an_open_node(w: Any) -> None:
    c = await w.client()
    await c.get_acl(w.root)
    await c.get_acl(f"{w.root}/x")


@case
async def invalid_acls(w: Any) -> None:
    c = await w.client()
    for acl in (
        (), None, ((ALL, "auth", ""),), ((ALL, "nonsense", "x"),), ((ALL, "digest", "nocolon"),),
        ((ALL, "world", "somebody"),),
    ):  # fmt: skip
        await c.create(f"{w.root}/a", b"", 0, acl)
    await c.exists(f"{w.root}/a")


@case
async def read_only_node(w: Any) -> None:
    c = await w.client()
    a = f"{w.root}/a"
    await c.create(a, b"data", 0, ((READ, "world", "anyone"),))
    await c.get(a)
    await c.set(a, b"")
    await c.create(f"{a}/b")
    await c.multi((CHECK, a, 0))
    await c.set_acl(a, OPEN)
    await c.exists(a)
    await c.delete(a)


@case
async def node_without_reading(w: Any) -> None:
    c = await w.client()
    a = f"{w.root}/a"
    await c.create(a, b"data", 0, ((MAY_CREATE, "world", "anyone"),))
    await c.get(a, True)
    await c.children(a)
    await c.exists(a)
    await c.get_acl(a)
    await c.multi((CHECK, a, 0))
    await c.create(f"{a}/b")
    await c.delete(f"{a}/b")


@case
async def digest(w: Any) -> None:
    c = await w.client()
    d = await w.client()
    a = f"{w.root}/a"
    await c.auth("digest", b"u:p")
    await c.create(a, b"data", 0, ((ALL, "auth", ""),))
    await c.get_acl(a)
    await d.sync()
    await d.get(a)
    await d.get_acl(a)
    await d.auth("digest", b"u:wrong")
    await d.get(a)
    await d.auth("digest", b"u:p")
    await d.get(a)
    await d.set(a, b"x")
    await d.multi((SET, a, b"y", 1))


@case
async def two_identities(w: Any) -> None:
    c = await w.client()
    await c.auth("digest", b"u:p")
    await c.auth("digest", b"v:q")
    await c.auth("digest", b"u:p")
    await c.create(f"{w.root}/a", b"", 0, ((READ | ADMIN, "auth", ""), (READ | ADMIN, "auth", "")))
    await c.get_acl(f"{w.root}/a")


@case
async def identities_are_the_connections(w: Any) -> None:
    c = await w.client()
    await c.auth("digest", b"u:p")
    await c.create(f"{w.root}/a", b"data", 0, ((ALL, "auth", ""),))
    await c.drop()
    d = await w.raw().connect(like=c)
    await d.get(f"{w.root}/a")


@case
async def unknown_scheme(w: Any) -> None:
    c = await w.client()
    await c.auth("nonsense", b"x")
    await c.hung_up()


@case
async def set_acl(w: Any) -> None:
    c = await w.client()
    await c.set_acl(w.root, OPEN, 0)
    await c.set_acl(w.root, OPEN, 0)
    await c.set_acl(w.root, ())
    await c.set_acl(w.root, ((READ | ADMIN, "world", "anyone"),))
    await c.create(f"{w.root}/a")
    await c.set_acl(w.root, OPEN)
    await c.set_acl(f"{w.root}/none", OPEN)
    await c.exists(w.root)
