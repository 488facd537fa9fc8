"""Pytest as a stranger runs it: in a directory that is not ours, without our own settings and conftest."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BOUND = 150  # seconds; some of them on a busy machine with three such runs at once
OURS = ("PYTEST", "AIOHA", "SEEDS")  # what the environment of our own run must not tell it


def run_pytest(directory: Path, *arguments: str) -> tuple[int, str]:
    """Its exit code and what it says. A directory's own pytest.ini counts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    path = os.pathsep.join([str(ROOT), *filter(None, [kept.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:looptime_plugin", "-rs", *arguments]
    process = subprocess.Popen(
        command,
        cwd=directory,
        env={**kept, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=BOUND)
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        said += f"\nnot done within {BOUND} s"
    return process.returncode, said


def write(directory: Path, files: dict[str, str], ini: str = "") -> None:
    """Modules by their names, and a pytest.ini under which a warning is an error."""
    (directory / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{ini}\n")
    for name, text in files.items():
        (directory / f"{name}.py").write_text(text)
