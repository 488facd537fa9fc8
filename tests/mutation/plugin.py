"""The plugin for pytest that tries mutants where pytest would run the tests, and prints who survived."""

import json
import random
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from .changes import Mutant, mutants_of
from .forks import in_forks
from .trials import Reach, noticed, reached

ENOUGH = 0.85
SLOW = {"ensemble", "session_ensemble"}  # fixtures that start three servers
REAL = {"zookeeper", "session_zookeeper"}  # those that start one: in each fork that asks for them


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = [item for item in items if isinstance(item, pytest.Function) and not SLOW & set(item.fixturenames)]
    items[:] = [item for item in items if not {"root", "slow"} & {mark.name for mark in item.iter_markers()}]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    plan = json.loads(Path("plan.json").read_text())
    every = _mutants()
    reach = _reach(plan, every, session.items)
    mutants = _chosen(plan, every)
    _tell(f"{len(mutants)} mutants; {len(reach)} of {len(session.items)} tests reach what they change")
    kept: list[Mutant] = []
    tried: Counter[str] = Counter()
    for number, (mutant, who) in enumerate(zip(mutants, _trials(plan, mutants, reach, session.items), strict=True), 1):
        if who == "":
            continue
        tried[mutant.module] += 1
        if who is None:
            kept.append(mutant)
        _tell(f"{number:4} {mutant.name} " + (f"noticed by {who}" if who else f"SURVIVED\n{mutant.shown()}"))
    survived = Counter(mutant.module for mutant in kept)
    for module, number in [*sorted(tried.items()), ("all", tried.total())]:
        lost = survived[module] if module in tried else len(kept)
        _tell(f"{module:40} {number - lost:5} of {number:5} noticed: {1 - lost / max(number, 1):6.1%}")
    noted = tried.total() - len(kept)
    session.testsfailed = noted if plan["controls"] else int(noted < ENOUGH * tried.total())
    return True


def _mutants() -> list[Mutant]:
    patterns = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mutmut"]["only_mutate"]
    found: list[Mutant] = []
    for source in sorted({source for pattern in patterns for source in Path().glob(pattern)}):
        found += mutants_of(".".join(source.with_suffix("").parts).removesuffix(".__init__"), source)
    return found


def _chosen(plan: dict[str, Any], every: list[Mutant]) -> list[Mutant]:
    """Those of the plan. Controls change nothing."""
    dice = random.Random(plan["seed"])
    chosen: list[Mutant] = []
    for _, group in groupby((mutant for mutant in every if plan["only"] in mutant.name), lambda mutant: mutant.module):
        some = list(group)
        chosen += some if plan["each"] is None else dice.sample(some, min(len(some), plan["each"]))
    dice.shuffle(chosen)  # so that what a run that is broken off has tried is a fair sample, too
    if plan["these"]:
        chosen = [mutant for mutant in chosen if mutant.name in Path(plan["these"]).read_text().split()]
    if plan["controls"]:
        some = dice.sample(chosen, min(len(chosen), plan["controls"]))
        return [Mutant(mutant.module, mutant.function, 0, mutant.tree, None) for mutant in some]
    return chosen


def _reach(plan: dict[str, Any], mutants: list[Mutant], items: list[pytest.Item]) -> Reach:
    kept = plan["reach"] and Path(plan["reach"])
    if kept and kept.exists():
        return json.loads(kept.read_text())
    functions = sorted({(mutant.module, mutant.function) for mutant in mutants})
    files = [(path, list(group)) for path, group in groupby(items, lambda item: item.path)]
    found: Reach = {}
    shares = in_forks((partial(reached, group, functions) for _, group in files), plan["jobs"])
    for (path, group), share in zip(files, shares, strict=True):
        if isinstance(share, dict):
            found |= share
        else:
            _tell(f"{path.name}: its {len(group)} tests are left out: {share}")
    if kept:
        kept.write_text(json.dumps(found))
    return found


def _trials(plan: dict[str, Any], mutants: list[Mutant], reach: Reach, items: list[pytest.Item]) -> Iterator[str | None]:
    """Who notices each: the tests that noticed another mutant of the module first, then the quick ones; and after all these
    the ones that need a server."""
    tests: dict[str, list[tuple[pytest.Item, float]]] = defaultdict(list)
    for item in items:
        seconds, functions = reach.get(item.nodeid, (0.0, []))
        for function in functions:
            tests[function].append((item, seconds))
    sharp: dict[str, set[str]] = defaultdict(set)

    def runs() -> Iterator[Any]:
        for mutant in mutants:
            good = sharp[mutant.module]
            order = sorted(tests[mutant.reach], key=lambda test: (test[0].nodeid not in good, test[1]))
            groups = [[test for test in order if _is_real(test[0]) == real] for real in (False, True)]
            yield partial(noticed, mutant, groups, plan["budget"])

    for mutant, who in zip(mutants, in_forks(runs(), plan["jobs"]), strict=True):
        if who:
            sharp[mutant.module].add(who)
        yield who


def _is_real(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and (bool(REAL & set(item.fixturenames)) or "[zookeeper" in item.nodeid)


def _tell(text: str) -> None:
    print(text, file=sys.__stdout__, flush=True)
