"""Cases about `multi`: all or nothing, and which error stands where."""

import struct
from typing import Any

from simulated_client import text
from simulated_numbers import CHECK, CREATE, CREATE2, DELETE, EPHEMERAL, EXISTS, MULTI, OPEN, SEQUENCE, SET
from simulated_table import CASES, Case, case


@case
async def multi_of_all(w: Any) -> None:
    c = await w.client()
    await c.create(f"{w.root}/old")
    await c.multi(
        (CREATE, f"{w.root}/a", b"1", EPHEMERAL, OPEN),
        (SET, f"{w.root}/a", b"2", 0),
        (CREATE2, f"{w.root}/b", b"", 0, OPEN),
        (CREATE, f"{w.root}/b/n-", b"", SEQUENCE, OPEN),
        (CHECK, f"{w.root}/old", 0),
        (DELETE, f"{w.root}/old", 0),
    )
    await c.get(f"{w.root}/a")
    await c.exists(w.root)


@case
async def multi_of_none(w: Any) -> None:
    c = await w.client()
    await c.multi()
    await c.ping()


@case
async def multi_of_checks_takes_a_zxid(w: Any) -> None:
    c = await w.client()
    await c.ping()
    await c.multi((CHECK, w.root, 0))
    await c.multi((CHECK, w.root, 0), (CHECK, w.root, -1))
    await c.multi((CHECK, w.root, 1))
    await c.exists(w.root)


@case
async def multi_sees_its_own_changes(w: Any) -> None:
    c = await w.client()
    a = f"{w.root}/a"
    await c.multi((CREATE, a, b"", 0, OPEN), (CREATE, a, b"", 0, OPEN))
    await c.exists(a)
    await c.multi(
        (CREATE, a, b"", 0, OPEN), (DELETE, a, 0), (CREATE, a, b"again", 0, OPEN), (SET, a, b"x", 0), (CHECK, a, 1)
    )
    await c.get(a)
    await c.exists(w.root)
    await c.multi((CREATE, f"{a}/b", b"", 0, OPEN), (DELETE, a, -1))
    await c.multi((SET, a, b"y", 1), (SET, a, b"z", 1))
    await c.get(a)


@case
async def multi_rolls_back_sequences(w: Any) -> None:
    c = await w.client()
    n = f"{w.root}/n-"
    await c.multi((CREATE, n, b"", SEQUENCE, OPEN), (CREATE, n, b"", SEQUENCE, OPEN), (CHECK, w.root, 7))
    await c.exists(w.root)
    await c.create(n, b"", SEQUENCE)
    await c.multi((CREATE, n, b"", SEQUENCE, OPEN), (CREATE, n, b"", SEQUENCE, OPEN))
    await c.exists(w.root)


@case
async def multi_after_multi_in_one_breath(w: Any) -> None:
    """The second is judged by what the first will have done, while that is still under way."""
    c = await w.client()
    a = f"{w.root}/a"
    part = struct.pack(">i?i", CREATE, False, -1) + c.packed(CREATE, a, b"", 0, OPEN) + struct.pack(">i?i", -1, True, -1)
    c.send(MULTI, part, what="first")
    c.send(MULTI, part, what="second")
    c.send(DELETE, c.packed(DELETE, a, 0), what="delete")
    c.send(MULTI, part, what="third")
    c.send(EXISTS, c.packed(EXISTS, a, False), what="exists")
    await c.answers()


FAILURES: dict[str, tuple[Any, ...]] = {
    "no node": (SET, "{root}/none", b"", -1),
    "no parent": (CREATE, "{root}/none/a", b"", 0, OPEN),
    "node exists": (CREATE, "{root}/there", b"", 0, OPEN),
    "bad version": (CHECK, "{root}/there", 5),
    "bad version of set": (SET, "{root}/there", b"", 5),
    "not empty": (DELETE, "{root}", -1),
    "bad path": (CREATE, "{root}/..", b"", 0, OPEN),
    "no acl": (CREATE, "{root}/noacl", b"", 0, ()),
    "ephemeral parent": (CREATE, "{root}/ephemeral/a", b"", 0, OPEN),
}


def _failing_multi(failure: tuple[Any, ...], position: int) -> Case:
    async def fails(w: Any) -> None:
        c = await w.client()
        await c.create(f"{w.root}/there")
        await c.create(f"{w.root}/ephemeral", b"", EPHEMERAL)
        good = [(CREATE, f"{w.root}/g{number}", b"", number % 2, OPEN) for number in range(3)]
        op, path, *rest = failure
        operations = [*good[:position], (op, path.format(root=w.root), *rest), *good[position:]]
        await c.multi(*operations)
        await c.children(w.root)
        await c.exists(w.root)

    return fails


for _name, _failure in FAILURES.items():
    for _position in (0, 1, 3):
        CASES[f"multi_{_name.replace(' ', '_')}_at_{_position}"] = _failing_multi(_failure, _position)


@case
async def multi_with_two_failures_names_the_first(w: Any) -> None:
    c = await w.client()
    await c.multi(
        (CREATE, f"{w.root}/a", b"", 0, OPEN), (CHECK, f"{w.root}/none", 0), (CHECK, w.root, 9), (DELETE, w.root, 0)
    )


@case
async def multi_with_an_unknown_operation(w: Any) -> None:
    c = await w.client()
    body = struct.pack(">i?i", EXISTS, False, -1) + text(w.root) + b"\0" + struct.pack(">i?i", -1, True, -1)
    await c.ask(MULTI, body, what="multi")
    await c.ping()
