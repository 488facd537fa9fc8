"""The account of a term in a queue: whether it is taken for written, whatever is found at the record instead."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from scripted import DONE, failing, got, script

from aioha.elections.zookeeper.accounting import Accounting
from aioha.elections.zookeeper.ground import Ground
from aioha.record import Record
from aioha.settings import Settings
from aioha.wire.errors import BadVersion

OURS = replace(Record(), number=3, token=50)


def found(token: int) -> list[Any]:
    """Ours was to be written over another version; this is what stands there."""
    return [failing(1, BadVersion()), got(replace(OURS, token=token).encode(), version=8), got(b"")]


@pytest.mark.parametrize(
    ("answers", "written"),
    [
        ([DONE], True),
        ([failing(0, BadVersion())], False),  # the term is over
        (found(50), True),  # by us, and the reply was lost
        ([*found(40), DONE], True),  # the clean end before ours came behind our reading
        (found(60), False),  # a newer one of ours: that stands, and is not ours to close
    ],
    ids=["at once", "over", "ours", "older", "newer"],
)
async def test_a_record_is_ours_to_close_if_it_was_written(answers: list[Any], written: bool) -> None:
    session = script(*answers)
    place: Any = SimpleNamespace(session=session, path="/q/m", name="m")
    accounting = Accounting(Ground("/q", Settings(identity="me", layout="latch")), place, OURS)
    accounting.begin(4)
    assert await accounting.is_written() is written
    assert len(session.asked) == len(answers)
