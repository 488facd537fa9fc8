"""examples/: its tests, run as a stranger runs them."""

import pytest
from pytest_runs import ROOT, run_pytest

from aioha.testing.fixtures import require
from aioha.testing.java import missing

pytestmark = pytest.mark.timeout(180)  # a whole run of pytest


def test_the_examples_pass_their_tests() -> None:
    require((hint := missing()) is None, hint or "")
    code, said = run_pytest(ROOT / "examples")
    assert code == 0, said
    assert "skipped" not in said
