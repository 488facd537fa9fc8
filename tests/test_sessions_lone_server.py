"""`lease=ping`: refused where the servers say that they are an ensemble, or do not say. In virtual time."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from aioha.errors import SessionFailed
from aioha.sessions import Sessions
from aioha.testing.simulated import Simulation, run
from aioha.where import Server
from aioha.wire.errors import NoAuth, NoNode


def sessions_on(simulation: Simulation) -> Sessions:
    return Sessions([Server("zk1")], session_timeout=6.0, clock=simulation.clock, pings_prove=True)


@pytest.mark.parametrize("servers", [1, 3])
def test_a_lease_by_pings_is_for_a_lone_server_only(servers: int) -> None:
    async def main(simulation: Simulation) -> None:
        await simulation.ensemble(servers)
        sessions = sessions_on(simulation)
        if servers == 1:
            await sessions.open(10.0)
        else:
            with pytest.raises(SessionFailed) as refused:
                await sessions.open(10.0)
            why = "lease=ping is safe on a lone server only, and zk1:2181 belongs to an ensemble; use lease=quorum"
            assert str(refused.value) == why
        await sessions.close()

    run(main)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", None),
        (None, None),
        (NoNode(), None),
        (b"version=0", None),
        (b"server.1=zk1:2888:3888:participant", "belongs to an ensemble; use lease=quorum"),
        (NoAuth(), "does not let us read /zookeeper/config, which would tell; use lease=quorum"),
    ],
)
def test_what_the_servers_say_of_their_ensemble_is_believed(answer: Any, why: str | None) -> None:
    async def main(simulation: Simulation) -> None:
        sessions = sessions_on(simulation)
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if isinstance(answer, Exception):
            reply.set_exception(answer)
        else:
            reply.set_result(SimpleNamespace(data=answer))
        asked: list[str] = []
        session: Any = SimpleNamespace(server="zk1:2181", send=lambda request: (asked.append(request.path), reply)[1])
        if why is None:
            await sessions._insist_on_lone_server(session)
        else:
            with pytest.raises(SessionFailed) as refused:
                await sessions._insist_on_lone_server(session)
            assert str(refused.value) == f"lease=ping is safe on a lone server only, and zk1:2181 {why}"
            assert refused.value.__cause__ is None
        assert asked == ["/zookeeper/config"]

    run(main)
