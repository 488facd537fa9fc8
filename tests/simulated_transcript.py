"""What the servers of either world have answered in one case, normalised so that two runs can be compared reply by reply.

Sessions go by their order, zxids as distances from the case's own first write, paths from the case's own node, times
not at all, children sorted.
"""

import struct

from simulated_numbers import (
    CHECK,
    CHILDREN,
    CHILDREN2,
    CREATE,
    CREATE2,
    DELETE,
    EXISTS,
    GET,
    GET_ACL,
    MULTI,
    SET,
    SET_ACL,
    SYNC,
)

STAT = struct.Struct(">qqqqiiiqiiq")


class Transcript:
    """What happened in one case, normalised."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.lines: list[str] = []
        self.exchanges = 0
        self._sessions: dict[int, str] = {}
        self._base: int | None = None

    def note(self, line: str) -> None:
        self.lines.append(line)

    def aside(self) -> "Transcript":
        """For what is not to be compared."""
        return Transcript(self.root)

    def session(self, number: int) -> str:
        if number == 0:
            return "no session"
        return self._sessions.setdefault(number, f"session {len(self._sessions) + 1}")

    def zxid(self, zxid: int) -> str:
        if zxid <= 0:
            return str(zxid)
        if self._base is None:
            self._base = zxid
        epochs = (zxid >> 32) - (self._base >> 32)
        return f"epoch {epochs:+d} number {zxid & 0xFFFFFFFF}" if epochs else f"z{zxid - self._base:+d}"

    def path(self, path: str) -> str:
        return path.replace(self.root, "~")

    def stat(self, data: bytes) -> str:
        czxid, mzxid, ctime, mtime, version, cversion, aversion, owner, size, children, pzxid = STAT.unpack(data)
        order = "" if mtime >= ctime else " changed before it was made"
        return (
            f"[c{self.zxid(czxid)} m{self.zxid(mzxid)} p{self.zxid(pzxid)} v{version} cv{cversion} av{aversion} "
            f"{self.session(owner)} {size} bytes {children} children{order}]"
        )

    def read(self, op: int, body: bytes) -> str:
        if op == MULTI:
            return self._read_multi(body)
        if op in (CREATE, SYNC):
            return self.path(_text(body))
        if op == CREATE2:
            return f"{self.path(_text(body[: -STAT.size]))} {self.stat(body[-STAT.size :])}"
        if op in (EXISTS, SET, SET_ACL):
            return self.stat(body)
        if op == GET:
            return f"{_data(body[: -STAT.size])} {self.stat(body[-STAT.size :])}"
        if op == GET_ACL:
            return f"{body[: -STAT.size].hex()} {self.stat(body[-STAT.size :])}"
        if op == CHILDREN:
            return f"{_names(body)}"
        if op == CHILDREN2:
            return f"{_names(body[: -STAT.size])} {self.stat(body[-STAT.size :])}"
        return f"{len(body)} bytes"

    def _read_multi(self, body: bytes) -> str:
        results, at = list[str](), 0
        while True:
            op, done, error = struct.unpack_from(">i?i", body, at)
            at += 9
            if done:
                return f"({', '.join(results)}) end {op} {error} rest {len(body) - at}"
            size = {-1: 4, DELETE: 0, CHECK: 0, SET: STAT.size}.get(op)
            if size is None:
                size = 4 + int.from_bytes(body[at : at + 4], "big") + (STAT.size if op == CREATE2 else 0)
            part, at = body[at : at + size], at + size
            results.append(
                f"{op}/{error}" + (f" {int.from_bytes(part, 'big', signed=True)}" if op == -1 else f" {self.read(op, part)}")
            )


def _text(body: bytes) -> str:
    return body[4:].decode()


def _data(body: bytes) -> str:
    if body == b"\xff\xff\xff\xff":
        return "null"
    return repr(body[4:]) if len(body) < 80 else f"{len(body) - 4} bytes of {body[4:5]!r}"


def _names(body: bytes) -> list[str]:
    names, at = list[str](), 4
    for _ in range(int.from_bytes(body[:4], "big")):
        size = int.from_bytes(body[at : at + 4], "big")
        names.append(body[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return sorted(names)  # their order means nothing
