"""How long a planted bug survives: seed after seed until a violation that unchanged code does not have at that seed."""

import functools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from aioha.testing.checks import Violation

from ..play import MINUTES, play
from .mutant import Mutant

__all__ = ["Broken", "Hunt", "caught_at", "hunt"]

# The text of a violation that says that what was planted fails by itself: a name that production code has no more.
BROKEN = ("AttributeError", "NameError", "TypeError", "IndexError", "AssertionError")


class Broken(Exception):
    """The mutant is a bug of its own, and not the one that it is meant to be."""


@dataclass
class Hunt:
    """Of the mutant of this name. `seed`: at which it was caught, by `violation`; None: it survived. `unclean`: seeds
    that do not count, since unchanged code fails there, too.
    """

    name: str
    seed: int | None = None
    violation: Violation | None = None
    seconds: float = 0.0
    played: int = 0
    unclean: list[int] = field(default_factory=list[int])

    def __str__(self) -> str:
        if self.violation is None:
            return f"{self.name:24} SURVIVES {self.played} seeds, {self.seconds:.1f} s"
        how = f"by {self.violation.invariant}, {self.seconds:.1f} s: {self.violation.what}"
        return f"{self.name:24} caught at seed {self.seed}, {how}"


def hunt(mutant: Mutant, seeds: Iterable[int], minutes: float = MINUTES) -> Hunt:
    """Until it is caught. Seconds are the processor's."""
    found, begun = Hunt(mutant.name), time.process_time()
    for seed in seeds:
        violation = caught_at(mutant, seed, minutes)
        found.played += 1
        if violation is not None and not is_clean(seed, minutes):
            found.unclean.append(seed)
        elif violation is not None:
            found.seed, found.violation = seed, violation
            break
    found.seconds = time.process_time() - begun
    return found


def caught_at(mutant: Mutant, seed: int, minutes: float = MINUTES) -> Violation | None:
    """The first violation at this seed of what it is expected to break. Raises `Broken`."""
    with mutant.planted():
        violations = play(seed, minutes).violations
    for violation in violations:
        if any(name in violation.what for name in BROKEN):
            raise Broken(f"{mutant.name} at seed {seed}: {violation}")
    return next((each for each in violations if each.invariant in mutant.breaks and mutant.shows in each.what), None)


@functools.cache
def is_clean(seed: int, minutes: float = MINUTES) -> bool:
    """Whether unchanged code passes this seed."""
    return not play(seed, minutes).violations
