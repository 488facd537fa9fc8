"""Queues shared with the real other systems: two candidates of theirs and two of ours, resigned and killed in turn."""

from pathlib import Path

import pytest
from foreign.turns import FIXTURE, LONGEST, play_turns

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(LONGEST)]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


@pytest.mark.parametrize("system", ["latch", "kazoo", "selector", "support"])
async def test_one_leader_at_a_time_and_everyone_gets_turns(
    system: str, request: pytest.FixtureRequest, programs: Path
) -> None:
    await play_turns(system, request.getfixturevalue(FIXTURE), programs)
