"""What is wrong with a chaos run: the checkers of all histories, and what only a real ensemble can be asked.

Bounds. takeover: T and two ticks until a session has expired, a quarter of T that a successor may have to wait for work
that was not seen to end, and a second for everything that a machine with two cores does meanwhile. lateness: work is told
to end a tenth of T before its lease ends, so on an idle machine it is never late; a tenth of a second more is for one
that is not run at that very moment, and a process that was not run for longer has said so itself (`stalls`).
Where this machine did not run the show itself for a while, the time until the next leader is judged from there anew.

Dead processes. One ends with the last word of its own, or when it was killed if that is later: nobody saw more of it. It
wrote a word each 20 ms while it worked, so a death is known to within that.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aioha.testing.checks import Bounds, Violation, check
from aioha.testing.history import Fact, Kind, read

from .crew import UNASKED
from .show import MACHINE, Outcome
from .stage import TICK, TIMEOUT
from .stalls import NOTE

__all__ = ["BOUNDS", "judge", "killed_by_guardian", "merged"]

BUGS = ("Traceback", "never retrieved", "never awaited", "Warning:")

GUARDIAN_SAYS = "hangs and its lease ends"
SLACK = 0.1  # seconds
BOUNDS = Bounds(takeover=TIMEOUT + 2 * TICK + TIMEOUT / 4 + 1.0, lateness=0.1)


def merged(directory: Path, outcome: Outcome) -> list[Fact]:
    """One history of all files, in the order of times."""
    facts = [fact for fact in read(sorted(directory.glob("*.jsonl"))) if fact.kind is not Kind.DIED]
    facts = list(_without_stalls_on_purpose(facts))
    facts += _deaths(directory, {fact.who for fact in facts if fact.kind in (Kind.BEGAN, Kind.ENDED)})
    facts.sort(key=lambda fact: fact.at)
    facts += _expiries(facts, outcome)
    facts += _disturbances_of_the_machine(facts)
    return sorted(facts, key=lambda fact: fact.at)


def judge(facts: Sequence[Fact], outcome: Outcome, logs: Path) -> list[Violation]:
    found = [*check(facts, BOUNDS), *_no_stale_transaction(facts, outcome), *_in_order(facts, outcome, logs)]
    return sorted(found, key=lambda violation: violation.at)


def _without_stalls_on_purpose(facts: Sequence[Fact]) -> Iterator[Fact]:
    """Whom we have frozen finds that it was not run, a moment off what we have told of it; nothing is added by that."""
    frozen = dict[str, list[tuple[float, float]]]()
    since = dict[str, float]()
    for fact in facts:
        if fact.note != NOTE and fact.kind is Kind.FROZE:
            since.setdefault(fact.who, fact.at)
        elif fact.note != NOTE and fact.kind is Kind.THAWED and fact.who in since:
            frozen.setdefault(fact.who, []).append((since.pop(fact.who), fact.at))
    begins = dict[str, bool]()
    for fact in facts:
        if fact.note != NOTE:
            yield fact
            continue
        if fact.kind is Kind.FROZE:
            begins[fact.who] = not any(at - SLACK < fact.at < until for at, until in frozen.get(fact.who, ()))
        if begins.get(fact.who):
            yield fact


def killed_by_guardian(death: Fact, logs: Path) -> bool:
    """Because it hung, or was not run, until its lease ended."""
    said = (logs / f"{death.who}.log").read_text("utf-8", "replace")
    return death.note == f"{UNASKED}{-signal.SIGKILL}" and GUARDIAN_SAYS in said


def _deaths(directory: Path, workers: set[str]) -> Iterator[Fact]:
    told = [fact for fact in read([directory / "stage.jsonl"]) if fact.kind is Kind.DIED]
    first = dict[str, Fact]()
    for fact in told:
        first.setdefault(fact.who, fact)
    for who, fact in first.items():
        words = [each.at for each in read([path for path in [directory / f"{who}.jsonl"] if path.exists()])]
        last = max(words, default=fact.at)
        yield replace(fact, at=max(last, fact.at) if fact.note == "kill" else last if who in workers else fact.at)


def _expiries(facts: Sequence[Fact], outcome: Outcome) -> Iterator[Fact]:
    """Sessions that ended by themselves while somebody may have believed in them: seen later than they did, so whoever
    believes for longer is surely wrong. How long is told with each step of the work.
    """
    began = {int(fact.note): fact for fact in facts if fact.kind is Kind.BEGAN and fact.note}
    believed, over, dead = dict[int, float](), dict[int, float](), dict[str, float]()
    for fact in facts:
        if fact.kind is Kind.DIED:
            dead[fact.who] = fact.at
        if fact.token and fact.kind is Kind.ENDED:
            over[fact.token] = fact.at
    for fact in facts:
        if fact.token and fact.until is not None:
            believed[fact.token] = max(believed.get(fact.token, 0.0), fact.until)
    for czxid, at in outcome.vanished:
        term = began.get(czxid)
        if term is None or czxid in outcome.meddled or over.get(term.token, at) < at:
            continue
        if dead.get(term.who, at) < at and _is_guarded(term.who, outcome):
            continue  # its guardian has closed the session
        yield Fact(at, Kind.EXPIRED, term.who, term.token, believed[term.token])


def _is_guarded(who: str, outcome: Outcome) -> bool:
    return who.partition(".")[0] in outcome.guarded


def _disturbances_of_the_machine(facts: Sequence[Fact]) -> Iterator[Fact]:
    calm = False
    for fact in facts:
        calm = fact.kind is Kind.CALM or (calm and fact.kind is not Kind.DISTURBED)
        if calm and fact.who == MACHINE and fact.kind is Kind.FROZE:
            yield Fact(fact.at, Kind.DISTURBED, MACHINE, note="stalled")
        if calm and fact.who == MACHINE and fact.kind is Kind.THAWED:
            yield Fact(fact.at, Kind.CALM, MACHINE, note="stalled")


def _no_stale_transaction(facts: Sequence[Fact], outcome: Outcome) -> Iterator[Violation]:
    """I2 for ZooKeeper itself: nothing of a term was written there after the takeover of a later one."""
    takeovers = sorted((int(fact.note), fact) for fact in facts if fact.kind is Kind.BEGAN and fact.note)
    written = sorted(outcome.transactions)
    index, newest = 0, 0
    for zxid, token in written:
        while index < len(takeovers) and takeovers[index][0] < zxid:
            newest = max(newest, takeovers[index][1].token)
            index += 1
        if token < newest:
            yield Violation(
                "I2", outcome.ended, f"transaction {zxid:#x} of token {token} was carried out after {newest} had taken over"
            )


def _in_order(facts: Sequence[Fact], outcome: Outcome, logs: Path) -> Iterator[Violation]:
    """I7: nobody ends unasked, or says what only bugs say."""
    for log in sorted(logs.glob("c*.log")):
        for sign in BUGS:
            if sign in log.read_text("utf-8", "replace"):
                yield Violation("I7", outcome.ended, f"{log.name} has {sign!r}")
    for fact in facts:
        if fact.kind is Kind.DIED and fact.note.startswith(UNASKED) and not killed_by_guardian(fact, logs):
            yield Violation("I7", fact.at, f"{fact.who} {fact.note}; see its log")
    for what in outcome.trouble:
        if what != "interrupted":
            yield Violation("I7", outcome.ended, what)
