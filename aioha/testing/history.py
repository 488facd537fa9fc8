"""What happened in an election, as facts on one clock: the common language of tests, simulated and real.

A fact is one line of JSON, so that processes may each write a file of their own, and a file tells the story after all of
them are gone. All processes of a host share its monotonic clock; virtual time is one clock anyway. What is right and
wrong in a history is not known here: see `checks`.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

__all__ = ["Fact", "History", "Kind", "read"]


class Kind(StrEnum):
    """Of a fact. `who` is a candidate, unless said otherwise."""

    BEGAN = "began"  # the work of a term; `until`: end of its lease, as the candidate believes
    STEPPED = "stepped"  # the work has done something
    ENDED = "ended"  # the work; `until`: as above, at this moment
    WROTE = "wrote"  # a store that fences has accepted a write of the term
    REFUSED = "refused"  # it has not
    RELEASED = "released"  # the leader's node is gone by its owner's doing
    DIED = "died"  # the process, and all work in it
    FROZE = "froze"  # the process: what it believes now is worth nothing
    THAWED = "thawed"
    EXPIRED = "expired"  # its session, at the servers; `until`: end of its lease, as the candidate believes
    DISTURBED = "disturbed"  # a fault begins; `who`: on whom or what
    CALM = "calm"  # no fault is left, a quorum serves, and some candidate takes part


@dataclass(frozen=True, slots=True)
class Fact:
    """at, until: seconds on the history's clock. token: of the term; 0: of none."""

    at: float
    kind: Kind
    who: str = ""
    token: int = 0
    until: float | None = None
    note: str = ""

    def line(self) -> str:
        """As JSON; what is empty is left out."""
        return json.dumps({name: value for name, value in asdict(self).items() if value not in ("", 0, None)})

    @classmethod
    def of(cls, line: str) -> "Fact":
        """The inverse of `line`. Raises `ValueError`."""
        found: dict[str, Any] = json.loads(line)
        return cls(
            found.get("at", 0.0),
            Kind(found["kind"]),
            found.get("who", ""),
            found.get("token", 0),
            found.get("until"),
            found.get("note", ""),
        )


class History:
    """Facts in the order in which they were told. clock: seconds. file: every fact goes there, too, at once."""

    def __init__(self, clock: Callable[[], float], file: IO[str] | None = None) -> None:
        self.facts: list[Fact] = []
        self.listeners: list[Callable[[Fact], None]] = []
        self._clock = clock
        self._file = file

    def add(self, kind: Kind, who: str = "", *, token: int = 0, until: float | None = None, note: str = "") -> Fact:
        """Something has just happened."""
        fact = Fact(self._clock(), kind, who, token, until, note)
        self.facts.append(fact)
        if self._file is not None:
            self._file.write(fact.line() + "\n")
            self._file.flush()
        for listener in self.listeners:
            listener(fact)
        return fact

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.facts)


def read(paths: Iterable[Path]) -> list[Fact]:
    """Facts of several processes in the order of their times. A last line that was cut off by a kill is left out."""
    facts: list[Fact] = []
    for path in paths:
        text = path.read_text()
        facts += [Fact.of(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return sorted(facts, key=lambda fact: fact.at)
