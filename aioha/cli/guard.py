"""CMD, as our guardian knows it: by what it is to be found and killed, should we be killed or frozen."""

from collections.abc import Collection
from typing import Any

from ..guardian import facts
from ..guardian.guarded import Guardian

__all__ = ["Registered"]

# As our own lines look: it speaks when we cannot.
PLAIN_LINE = "aioha %(clock)s WARNING guardian: %(message)s"
JSON_LINE = '{"at": %(at).3f, "level": "warning", "logger": "aioha.guardian", "message": "%(message)s"}'


class Registered:
    """Implements `Guard`."""

    def __init__(self, guardian: Guardian, *, log_json: bool) -> None:
        self._guardian = guardian
        guardian.know(facts.LINE, JSON_LINE if log_json else PLAIN_LINE)
        self._told: list[Any] = []

    def tag(self, entry: bytes) -> None:
        self._know((facts.TAG, entry))

    def cgroup(self, path: str) -> None:
        self._know((facts.CGROUP, path))

    def group(self, pgid: int) -> None:
        self._know((facts.GROUP, pgid))

    def forget(self) -> None:
        for key in self._told:
            self._guardian.forget(key)
        self._told.clear()

    def pids(self) -> Collection[int]:
        return () if self._guardian.pid is None else (self._guardian.pid,)

    def _know(self, key: Any) -> None:
        self._told.append(key)
        self._guardian.know(key, True)
