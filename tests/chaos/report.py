"""A chaos run in figures: what happened, how often, how long nobody led, what was wrong."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from pathlib import Path
from statistics import median

from aioha.testing.checks import Violation
from aioha.testing.history import Fact, Kind

from .judge import BOUNDS, killed_by_guardian
from .show import MACHINE, Mark, Outcome
from .stalls import NOTE

__all__ = ["Gap", "Span", "gaps", "report", "spans"]

MOST_SHOWN = 20  # violations: the first ones tell, the others follow from them
AFTER = 0.1  # seconds after a fault for which an end of work is still laid to it


@dataclass(frozen=True, slots=True)
class Span:
    """Work of one term. froze: when the process did, for the last time."""

    who: str
    token: int
    begun: float
    ended: float
    how: str
    froze: float = inf


@dataclass(frozen=True, slots=True)
class Gap:
    """Nobody worked from the end of one span to the begin of the next. cause: the fault that it is laid to."""

    at: float
    seconds: float
    cause: str


def spans(facts: Sequence[Fact]) -> list[Span]:
    """In the order of their begins."""
    open_: dict[str, Fact] = {}
    froze: dict[str, float] = {}
    found: list[Span] = []
    for fact in facts:
        if fact.kind is Kind.BEGAN:
            open_[fact.who] = fact
        elif fact.kind is Kind.FROZE:
            froze[fact.who] = fact.at
        elif fact.kind in (Kind.ENDED, Kind.DIED) and (began := open_.pop(fact.who, None)) is not None:
            found.append(Span(fact.who, began.token, began.at, fact.at, fact.kind.value, froze.get(fact.who, inf)))
    last = facts[-1].at if facts else 0.0
    found += [Span(fact.who, fact.token, fact.at, last, "at work") for fact in open_.values()]
    return sorted(found, key=lambda span: span.begun)


def gaps(found: Sequence[Span], marks: Sequence[Mark]) -> list[Gap]:
    """A frozen leader's span may end after the next one's begin: it has done nothing since it froze."""
    between: list[Gap] = []
    for before, after in pairwise(found):
        end = min(before.ended, before.froze if before.ended > after.begun else before.ended)
        between.append(Gap(end, max(0.0, after.begun - end), _cause(end, after.begun, marks)))
    return between


def _cause(end: float, begin: float, marks: Sequence[Mark]) -> str:
    mark = next((each for each in reversed(marks) if each.at <= begin and end <= each.until + AFTER), None)
    if mark is None:
        mark = next((each for each in reversed(marks) if each.at <= end), None)
    if mark is None:
        return "set-up"
    guard = (", guarded" if mark.guarded else ", unguarded") if mark.kind == "kill" else ""
    return f"{mark.kind}{guard}" + (f", with {mark.note}" if mark.note else "")


def report(facts: Sequence[Fact], outcome: Outcome, violations: Sequence[Violation], logs: Path, again: str) -> str:
    """again: the command that repeats the run."""
    every = spans(facts)
    found = [span for span in every if span.begun <= outcome.ended]
    between = gaps(found, outcome.marks)
    counts = Counter(fact.kind for fact in facts)
    killed = sum(fact.kind is Kind.DIED and killed_by_guardian(fact, logs) for fact in facts)
    waits = list(_waits(facts, found))
    how_much = f"{len(between)} takeovers, {len(outcome.marks)} faults, {len(violations)} violations"
    lines = [
        f"chaos: {(outcome.ended - outcome.begun) / 60:.1f} minutes, seed {outcome.seed}: {how_much}",
        f"work: {counts[Kind.STEPPED]} steps, {len(outcome.transactions)} fenced transactions on ZooKeeper",
        f"fencing store: {counts[Kind.WROTE]} writes taken, {counts[Kind.REFUSED]} stale ones refused",
        f"sessions seen to expire under a believer: {counts[Kind.EXPIRED]}; closest call: {_closest(facts)}",
        f"healed {len(waits)} times; then nobody worked for at most {_shown(max(waits, default=0.0))}",
        f"judged: a leader within {BOUNDS.takeover:g} s, work ended within {BOUNDS.lateness:g} s after its lease",
        f"hanging at the end of a lease, and killed by their guardians: {killed}",
        f"not run by the machine: {_stalls([fact for fact in facts if fact.at <= outcome.ended])}",
        "",
        *_table(between),
    ]
    if between:
        worst = max(between, key=lambda gap: gap.seconds)
        lines.append(f"worst gap: {worst.seconds:.3f} s at {worst.at:.3f} ({worst.cause})")
    kinds = Counter(mark.kind for mark in outcome.marks)
    lines += ["", "faults: " + ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))]
    if outcome.hangs:
        when = ", ".join(f"{at:.3f}" for at in outcome.hangs)
        lines.append(f"ZooKeeper itself hung, and was restarted, at {when}: stacks are in the logs of the servers")
    if outcome.skipped:
        lines.append(f"NOT DONE, as this machine cannot: {', '.join(outcome.skipped)}")
    if "interrupted" in outcome.trouble:
        lines.append("INTERRUPTED before its time")
    lines += ["", *(f"VIOLATION {violation}" for violation in violations[:MOST_SHOWN])]
    if len(violations) > MOST_SHOWN:
        lines.append(f"and {len(violations) - MOST_SHOWN} more, see the history")
    if violations:
        lines.append(f"the same again: {again}")
    return "\n".join(lines).rstrip() + "\n"


def _waits(facts: Sequence[Fact], found: Sequence[Span]) -> Iterator[float]:
    """From each calm after a fault until somebody works; 0 if somebody does."""
    for fact in facts:
        if fact.kind is Kind.CALM and fact.who != MACHINE:
            works = any(span.begun <= fact.at < span.ended for span in found)
            later = (span.begun - fact.at for span in found if span.begun >= fact.at)
            yield 0.0 if works else min(later, default=0.0)


def _table(between: Sequence[Gap]) -> list[str]:
    by_cause = defaultdict[str, list[float]](list)
    for gap in between:
        by_cause[gap.cause].append(gap.seconds)
    lines = [f"{'gap after':<52} {'times':>5} {'median':>9} {'worst':>9}"]
    for cause in sorted(by_cause):
        seconds = by_cause[cause]
        lines.append(f"{cause:<52} {len(seconds):>5} {_shown(median(seconds)):>9} {_shown(max(seconds)):>9}")
    return lines


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _closest(facts: Sequence[Fact]) -> str:
    margins = [fact.at - fact.until for fact in facts if fact.kind is Kind.EXPIRED and fact.until is not None]
    return f"{min(margins):.3f} s" if margins else "none"


def _stalls(facts: Sequence[Fact]) -> str:
    """As they were told: who, and for how long in all."""
    since: dict[str, float] = {}
    lost: Counter[str] = Counter()
    for fact in facts:
        if fact.note == NOTE and fact.kind is Kind.FROZE:
            since[fact.who] = fact.at
        if fact.note == NOTE and fact.kind is Kind.THAWED and fact.who in since:
            lost[fact.who] += round((fact.at - since.pop(fact.who)) * 1000)
    others = sum(lost.values()) - lost[MACHINE]
    return f"the show for {lost[MACHINE] / 1000:.1f} s, candidates for {others / 1000:.1f} s in all"
