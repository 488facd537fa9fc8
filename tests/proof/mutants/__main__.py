"""`python -m proof.mutants`: a line for each planted bug; exit code 1 if one survives."""

import argparse
import functools
import sys
from concurrent.futures import ProcessPoolExecutor

from ..play import MINUTES
from . import MUTANTS
from .hunt import Hunt, hunt


def _hunt(name: str, seeds: range, minutes: float) -> Hunt:
    return hunt(MUTANTS[name], seeds, minutes)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m proof.mutants", description="Planted bugs that the checkers must catch."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MUTANTS)}; all of them")
    parser.add_argument("--seeds", type=int, default=2000, help="how many a mutant may survive at most (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="seed (%(default)s)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="virtual ones, of each seed (%(default)g)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (%(default)s)")
    given = parser.parse_args(arguments)
    strange = [name for name in given.names if name not in MUTANTS]
    if strange:
        parser.error(f"no mutant is called {strange[0]}")
    names = given.names or list(MUTANTS)
    one = functools.partial(_hunt, seeds=range(given.first, given.first + given.seeds), minutes=given.minutes)
    survived = 0
    with ProcessPoolExecutor(given.jobs) as pool:
        for found in pool.map(one, names):
            print(found, flush=True)
            if found.violation is None:
                print(
                    f"  {MUTANTS[found.name].wrong}: expected to break {' or '.join(MUTANTS[found.name].breaks)}", flush=True
                )
            survived += found.violation is None
            if found.unclean:
                print(f"  unchanged code fails at {', '.join(map(str, found.unclean))}", flush=True)
    print(f"{len(names) - survived} of {len(names)} caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
