"""`python -m chaos [--minutes N] [--seed S] [--keep DIR]`: exit code 1 if anything was wrong; with the line that runs the
same schedule again. What happened stays in a directory: history, report, picture, logs of all processes.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

from aioha.testing.java import missing

from . import groups, sandbox
from .judge import judge, merged
from .picture import picture
from .report import report
from .show import Outcome, show

DEFAULT_MINUTES = 30.0
INTERRUPTED = 130


def main() -> int:
    chosen = _arguments()
    why = sandbox.obstacle() or missing()
    if why is not None:
        print(f"CHAOS DID NOT RUN: {why}", file=sys.stderr)
        return int(os.environ.get("AIOHA_REQUIRE_ALL") == "1")
    groups.remove_stale()
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    artifacts = Path(tempfile.mkdtemp(prefix="aioha-chaos-")) if chosen.keep is None else Path(chosen.keep).absolute()
    artifacts.mkdir(parents=True, exist_ok=True)
    if any(artifacts.iterdir()):
        print(f"{artifacts} is not empty, and the history of another run must not get into this one", file=sys.stderr)
        return 64
    print(f"chaos for {chosen.minutes:g} minutes, seed {seed}; what happens is kept in {artifacts}", flush=True)
    owner = os.getpid()
    sandbox.enter()
    try:
        outcome = asyncio.run(_until_told(seed, chosen.minutes, artifacts, owner))
    except asyncio.CancelledError:
        print("interrupted before anything had happened", file=sys.stderr)
        return INTERRUPTED
    return _tell(outcome, artifacts, f"make chaos MINUTES={chosen.minutes:g} ARGS='--seed {seed}'")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=DEFAULT_MINUTES)
    parser.add_argument("--seed", type=int, help="of the schedule; default: a new one each time")
    parser.add_argument("--keep", metavar="DIR", help="where to keep what happened; default: a new temporary directory")
    return parser.parse_args()


async def _until_told(seed: int, minutes: float, artifacts: Path, owner: int) -> Outcome:
    """SIGINT and SIGTERM end it early, in order; further ones change nothing."""
    showing = asyncio.ensure_future(show(seed, minutes, artifacts, owner))
    told = False

    def end() -> None:
        nonlocal told
        if not told:
            told = True
            showing.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    return await showing


def _tell(outcome: Outcome, artifacts: Path, again: str) -> int:
    facts = merged(artifacts / "facts", outcome)
    logs = artifacts / "logs"
    violations = judge(facts, outcome, logs)
    text = report(facts, outcome, violations, logs, again)
    with (artifacts / "history.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{fact.line()}\n" for fact in facts)
    (artifacts / "outcome.json").write_text(json.dumps(outcome.fields()), "utf-8")
    (artifacts / "report.txt").write_text(text, "utf-8")
    (artifacts / "picture.svg").write_text(picture(facts, outcome, violations), "utf-8")
    print(text, end="")
    return INTERRUPTED if "interrupted" in outcome.trouble and not violations else int(bool(violations))


if __name__ == "__main__":
    sys.exit(main())
