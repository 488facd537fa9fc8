"""Requests as a server keeps them while they are under way, and how their bodies are read."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .acl import Entry, Identity, entry
from .codes import Op
from .jute import Malformed, Reader

_PART = struct.Struct(">i?i")  # in front of each operation of a multi

__all__ = ["Create", "Request", "Versioned", "read_create", "read_multi", "read_versioned"]


@dataclass(slots=True, eq=False)
class Request:
    """`owner`: who brought it to the ensemble's leader. `connection`: where its reply goes, on the server that asked."""

    session: int
    cxid: int
    op: int
    body: bytes = b""
    identities: Sequence[Identity] = ()
    owner: object = None
    connection: Any = None
    error: int = 0  # found before it was carried out
    results: Sequence[Any] = ()
    is_done: bool = False  # committed, for what has to be


@dataclass(frozen=True, slots=True)
class Create:
    op: int
    path: str
    data: bytes | None
    acl: Sequence[Entry]
    flags: int


@dataclass(frozen=True, slots=True)
class Versioned:
    """A delete, set, setACL or check."""

    op: int
    path: str
    version: int
    data: bytes | None = None
    acl: Sequence[Entry] = ()


def read_create(op: int, reader: Reader) -> Create:
    return Create(op, reader.text(), reader.buffer(), reader.many(lambda: entry(reader)), reader.integer())


def read_versioned(op: int, reader: Reader) -> Versioned:
    path = reader.text()
    data = reader.buffer() if op == Op.SET else None
    acl = reader.many(lambda: entry(reader)) if op == Op.SET_ACL else ()
    return Versioned(op, path, reader.integer(), data, acl)


def read_multi(reader: Reader) -> list[Create | Versioned]:
    operations: list[Create | Versioned] = []
    while True:
        op, is_end, _ = reader.unpack(_PART)
        if is_end:
            return operations
        if op in (Op.CREATE, Op.CREATE2):
            operations.append(read_create(Op.CREATE, reader))  # answered without a stat there
        elif op in (Op.DELETE, Op.SET, Op.CHECK):
            operations.append(read_versioned(op, reader))
        else:
            raise Malformed(f"operation {op} in a multi")
