"""python -m benchmarks [SCENARIO...] [--runs N] [--quick] [--turns N] [--json FILE] [--systems A,B] [--stores A,B]

Prints a table; Ctrl-C leaves nothing behind.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .crew import SYSTEMS, System
from .figures import Figure, table
from .guardian import guardian
from .handover import crash, handover
from .idle import idle
from .machine import facts, zookeeper_version
from .stores import STORES, Store, opened
from .turns import turns

SCENARIOS = ("handover", "crash", "guardian", "idle", "turns")
ON_THREE_SERVERS = ("guardian", "turns")
THREE_SERVERS = "zookeeper-3"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    scenarios: Sequence[str]
    stores: Sequence[str]
    systems: Sequence[str] | None
    runs: int
    kills: int
    turns: int
    idle: float

    @classmethod
    def of(cls, given: argparse.Namespace) -> "Plan":
        quick = given.quick
        stores = given.stores or (["local", "zookeeper-3"] if quick else list(STORES))
        runs = given.runs or (10 if quick else 100)
        many = given.turns or (6 if quick else 300)
        return cls(given.scenario or SCENARIOS, stores, given.systems, runs, max(2, runs // 8), many, 3.0 if quick else 30.0)

    def systems_on(self, store: Store) -> list[System]:
        return [
            each
            for each in SYSTEMS
            if each.store in ("", store.kind) and (each.name in self.systems if self.systems else each.default)
        ]


async def measure(plan: Plan, machine: dict[str, Any], figures: list[Figure]) -> None:
    """Fills `figures` as they come, so that what was measured before a failure is shown."""
    for name in plan.stores:
        wanted = [each for each in plan.scenarios if each not in ON_THREE_SERVERS or name == THREE_SERVERS]
        if not wanted:
            continue
        async with opened(name) as store:
            if store.ensemble is not None:
                machine["zookeeper"] = zookeeper_version(store.ensemble)
            systems = plan.systems_on(store)
            for scenario in wanted:
                print(f"{scenario} on {name} ...", file=sys.stderr, flush=True)
                figures += await _scenario(scenario, store, systems, plan)


async def _scenario(scenario: str, store: Store, systems: Sequence[System], plan: Plan) -> list[Figure]:
    if scenario == "handover":
        return await handover(store, systems, plan.runs)
    if scenario == "crash":
        return await crash(store, systems, plan.kills)
    if scenario == "guardian":
        return await guardian(store, max(3, plan.runs * 3 // 10))
    if scenario == "idle":
        return await idle(store, systems, plan.idle)
    return await turns(store, plan.turns)


async def run(plan: Plan, machine: dict[str, Any], figures: list[Figure]) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)  # ends as Ctrl-C does
    await measure(plan, machine, figures)


def main() -> int:
    given = _arguments()
    machine, figures = facts(), list[Figure]()
    status = 0
    try:
        asyncio.run(run(Plan.of(given), machine, figures))
    except (AssertionError, TimeoutError) as error:
        print(f"failed: {error}", file=sys.stderr)
        status = 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted; what was measured until now:", file=sys.stderr)
        status = 130
    print(", ".join(f"{key} {value}" for key, value in machine.items()))
    if figures:
        print(table(figures))
    if given.json:
        results = [figure.as_json() for figure in figures]
        Path(given.json).write_text(json.dumps({"machine": machine, "results": results}, indent=1) + "\n", "utf-8")
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What is timed: docs/benchmarks.md")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=f"{', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--runs", type=_positive, help="handovers per system (100); an eighth as many kills")
    parser.add_argument("--turns", type=_positive, help="turns with faults (300)")
    parser.add_argument("--quick", action="store_true", help="few of everything, in less than a minute")
    parser.add_argument("--stores", type=_list_of(list(STORES)), help=f"of {','.join(STORES)}; default: all")
    parser.add_argument("--systems", type=_list_of([each.name for each in SYSTEMS]), help="default: all but variants")
    parser.add_argument("--json", metavar="FILE", help="also write machine, figures and samples there")
    given = parser.parse_args()
    for each in given.scenario:
        if each not in SCENARIOS:
            parser.error(f"no scenario {each!r}: there are {', '.join(SCENARIOS)}")
    return given


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def _list_of(known: Sequence[str]) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}: there are {', '.join(known)}")
        return names

    return parse


if __name__ == "__main__":
    sys.exit(main())
