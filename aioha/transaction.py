"""A fenced transaction as the work sees it: operations are collected in a block, and committed at its end.

Nothing leaves this process before the end of the block, so a block that raises has written nothing. How the term
proves itself to the store is the grant's business (`elections`); this file decides what may be asked for, and what the
outcome is called: written, `Fenced` (nothing was), or unknown.
"""

from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

from .elections import Grant, Operation
from .errors import ElectionError, Fenced, TermEnded, Unavailable
from .where import flaw_of

__all__ = ["Transaction"]

ANY = -1  # version
LARGEST_VERSION = 2**31 - 1  # they travel as 32 bits


class _Stage(Enum):
    NEW = "new"
    OPEN = "open"
    DONE = "done"


class Transaction:
    """`async with term.transaction() as t:`; see `Term.transaction`. Its methods are synchronous and send nothing.

    Each raises `ValueError` or `TypeError` for what ZooKeeper would not take, and `ElectionError` outside the block.
    Paths are absolute; `version` -1 stands for any.
    """

    def __init__(self, grant: Grant, name: str, check: Callable[[], None]) -> None:
        self._grant = grant
        self._name = name
        self._check = check
        self._stage = _Stage.NEW
        self._operations: list[Operation] = []

    def __repr__(self) -> str:
        return f"<Transaction of {self._name}: {len(self._operations)} operations>"

    # ------------------------------------------------------------------ what to do

    def create(self, path: str, data: bytes) -> None:
        """Create a persistent node with the elector's `acl`. Its parent must exist, and it must not."""
        self._add(Operation("create", _path(path), _data(path, data)))

    def set_data(self, path: str, data: bytes, version: int = ANY) -> None:
        """Write a node's data, if the node is at this version."""
        self._add(Operation("set_data", _path(path), _data(path, data), _version(path, version)))

    def delete(self, path: str, version: int = ANY) -> None:
        """Delete a node without children, if it is at this version."""
        self._add(Operation("delete", _path(path), version=_version(path, version)))

    def check(self, path: str, version: int) -> None:
        """Nothing of the transaction is carried out unless this node is at this version (-1: exists)."""
        self._add(Operation("check", _path(path), version=_version(path, version)))

    def _add(self, operation: Operation) -> None:
        if self._stage is not _Stage.OPEN:
            where = "before its block" if self._stage is _Stage.NEW else "after the end of its block"
            raise ElectionError(f"{operation}: the transaction is used {where}; see term.transaction()")
        self._operations.append(operation)

    # ------------------------------------------------------------------ the block

    async def __aenter__(self) -> Self:
        if self._stage is not _Stage.NEW:
            raise ElectionError("a transaction can be entered once; take a new one from term.transaction()")
        self._stage = _Stage.OPEN
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage = _Stage.DONE
        if error is None:
            await self._commit()

    async def _commit(self) -> None:
        try:
            if await self._grant.commit(self._operations, self._check):
                return
            self._check()
        except TermEnded as ended:
            raise Fenced(self._fenced(ended)) from ended
        except Unavailable as unknown:
            self._raise_if_over(unknown)
            raise
        raise Fenced(f"nothing was written: the store does not take {self._name} for the present one")

    def _fenced(self, ended: TermEnded) -> str:
        why = str(ended).removeprefix(f"{self._name}: ")
        return f"nothing was written: {ended if why == str(ended) else f'{self._name} is over: {why}'}"

    def _raise_if_over(self, unknown: Unavailable) -> None:
        """For work of a term that is over this is its end, not a failure, whatever has become of the transaction."""
        try:
            self._check()
        except TermEnded as ended:
            raise type(ended)(f"{ended}; its last transaction may or may not have been carried out") from unknown


# The callers of these may not be type-checked.


def _path(path: object) -> str:
    if not isinstance(path, str):
        raise TypeError(f"path: must be text, got {type(path).__name__}")
    flaw = flaw_of(path)
    if flaw is not None:
        raise ValueError(f"path {path!r} {flaw}")
    return path


def _data(path: str, data: object) -> bytes:
    if not isinstance(data, bytes):
        raise TypeError(f"data of {path}: must be bytes, got {type(data).__name__}")
    return data


def _version(path: str, version: object) -> int:
    if isinstance(version, bool) or not isinstance(version, int):
        raise TypeError(f"version of {path}: must be an integer, got {type(version).__name__}")
    if not ANY <= version <= LARGEST_VERSION:
        raise ValueError(f"version of {path}: must be from 0 to {LARGEST_VERSION}, or -1 for any, got {version}")
    return version
