"""Random elections in virtual time, thousands of them: `make simulate SEEDS=1000`.

Each seed is one random scene of servers, candidates and faults (`scene`, `schedule`), played with unchanged production
code and judged by all invariants. A seed that fails is played again with fewer and fewer faults; what is printed is the
shortest schedule, and the line that plays it. `--seed S` tells the story of one.
"""

import argparse
import gc
import multiprocessing
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence

from aioha.settings import LAYOUTS

from . import schedule
from .play import MINUTES, Outcome, play
from .schedule import Entry, written
from .shrink import shrunk
from .story import lines
from .tally import MOST_LINES, Summary, Tally

__all__ = ["failing", "main", "replay", "shrink"]

REPEATED = 50  # one seed in so many is played twice, and must go the same way (I9)
MOST_SHRUNK = 3  # of the seeds that fail
INTERRUPTED = 130
AROUND = 30.0, 5.0  # seconds of the story before and after the first violation


def main(arguments: Sequence[str] | None = None) -> int:
    """1 if anything was violated."""
    asked = _parser().parse_args(arguments)
    if asked.seed is not None:
        return _tell(asked)
    tally, begun = Tally(), time.monotonic()
    seeds = range(asked.first, asked.first + asked.seeds)
    work = ((seed, asked.minutes, asked.layout) for seed in seeds)
    try:
        with multiprocessing.get_context("spawn").Pool(min(asked.jobs, max(len(seeds), 1)), _at_first) as pool:
            for summary in pool.imap_unordered(_play_one, work):
                tally.add(summary)
                if summary.violations:
                    _show(summary)
                elif asked.verbose:
                    print(
                        f"seed {summary.seed}: {summary.terms} terms, {summary.virtual / summary.spent:.0f} times real time"
                    )
    except KeyboardInterrupt:
        for line in tally.lines(time.monotonic() - begun):
            print(line)
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    for summary in sorted(tally.failed, key=lambda failed: failed.seed)[: asked.shrink]:
        _shrink_and_show(summary, asked.minutes, asked.layout)
    for line in tally.lines(time.monotonic() - begun):
        print(line)
    return 1 if tally.failed else 0


def failing(outcome: Outcome, invariants: set[str]) -> bool:
    """Whether a run fails in the way that is looked for."""
    return any(violation.invariant in invariants for violation in outcome.violations)


def shrink(
    seed: int,
    minutes: float,
    entries: Sequence[Entry],
    invariants: set[str],
    most: int = 200,
    layout: str | None = None,
) -> list[Entry]:
    """The shortest part of a schedule with which the seed still fails."""
    return shrunk(entries, lambda some: failing(play(seed, minutes, some, layout=layout), invariants), most)


def replay(seed: int, minutes: float, entries: Sequence[Entry], layout: str | None = None) -> str:
    """The line that plays it again."""
    more = "" if minutes == MINUTES else f" --minutes {minutes:g}"
    more += "" if layout is None else f" --layout {layout}"
    return f"PYTHONPATH=tests python -m proof.simulate --seed {seed}{more} --schedule {shlex.quote(written(entries))}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m proof.simulate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many to play (default: 1000)")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="the first seed (default: 0)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="virtual time of each (default: 10)")
    parser.add_argument("--layout", choices=LAYOUTS, help="of the elections (default: drawn, of ephemeral and mooon)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one for each core)")
    parser.add_argument("--shrink", type=int, default=MOST_SHRUNK, metavar="N", help="shorten so many failures (default: 3)")
    parser.add_argument("--verbose", action="store_true", help="a line for each seed")
    parser.add_argument("--seed", type=int, metavar="S", help="play this one alone, and tell its story")
    parser.add_argument("--schedule", type=schedule.parse, metavar="'AT FAULT TARGET LASTS [EVENT+DELAY]; ...'",
                        help="with --seed: these faults instead of the seed's own")  # fmt: skip
    parser.add_argument("--whole", action="store_true", help="with --seed: the whole story, not what led to the violation")
    return parser


def _at_first() -> None:
    """In each process: what is there for good is not looked at again whenever cycles are collected."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells everybody; who started us ends us
    play(0, minutes=1.0)
    gc.freeze()


def _play_one(work: tuple[int, float, str | None]) -> Summary:
    seed, minutes, layout = work
    outcome = play(seed, minutes, layout=layout)
    again = seed % REPEATED == 0 and not outcome.violations
    if again and play(seed, minutes, layout=layout).fingerprint != outcome.fingerprint:
        outcome.differs()
    return Summary.of(outcome)


def _tell(asked: argparse.Namespace) -> int:
    outcome = play(asked.seed, asked.minutes, asked.schedule, layout=asked.layout, listen=True)
    print(outcome.scene)
    print(f"schedule: {written(outcome.entries)}")
    first = min((violation.at for violation in outcome.violations if violation.at), default=None)
    since, until = (0.0, float("inf")) if asked.whole or first is None else (first - AROUND[0], first + AROUND[1])
    if asked.whole or first is not None:
        for line in lines(outcome.facts, outcome.journal, outcome.log, since, until):
            print(line)
    _show(Summary.of(outcome))
    print(f"{outcome.terms} terms, {sum(outcome.injected.values())} faults, fingerprint {outcome.fingerprint}")
    return 1 if outcome.violations else 0


def _show(summary: Summary) -> None:
    for violation in summary.violations[:MOST_LINES]:
        print(f"seed {summary.seed}: VIOLATION {violation}")
    if len(summary.violations) > MOST_LINES:
        print(f"seed {summary.seed}: and {len(summary.violations) - MOST_LINES} more")
    sys.stdout.flush()


def _shrink_and_show(summary: Summary, minutes: float, layout: str | None) -> None:
    whole = play(summary.seed, minutes, layout=layout)
    invariants = {violation.invariant for violation in summary.violations}
    if not failing(whole, invariants):
        print(f"seed {summary.seed}: it does not fail again in this process")
        return
    short = shrink(summary.seed, minutes, whole.entries, invariants, layout=layout)
    print(f"seed {summary.seed}: {len(short)} of {len(whole.entries)} faults suffice: {written(short)}")
    print(f"    {replay(summary.seed, minutes, short, layout)}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
