"""docs/testing.md: its files are written down as they stand there, and run by pytest in a directory of their own."""

import re
from pathlib import Path

import pytest
from pytest_runs import ROOT, run_pytest, write

from aioha.testing import RealTrial, Trial
from aioha.testing.fixtures import require
from aioha.testing.java import missing
from aioha.testing.simulated_trial import SimulatedTrial

TEXT = (ROOT / "docs/testing.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+)\.py\n(.*?)```", TEXT, flags=re.DOTALL))

pytestmark = pytest.mark.timeout(180)  # a whole run of pytest


def test_every_snippet_is_a_file_with_a_name_of_its_own() -> None:
    assert len(FILES) == TEXT.count("```python") > 5


def test_all_of_them_pass(tmp_path: Path) -> None:
    require((hint := missing()) is None, hint or "")
    write(tmp_path, FILES)
    code, said = run_pytest(tmp_path, "-p", "no:asyncio")
    assert code == 0, said
    assert "skipped" not in said


@pytest.mark.parametrize("trial", [SimulatedTrial, RealTrial])
def test_the_table_names_what_exists(trial: type[Trial]) -> None:
    table = TEXT.split("| | simulated |")[1].split("\n\n")[0]
    named = set(re.findall(r"trial\.(\w+)", table)) | set(re.findall(r"`(\w+)`", table))
    assert {"partition", "freeze", "thaw", "kill", "expire_session", "heal", "stop", "leader"} <= named
    for name in named - ({"start_program"} if trial is SimulatedTrial else set()):
        assert hasattr(trial, name), name
