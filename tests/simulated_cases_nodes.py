"""Cases about znodes: what creating, reading, changing and deleting them answers, and which paths are refused."""

from typing import Any

from simulated_numbers import CHECK, CHILDREN, CREATE, CREATE2, EPHEMERAL, OPEN, SEQUENCE
from simulated_table import CASES, Case, case


@case
async def create_and_read(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a", b"data")
    await c.exists(f"{w.root}/a")
    await c.get(f"{w.root}/a")
    await c.children(w.root)
    await c.children(w.root, op=CHILDREN)
    await c.exists(w.root)


@case
async def create_null_data(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a", None)
    await c.get(f"{w.root}/a")
    await c.set(f"{w.root}/a", b"")
    await c.get(f"{w.root}/a")
    await c.set(f"{w.root}/a", None)
    await c.get(f"{w.root}/a")


@case
async def create_with_stat(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a", b"data", op=CREATE2)
    await c.create(f"{w.root}/b", b"", EPHEMERAL, op=CREATE2)
    await c.create(f"{w.root}/a", b"", op=CREATE2)


@case
async def create_twice(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a")
    await c.create(f"{w.root}/a")
    await c.create(f"{w.root}/a", b"", EPHEMERAL)
    await c.exists(w.root)
    await c.create(f"{w.root}/b")


@case
async def create_below_nothing(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a/b")
    await c.create(f"{w.root}/a/b", b"", EPHEMERAL | SEQUENCE)


@case
async def ephemeral_has_no_children(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a", b"", EPHEMERAL)
    await c.create(f"{w.root}/a/b")
    await c.create(f"{w.root}/a/b", b"", EPHEMERAL)
    await c.create(f"{w.root}/a/b", b"", SEQUENCE)
    await c.exists(f"{w.root}/a")


@case
async def sequence_counts_creations(w: Any) -> None:
    c = await w.client()
    for _ in range(3):
        await c.create(f"{w.root}/n-", b"", SEQUENCE)
    await c.delete(f"{w.root}/n-0000000001")
    await c.create(f"{w.root}/n-", b"", SEQUENCE)
    await c.create(f"{w.root}/plain")
    await c.create(f"{w.root}/e-", b"", SEQUENCE | EPHEMERAL)
    await c.create(f"{w.root}/", b"", SEQUENCE)
    await c.children(w.root)


@case
async def sequence_after_failures(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a")
    await c.create(f"{w.root}/a")
    await c.create(f"{w.root}/n-", b"", SEQUENCE)
    await c.create(f"{w.root}/x/n-", b"", SEQUENCE)


@case
async def versions(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a")
    await c.set(f"{w.root}/a", b"1", 0)
    await c.set(f"{w.root}/a", b"2", 0)
    await c.set(f"{w.root}/a", b"2", 1)
    await c.set(f"{w.root}/a", b"3")
    await c.set(f"{w.root}/a", b"4", 99)
    await c.set(f"{w.root}/a", b"4", -2)
    await c.get(f"{w.root}/a")
    await c.delete(f"{w.root}/a", 1)
    await c.delete(f"{w.root}/a", 3)
    await c.delete(f"{w.root}/a", 3)
    await c.create(f"{w.root}/a")
    await c.exists(f"{w.root}/a")


@case
async def delete_errors(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a")
    await c.create(f"{w.root}/a/b")
    await c.delete(f"{w.root}/a")
    await c.delete(f"{w.root}/a", 7)
    await c.delete(f"{w.root}/none")
    await c.delete(f"{w.root}/none/none")
    await c.delete(f"{w.root}/a/b")
    await c.delete(f"{w.root}/a")
    await c.exists(w.root)


@case
async def stat_of_a_parent(w: Any) -> None:
    c = await w.client()
    for name in "abc":
        await c.create(f"{w.root}/{name}")
        await c.exists(w.root)
    await c.set(f"{w.root}/a", b"x")
    await c.exists(w.root)
    await c.delete(f"{w.root}/b")
    await c.exists(w.root)
    await c.set(w.root, b"own")
    await c.exists(w.root)


@case
async def reads_of_nothing(w: Any) -> None:
    c = await w.client()
    for path in (f"{w.root}/x", f"{w.root}/x/y", "", "noslash", f"{w.root}/", f"{w.root}//x"):
        if path:
            await c.exists(path)
            await c.get(path)
            await c.children(path)
            await c.children(path, op=CHILDREN)
            await c.get_acl(path)
    await c.exists("/nul\0l")
    await c.get("/nul\0l")


@case
async def the_servers_own_nodes(w: Any) -> None:
    c = await w.client()
    await c.exists("/zookeeper")
    await c.children("/zookeeper")
    await c.get("/zookeeper/quota")
    await c.get_acl("/zookeeper/quota")
    await c.set("/zookeeper/config", b"x")
    for path in ("/zookeeper", "/zookeeper/quota", "/zookeeper/config", "/"):
        await c.delete(path)


@case
async def large_data(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a", b"x" * 500_000)
    await c.get(f"{w.root}/a")
    await c.set(f"{w.root}/a", b"y" * 1_000_000)
    await c.exists(f"{w.root}/a")


BAD_PATHS = {
    "no slash": "{name}",
    "trailing slash": "{root}/a/",
    "empty name": "{root}//a",
    "dot": "{root}/.",
    "dots": "{root}/..",
    "dot inside": "{root}/./a",
    "dots inside": "{root}/../a",
    "null": "{root}/a\0b",
    "control": "{root}/a\x01b",
    "delete": "{root}/a\x7fb",
    "private": "{root}/\uf000",
    "empty": "",
    "root": "/",
    "many slashes": "////",
}


def _bad_path(path: str) -> Case:
    async def refused(w: Any) -> None:
        c = await w.client()
        bad = path.format(root=w.root, name="noslash")
        await c.create(bad)
        await c.create(bad, b"", EPHEMERAL)
        await c.delete(bad, 99)
        if bad != "/":
            await c.set(bad, b"", 99)
        await c.multi((CREATE, bad, b"", 0, OPEN))
        await c.multi((CHECK, bad, 99))

    return refused


for _name, _path in BAD_PATHS.items():
    CASES[f"bad_path_{_name.replace(' ', '_')}"] = _bad_path(_path)


@case
async def odd_but_good_paths(w: Any) -> None:
    c = await w.client()
    for name in ("...", ".a", "a.", "ä", " ", "a b", "%00", "\u4e2d"):
        await c.create(f"{w.root}/{name}")
    await c.children(w.root)


@case
async def unknown_flags(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/a", b"", 9)
    await c.create(f"{w.root}/a", b"", -1)
    await c.exists(f"{w.root}/a")
