"""`python -m mutation [--each N --seed S] [--only TEXT] [--jobs N] [--controls N]`: who notices each mutant."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info")
OURS = "--import-mode=importlib -p no:asyncio -p no:cacheprovider -p no:xdist -p no:looptime_plugin -p mutation.plugin"


def main() -> int:
    """In a copy of the project, so that one may go on to work on it."""
    plan = _arguments()
    with tempfile.TemporaryDirectory(prefix="aioha-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        (copy / "plan.json").write_text(json.dumps(vars(plan)))
        command = [sys.executable, "-m", "pytest", "-q", "-s", "-o", f"addopts={OURS}", "tests"]
        paths = os.pathsep.join([str(copy), str(copy / "tests")])
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": folder}
        return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__)
    parser.add_argument("--each", type=int, metavar="N", help="so many of each file, at random; default: all")
    parser.add_argument("--seed", type=int, default=1, help="of that choice")
    parser.add_argument("--only", default="", metavar="TEXT", help="those with this in their names, as in aioha.lease:Lease")
    parser.add_argument(
        "--these", type=os.path.abspath, metavar="FILE", help="those whose names are in it, as in a former log"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at once; default: one for each processor")
    parser.add_argument(
        "--budget",
        type=float,
        default=15.0,
        help="seconds of tests for one mutant, and once more with a server; default: 15",
    )
    parser.add_argument("--controls", type=int, default=0, metavar="N", help="so many that change nothing: all must survive")
    parser.add_argument("--reach", type=os.path.abspath, metavar="FILE", help="tests that reach each function: kept here")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
