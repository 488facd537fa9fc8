"""A run as one can read it: facts, what the ensemble did, and what the candidates logged, in the order of their times."""

import logging
from collections.abc import Callable, Iterator

from aioha.testing.history import Fact, Kind
from aioha.testing.simulated.handles import ACTOR

__all__ = ["Log", "lines"]


class Log(logging.Handler):
    """What production code logs, with virtual times and the host on which it did."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[float, str]] = []
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        first, _, _ = record.getMessage().partition("\n")
        self.lines.append((self._clock(), f"  {ACTOR.get()}: {record.levelname.lower()}: {first}"))


def lines(
    facts: list[Fact], journal: list[tuple[float, str]], log: list[tuple[float, str]], since: float, until: float
) -> Iterator[str]:
    """What happened from `since` to `until`, without the steps of undisturbed work."""
    told = [(fact.at, _fact(fact)) for fact in facts if fact.kind not in (Kind.STEPPED, Kind.WROTE)]
    for at, what in sorted([*told, *journal, *log], key=lambda line: line[0]):
        if since <= at <= until:
            yield f"{at:12.6f} {what}"


def _fact(fact: Fact) -> str:
    words = [f"** {fact.kind.value.upper()}", fact.who]
    words += [f"token {fact.token:#x}"] if fact.token else []
    words += [f"until {fact.until:.6f}"] if fact.until is not None else []
    return " ".join([*words, fact.note])
