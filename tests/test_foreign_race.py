"""Races shared with others: the C++ scheme, which polls for one node, has no lease, and sleeps after winning; and a stand-in
for Hadoop's, which leaves a breadcrumb.
"""

import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from foreign.events import Events
from foreign.member import Member
from foreign.turns import FIXTURE, LONGEST, play_turns, ready

from aioha.testing import Ensemble, Proxy

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(LONGEST)]

TIMEOUT = 10.0  # seconds, of the sessions
LATE = 2.0  # seconds, at most: how much later than it means to their process looks at its node


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("foreign")


@pytest.mark.parametrize("system", ["mooon", "hadoop"])
async def test_one_leader_at_a_time_and_both_sides_get_turns(
    system: str, request: pytest.FixtureRequest, programs: Path
) -> None:
    await play_turns(system, request.getfixturevalue(FIXTURE), programs)


async def test_who_has_no_lease_is_waited_for(zookeeper: Ensemble, programs: Path) -> None:
    """They hear of a lost session at their next look, up to a second later. By then we lead, but do not work yet."""
    system = replace(await ready("mooon", programs), takeover_delay=1.0 + LATE)
    events, path = Events(), f"/shared-{uuid.uuid4().hex}"
    server = zookeeper.servers[0].address
    ours = Member(events, "ours", system.of_ours, server, path, TIMEOUT)
    with Proxy(server) as link:
        theirs = Member(events, "theirs", system.command(programs), link.address, path, TIMEOUT)
        await _change_over(theirs, ours, server, link)
    events.assert_one_at_a_time()


async def _change_over(theirs: Member, ours: Member, server: str, link: Proxy) -> None:
    async with theirs, ours:
        await theirs.start()
        await theirs.said("LEAD")
        await ours.start()
        link.hold()  # or it may come back in between, onto a session that ends: the server drops what such a one asks
        await theirs.expire(server)
        link.heal()
        await ours.said("LEAD")
        await ours.quit()
        await theirs.said("LEAD", 2)
        await theirs.quit()
