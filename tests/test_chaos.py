"""Chaos: what its schedule holds, how its histories are judged and drawn; two minutes of it; and that it leaves nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from chaos.faults import FAULTS, OF_CANDIDATES
from chaos.groups import PREFIX
from chaos.judge import BOUNDS, judge, merged
from chaos.picture import picture
from chaos.report import report
from chaos.sandbox import obstacle
from chaos.schedule import ALONE, ENDINGS, QUICK, QUICK_PER_DECK, SLOW, schedule
from chaos.show import MACHINE, Mark, Outcome
from commands import ROOT
from machine import need
from waiting import until

from aioha.testing.fixtures import require
from aioha.testing.history import Fact, Kind
from aioha.testing.java import missing

MINUTES = 2.0
SEED = 1
MARK = "CHAOS_TEST"
BEFORE, AFTER = 8.0, 3.0  # seconds around a violation that are shown
DECK = QUICK_PER_DECK + len(SLOW)

# ---------------------------------------------------------------------- schedule


def test_the_same_seed_the_same_schedule() -> None:
    assert list(islice(schedule(7), 300)) == list(islice(schedule(7), 300))
    assert list(islice(schedule(7), 300)) != list(islice(schedule(8), 300))


def test_each_deck_holds_every_lasting_fault_once() -> None:
    steps = list(islice(schedule(1), 2 * DECK))
    for deck in (steps[:DECK], steps[DECK:]):
        counts = Counter(step.kind for step in deck)
        assert all(counts[kind] == 1 for kind in SLOW)
        assert sum(counts[kind] for kind in QUICK) == QUICK_PER_DECK


def test_steps_keep_to_their_ranges_and_can_be_brought_about() -> None:
    for step in islice(schedule(3), 3 * DECK):
        assert step.kind in FAULTS
        least, most = SLOW.get(step.kind, (0.0, 0.0))
        assert least <= step.hold <= most
        assert step.ending in ("", *ENDINGS)
        assert not step.ending or step.kind in set(SLOW) - set(ALONE)
    assert set(FAULTS) == set(QUICK) | set(SLOW)
    assert set(FAULTS) > OF_CANDIDATES >= set(QUICK)


# ---------------------------------------------------------------------- judging


def fact(at: float, kind: Kind, who: str, token: int = 0, until: float | None = None, note: str = "") -> Fact:
    return Fact(at, kind, who, token, until, note)


def outcome(**more: object) -> Outcome:
    given: dict[str, object] = {
        "seed": 1,
        "begun": 0.0,
        "ended": 100.0,
        "marks": [],
        "transactions": [],
        "vanished": [],
        "meddled": [],
        "guarded": ["c1"],
        "skipped": [],
        "trouble": [],
        "hangs": [],
    }
    return Outcome(**{**given, **more})  # type: ignore[arg-type]


class Told:
    """Files of facts and logs, as processes write them."""

    def __init__(self, directory: Path) -> None:
        self.facts, self.logs = directory / "facts", directory / "logs"
        self.facts.mkdir()
        self.logs.mkdir()

    def by(self, name: str, *facts: Fact, log: str = "") -> "Told":
        (self.facts / f"{name}.jsonl").write_text("".join(f"{each.line()}\n" for each in facts))
        (self.logs / f"{name}.log").write_text(log)
        return self

    def wrong(self, of: Outcome) -> list[str]:
        return [str(each) for each in judge(merged(self.facts, of), of, self.logs)]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


BEGAN, STEPPED, ENDED, DIED = Kind.BEGAN, Kind.STEPPED, Kind.ENDED, Kind.DIED


def test_a_killed_process_has_worked_until_its_last_word(told: Told) -> None:
    told.by("stage", fact(2.0, DIED, "c1.1", note="kill"))
    told.by("c1.1", fact(1.0, BEGAN, "c1.1", 5, 9.0, "5"), fact(2.1, STEPPED, "c1.1", 5, 9.0))
    told.by("c2.1", fact(2.2, BEGAN, "c2.1", 6, 9.0, "6"))
    assert told.wrong(outcome()) == []
    told.by("c2.1", fact(2.05, BEGAN, "c2.1", 6, 9.0, "6"))
    assert [each[:2] for each in told.wrong(outcome())] == ["I1", "I1"], "it began beside it, and that then acts"


def test_a_death_that_is_noticed_late_ends_the_work_no_later_than_it_did(told: Told) -> None:
    killed = "process 7 hangs and its lease ends: killed before another can lead"
    told.by("stage", fact(9.0, DIED, "c1.1", note="ended unasked, with status -9"))
    told.by("c1.1", fact(1.0, BEGAN, "c1.1", 5, 4.0, "5"), fact(2.0, STEPPED, "c1.1", 5, 4.0), log=killed)
    told.by("c2.1", fact(3.0, BEGAN, "c2.1", 6, 9.0, "6"))
    assert told.wrong(outcome()) == []


@pytest.mark.parametrize("log", ["", "Traceback (most recent call last):", "Task exception was never retrieved"])
def test_who_ends_unasked_or_says_what_only_bugs_say_is_found(told: Told, log: str) -> None:
    status = "ended unasked, with status 1" if not log else "terminate"
    told.by("stage", fact(2.0, DIED, "c1.1", note=status)).by("c1.1", log=log)
    assert [each[:2] for each in told.wrong(outcome())] == ["I7"]


def test_a_lease_longer_than_the_session_is_found(told: Told) -> None:
    told.by("stage").by("c4.1", fact(1.0, BEGAN, "c4.1", 5, 4.0, "5"), fact(2.0, STEPPED, "c4.1", 5, 5.5))
    assert told.wrong(outcome(vanished=[(5, 5.6)])) == []
    wrong = told.wrong(outcome(vanished=[(5, 5.4)]))
    assert len(wrong) == 1
    assert "believes in its lease 0.100 s too long" in wrong[0]
    assert told.wrong(outcome(vanished=[(5, 5.4)], meddled=[5])) == [], "somebody's hand is no expiry"


def test_a_guardian_closes_sessions_of_the_dead_and_nobody_elses(told: Told) -> None:
    for who, wrong in (("c1.1", 0), ("c4.1", 1)):
        told.by("stage", fact(2.0, DIED, who, note="kill"))
        told.by("one", fact(1.0, BEGAN, who, 5, 5.0, "5"), fact(1.9, STEPPED, who, 5, 5.5))
        assert len(told.wrong(outcome(vanished=[(5, 2.1)]))) == wrong


def test_a_transaction_after_a_later_takeover_is_found(told: Told) -> None:
    told.by("stage")
    told.by("c1.1", fact(1.0, BEGAN, "c1.1", 50, 9.0, "5"), fact(2.0, ENDED, "c1.1", 50, 9.0))
    told.by("c2.1", fact(3.0, BEGAN, "c2.1", 90, 9.0, "9"))
    assert told.wrong(outcome(transactions=[(6, 50), (8, 50), (10, 90)])) == []
    wrong = told.wrong(outcome(transactions=[(6, 50), (10, 50), (11, 90)]))
    assert [each[:2] for each in wrong] == ["I2"], "also where nobody has written since"


def test_somebody_must_lead_again_after_calm_unless_the_machine_did_not_run_us(told: Told) -> None:
    late = 1.0 + BOUNDS.takeover + 0.1 if BOUNDS.takeover is not None else 0.0
    told.by("c1.1", fact(late, BEGAN, "c1.1", 5, 99.0, "5"))
    told.by("stage", fact(1.0, Kind.CALM, ""))
    assert [each[:2] for each in told.wrong(outcome())] == ["I4"]
    stalled = [fact(2.0, Kind.FROZE, MACHINE, note="stalled"), fact(2.3, Kind.THAWED, MACHINE, note="stalled")]
    told.by("stage", fact(1.0, Kind.CALM, ""), *stalled)
    assert told.wrong(outcome()) == []


def test_who_was_frozen_on_purpose_need_not_say_so_again(told: Told) -> None:
    """Its own account of it is a moment off, and would cover what came before."""
    own = [fact(0.95, Kind.FROZE, "c1.1", note="stalled"), fact(3.1, Kind.THAWED, "c1.1", note="stalled")]
    told.by("stage", fact(1.0, Kind.FROZE, "c1.1", note="stopped"), fact(3.0, Kind.THAWED, "c1.1"))
    told.by("c1.1", *own, fact(5.0, Kind.FROZE, "c1.1", note="stalled"), fact(5.4, Kind.THAWED, "c1.1", note="stalled"))
    kept = [(each.at, each.kind.value) for each in merged(told.facts, outcome())]
    assert kept == [(1.0, "froze"), (3.0, "thawed"), (5.0, "froze"), (5.4, "thawed")]


# ---------------------------------------------------------------------- telling


def test_report_and_picture(told: Told) -> None:
    told.by("stage", fact(2.0, DIED, "c1.1", note="kill"), fact(61.0, Kind.FROZE, "c2.1", note="stopped"))
    told.by("c1.1", fact(1.0, BEGAN, "c1.1", 5, 9.0, "5"), fact(1.99, STEPPED, "c1.1", 5, 9.0))
    told.by("c2.1", fact(2.5, BEGAN, "c2.1", 6, 99.0, "6"), fact(62.0, ENDED, "c2.1", 6, 99.0))
    told.by("c3.1", fact(61.5, BEGAN, "c3.1", 7, 99.0, "7"), fact(63.0, STEPPED, "c3.1", 7, 99.0))
    marks = [Mark(2.0, 2.0, "kill", "c1.1", True), Mark(61.0, 61.9, "stop <long>", "c2.1", True, "kill")]
    of = outcome(marks=marks)
    facts = merged(told.facts, of)
    violations = judge(facts, of, told.logs)
    assert violations == []
    text = report(facts, of, violations, told.logs, "make chaos")
    assert "2 takeovers, 2 faults, 0 violations" in text
    assert "kill, guarded" in text
    assert "500.0 ms" in text
    assert "make chaos" not in text
    drawn = picture(facts, of, violations)
    bars = [node for node in ET.fromstring(drawn).iter() if node.tag.endswith("rect") and "fill" in node.attrib]  # noqa: S314 - ours
    assert len(bars) == 1 + 4, "a background; work of three terms, of which one goes on in the second strip"
    assert "stop &lt;long&gt;" in drawn


def test_a_violation_is_told_with_the_line_that_runs_it_again(told: Told) -> None:
    told.by("stage").by("c1.1", fact(1.0, BEGAN, "c1.1", 5, 0.5, "5"))
    of = outcome()
    facts = merged(told.facts, of)
    violations = judge(facts, of, told.logs)
    assert "VIOLATION I3" in report(facts, of, violations, told.logs, "make chaos SEED")
    assert "make chaos SEED" in report(facts, of, violations, told.logs, "make chaos SEED")
    assert "I3 at" in picture(facts, of, violations)


# ---------------------------------------------------------------------- the real thing


def chaos(minutes: float, kept: Path, **more: str) -> "subprocess.Popen[str]":
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-m", "chaos", "--minutes", str(minutes), "--seed", str(SEED), "--keep", str(kept)],
        env={**os.environ, "PYTHONPATH": paths, MARK: str(kept), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def groups_of(running: "subprocess.Popen[str]") -> list[Path]:
    name = f"{PREFIX}{running.pid}-*"
    return [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]


def processes_of(running: "subprocess.Popen[str]") -> list[str]:
    """It and all that it has started, also by way of others: they have inherited its environment."""
    found = list[str]()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={running.args[-1]}".encode() in (entry / "environ").read_bytes().split(b"\0"):  # type: ignore[index]
                found.append((entry / "cmdline").read_text("utf-8", "replace").replace("\0", " "))
        except OSError:
            continue
    return found


def around_the_first_violation(said: str, kept: Path) -> str:
    """What all had to say in these seconds: the directory is soon gone."""
    first = re.search(r"VIOLATION \S+ at ([0-9.]+)", said)
    if first is None:
        return ""
    at = float(first[1])
    told = list[tuple[float, str]]()
    for line in (kept / "history.jsonl").read_text().splitlines():
        fact = json.loads(line)
        if fact["kind"] not in ("stepped", "wrote"):
            told.append((fact["at"], line))
    for log in sorted((kept / "logs").glob("c*.log")):
        for line in log.read_text(errors="replace").splitlines():
            stamp = re.match(r"[0-9]+\.[0-9]{6}", line)
            if stamp is not None:
                told.append((float(stamp[0]), f"{log.stem}: {line}"))
    return "\n".join(line for when, line in sorted(told) if at - BEFORE < when < at + AFTER)


@pytest.fixture
def here() -> None:
    why = missing()
    require(why is None, why or "")
    why = obstacle()
    need(why is None, why or "")


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(420)
def test_two_minutes(here: None, tmp_path: Path) -> None:
    """Setting up, and waiting for the last leader, come to it. What a busy machine may add, `chaos.judge` says."""
    kept = tmp_path / "kept"
    running = chaos(MINUTES, kept)
    said, _ = running.communicate()
    print(said)
    assert running.returncode == 0, f"{said}\n{around_the_first_violation(said, kept)}"
    assert (kept / "report.txt").read_text() in said
    assert len((kept / "history.jsonl").read_text().splitlines()) > 1000
    ET.parse(kept / "picture.svg")  # noqa: S314 - ours
    assert groups_of(running) == []
    assert processes_of(running) == []


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(150)
def test_interrupted_it_clears_up_and_tells_what_there_was(here: None, tmp_path: Path) -> None:
    running = chaos(5, tmp_path)
    working(tmp_path)
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate()
    assert running.returncode == 130, said
    assert "INTERRUPTED" in said
    assert processes_of(running) == []
    assert groups_of(running) == []


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(150)
def test_killed_it_leaves_no_process_and_the_next_one_removes_the_rest(here: None, tmp_path: Path) -> None:
    killed = chaos(5, tmp_path / "killed")
    working(tmp_path / "killed")
    assert len(processes_of(killed)) > 3 + 5, "servers, candidates, and the show"
    killed.kill()
    killed.communicate()
    until(lambda: processes_of(killed) == [], 30.0)
    assert groups_of(killed) != []
    following = chaos(0, tmp_path / "next")
    said, _ = following.communicate()
    assert following.returncode == 0, said
    assert groups_of(killed) == groups_of(following) == []


def working(kept: Path) -> None:
    until(lambda: any(b'"began"' in path.read_bytes() for path in kept.glob("facts/c*.jsonl")), 60.0)


def test_without_what_it_needs_it_says_so(tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path)}  # no tools and no java
    for demanded, code in (("0", 0), ("1", 1)):
        running = chaos(1, tmp_path / "kept", **nothing, AIOHA_REQUIRE_ALL=demanded)
        said, _ = running.communicate()
        assert "CHAOS DID NOT RUN" in said
        assert running.returncode == code


def test_what_was_said_around_a_violation_is_shown(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "c1.1.log").write_text(
        "1.000000 INFO early\n95.500000 INFO session suspended\ntrace\n104.000000 INFO late\n"
    )
    facts = [{"at": 95.0, "kind": "began", "who": "c2.1"}, {"at": 96.0, "kind": "stepped"}, {"at": 50.0, "kind": "calm"}]
    (tmp_path / "history.jsonl").write_text("".join(f"{json.dumps(fact)}\n" for fact in facts))
    told = around_the_first_violation("VIOLATION I1 at 100.5: both\nVIOLATION I1 at 200.0: both", tmp_path)
    assert told.splitlines() == [json.dumps(facts[0]), "c1.1: 95.500000 INFO session suspended"]
    assert around_the_first_violation("0 violations", tmp_path) == ""
