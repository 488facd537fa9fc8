"""What not every machine has, CI's included: such a test is skipped there, and says so at the end of the run."""

import pytest

__all__ = ["need"]


def need(present: object, hint: str) -> None:
    """Unlike `aioha.testing.fixtures.require`, never a failure: no package to be installed would bring it."""
    if not present:
        pytest.skip(hint)
