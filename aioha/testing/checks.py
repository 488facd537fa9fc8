"""What must hold in every history: one checker for each invariant, the same for simulated and for real elections.

Work is a span from BEGAN to ENDED, or to the process's death. A frozen process may believe what it likes: its span pauses
from FROZE to THAWED, and the first thing it does afterwards must be to end, so that from the thaw on only what the work
*does* (STEPPED) counts against it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from .history import Fact, Kind

__all__ = ["Bounds", "Violation", "check"]

ROUNDING = 1e-9  # of floats


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds. takeover: from the last leader's end, or from the calm after a fault, to the next work; None: not judged.
    lateness: how late a candidate's own account of an end may be; 0 in virtual time.
    """

    takeover: float | None = None
    lateness: float = 0.0


@dataclass(frozen=True, slots=True)
class Violation:
    """invariant: its number, as in docs/how-we-know.md. at: when it showed."""

    invariant: str
    at: float
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at:.6f}: {self.what}"


def check(facts: Iterable[Fact], bounds: Bounds = Bounds()) -> list[Violation]:
    """All violations, in the order in which they showed. `facts`: in the order of their times."""
    every = list(facts)
    found = [violation for checker in CHECKERS for violation in checker(every, bounds)]
    return sorted(found, key=lambda violation: violation.at)


class _Work:
    """Who works, as facts pass by."""

    def __init__(self) -> None:
        self.working: dict[str, Fact] = {}  # BEGAN
        self.frozen: set[str] = set()
        self.doubtful: set[str] = set()  # thawed, and not ended yet

    def take(self, fact: Fact) -> Fact | None:
        """Returns the BEGAN of a span that this fact has ended."""
        if fact.kind is Kind.STEPPED or fact.kind is Kind.WROTE:  # most facts are
            if self.doubtful and fact.kind is Kind.STEPPED:
                self.doubtful.discard(fact.who)
            return None
        match fact.kind:
            case Kind.BEGAN:
                self.working[fact.who] = fact
                self.frozen.discard(fact.who)  # who froze may have ended and come again as another process
                self.doubtful.discard(fact.who)
            case Kind.ENDED | Kind.DIED:
                self.frozen.discard(fact.who)
                self.doubtful.discard(fact.who)
                return self.working.pop(fact.who, None)
            case Kind.FROZE:
                self.frozen.add(fact.who)
            case Kind.THAWED if fact.who in self.frozen:
                self.frozen.discard(fact.who)
                if fact.who in self.working:
                    self.doubtful.add(fact.who)
            case _:
                pass
        return None

    def surely(self) -> list[str]:
        return [who for who in self.working if who not in self.frozen and who not in self.doubtful]


def _one_at_a_time(facts: Sequence[Fact], _bounds: Bounds) -> Iterator[Violation]:
    """I1: no work begins while other work runs, and no thawed work acts after other work has begun."""
    work = _Work()
    for fact in facts:
        if fact.kind is Kind.BEGAN:
            for other in work.surely():
                yield Violation("I1", fact.at, f"{fact.who} begins (token {fact.token}) and {other} still works")
        if fact.kind is Kind.STEPPED and len(work.working) > 1 and fact.who in work.working:
            mine = work.working[fact.who]
            for other, began in work.working.items():
                if other != fact.who and began.token > mine.token:
                    yield Violation("I1", fact.at, f"{fact.who} acts (token {mine.token}) and {other} has begun")
        work.take(fact)


def _tokens_rise(facts: Sequence[Fact], _bounds: Bounds) -> Iterator[Violation]:
    """I2, first half: each term's token is greater than that of every earlier one."""
    highest: Fact | None = None
    for fact in facts:
        if fact.kind is Kind.BEGAN:
            if highest is not None and fact.token <= highest.token:
                yield Violation("I2", fact.at, f"{fact.who} has token {fact.token}, and {highest.who} had {highest.token}")
            else:
                highest = fact


def _no_stale_write(facts: Sequence[Fact], _bounds: Bounds) -> Iterator[Violation]:
    """I2, second half: once a store that fences has accepted a newer term's write, it accepts no older one's."""
    highest = 0
    for fact in facts:
        if fact.kind is Kind.WROTE:
            if fact.token < highest:
                yield Violation("I2", fact.at, f"a write with token {fact.token} of {fact.who} was accepted after {highest}")
            highest = max(highest, fact.token)


def _lease_covers_work(facts: Sequence[Fact], bounds: Bounds) -> Iterator[Violation]:
    """I3: work ends before its lease does, and the lease before the session. Work that was frozen ends when it can."""
    work = _Work()
    excused: set[str] = set()
    for fact in facts:
        if fact.kind is Kind.FROZE and fact.who in work.working:
            excused.add(fact.who)
        if fact.until is not None:
            late = fact.at > fact.until + bounds.lateness + ROUNDING
            if fact.kind is Kind.ENDED and late and fact.who not in excused:
                yield Violation("I3", fact.at, f"{fact.who} ends {fact.at - fact.until:.3f} s after its lease")
            if fact.kind is Kind.EXPIRED and fact.until > fact.at + ROUNDING:
                yield Violation("I3", fact.at, f"{fact.who} believes in its lease {fact.until - fact.at:.3f} s too long")
            if fact.kind is Kind.BEGAN and fact.until <= fact.at:
                yield Violation("I3", fact.at, f"{fact.who} begins without a lease")
        if work.take(fact) is not None:
            excused.discard(fact.who)


def _somebody_leads(facts: Sequence[Fact], bounds: Bounds) -> Iterator[Violation]:
    """I4: while nothing is wrong, nobody waits for a leader longer than the bound."""
    if bounds.takeover is None or not facts:
        return
    work = _Work()
    calm_since: float | None = None
    vacant_since: float | None = facts[0].at

    def judge(now: float) -> Iterator[Violation]:
        if calm_since is not None and vacant_since is not None and bounds.takeover is not None:
            waited = now - max(calm_since, vacant_since)
            if waited > bounds.takeover + ROUNDING:
                yield Violation("I4", now, f"nobody has worked for {waited:.3f} s, and nothing was wrong")

    for fact in facts:
        if fact.kind in (Kind.BEGAN, Kind.DISTURBED):
            yield from judge(fact.at)
        if fact.kind is Kind.WROTE or (fact.kind is Kind.STEPPED and not work.doubtful):
            continue  # most facts: nothing changes
        work.take(fact)
        if fact.kind is Kind.DISTURBED:
            calm_since = None
        elif fact.kind is Kind.CALM and calm_since is None:
            calm_since = fact.at
        busy = bool(work.surely())
        vacant_since = None if busy else fact.at if vacant_since is None else vacant_since
    yield from judge(facts[-1].at)


def _work_ends_before_release(facts: Sequence[Fact], _bounds: Bounds) -> Iterator[Violation]:
    """I5: leadership is released once the work has ended, and not before."""
    work = _Work()
    for fact in facts:
        began = work.working.get(fact.who)
        if fact.kind is Kind.RELEASED and began is not None and began.token == fact.token and fact.who not in work.frozen:
            yield Violation("I5", fact.at, f"{fact.who} releases token {fact.token} and still works")
        work.take(fact)


CHECKERS: tuple[Callable[[Sequence[Fact], Bounds], Iterator[Violation]], ...] = (
    _one_at_a_time,
    _tokens_rise,
    _no_stale_write,
    _lease_covers_work,
    _somebody_leads,
    _work_ends_before_release,
)
