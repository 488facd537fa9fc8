"""The sessions that a candidate lives through: what people see, what a guardian is told, and when they end."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from aioha.errors import ElectionError, SessionFailed, Unavailable
from aioha.session_state import SessionState
from aioha.sessions import Sessions
from aioha.testing.simulated import SimulatedEnsemble, Simulation, run
from aioha.where import Server
from aioha.wire.errors import ConnectionLoss

TIMEOUT = 6.0
NOBODY = (Server("zk8"), Server("zk9", 2182))


class Guardian:
    """What it was told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def start(self) -> None:
        self.told.append(("start",))

    async def stop(self) -> None:
        self.told.append(("stop",))

    def attend(self, session: Any) -> None:
        self.told.append(("attend", session))

    def serve(self, servers: Any, first: Any) -> None:
        self.told.append(("serve", servers, first))


def sessions_on(simulation: Simulation, servers: Any, **options: Any) -> Sessions:
    return Sessions(servers, session_timeout=TIMEOUT, clock=simulation.clock, **options)


def served(play: Callable[[Simulation, SimulatedEnsemble, tuple[Server, ...]], Awaitable[None]], servers: int = 1) -> None:
    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(servers)
        await play(simulation, ensemble, tuple(Server(each.name) for each in ensemble.servers))

    run(main)


def test_what_people_see_before_there_is_a_session_while_there_is_one_and_after_it() -> None:
    async def main(simulation: Simulation) -> None:
        await simulation.ensemble(max_session_timeout=4.0)
        sessions = sessions_on(simulation, [Server("zk1")])
        seen: list[tuple[Any, ...]] = []

        def look() -> None:
            seen.append((sessions.state, sessions.server, sessions.timeout, sessions.id, sessions.why))

        look()
        await sessions.open(math.inf)
        look()
        session = await sessions.live()
        look()
        await sessions.close()
        look()
        assert session.id
        nothing = ("connecting", None, TIMEOUT, 0, "not connected yet")
        attached = ("connected", "zk1:2181", 4.0, session.id, "attached to zk1:2181")
        assert seen == [nothing, nothing, attached, ("closed", None, 4.0, session.id, "closed")]

    run(main)


def test_a_path_has_one_elector_in_each_session() -> None:
    async def main(simulation: Simulation) -> None:
        sessions = sessions_on(simulation, NOBODY)
        sessions.claim("/a")
        sessions.claim("/b")
        with pytest.raises(ElectionError) as refused:
            sessions.claim("/a")
        assert str(refused.value) == "/a: this session has an elector there already"
        sessions.unclaim("/a")
        sessions.unclaim("/a")
        assert sessions.claim("/a") is None

    run(main)


def test_whoever_comes_to_a_path_is_told_what_is_still_being_removed_there() -> None:
    async def main(simulation: Simulation) -> None:
        sessions = sessions_on(simulation, NOBODY)
        removing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sessions.claim("/a")
        sessions.unclaim("/a", removing)
        assert sessions.claim("/a") is removing
        with pytest.raises(ElectionError):
            sessions.claim("/a")
        sessions.unclaim("/a", removing)  # left again before it was done
        assert sessions.claim("/a") is removing
        removing.set_result(None)
        await asyncio.sleep(0)
        with pytest.raises(ElectionError):  # taken all the same
            sessions.claim("/a")
        sessions.unclaim("/a", removing)
        assert sessions.claim("/a") is None

    run(main)


def test_of_a_path_that_is_empty_nothing_is_kept() -> None:
    async def main(simulation: Simulation) -> None:
        sessions = sessions_on(simulation, NOBODY)
        removing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sessions.claim("/a")
        sessions.unclaim("/a", removing)
        removing.set_result(None)
        await asyncio.sleep(0)
        assert sessions._paths == {}

    run(main)


def test_no_server_within_the_bound_is_said_with_the_reason_of_each_and_leaves_nothing() -> None:
    async def main(simulation: Simulation) -> None:
        sessions = sessions_on(simulation, NOBODY)
        before = asyncio.all_tasks()
        simulation.network.cut("main", "zk9")
        begun = simulation.clock()
        with pytest.raises(Unavailable) as failure:
            await sessions.open(0.75)
        assert simulation.clock() - begun == 0.75
        reasons = "zk8:2181: connection refused; zk9:2182: no answer to a TCP connect yet"
        assert str(failure.value) == f"no ZooKeeper server reached within 0.75 s: {reasons}"
        assert failure.value.__suppress_context__
        assert sessions.state == "closed"
        assert asyncio.all_tasks() == before

    run(main)


def test_of_a_server_that_nobody_has_asked_that_is_said() -> None:
    async def main(simulation: Simulation) -> None:
        sessions = sessions_on(simulation, NOBODY)
        assert sessions._reasons() == "zk8:2181: not asked yet; zk9:2182: not asked yet"
        sessions.current = SimpleNamespace(failures={"zk9:2182": "connection refused"})  # type: ignore[assignment]
        assert sessions._reasons() == "zk8:2181: not asked yet; zk9:2182: connection refused"

    run(main)


def test_what_the_sessions_were_made_with_reaches_each_of_them() -> None:
    async def main(simulation: Simulation) -> None:
        for tick, pings_prove in ((None, False), (3.0, True)):
            sessions = sessions_on(simulation, NOBODY, tick=tick, pings_prove=pings_prove, credentials=("me", "secret"))
            await sessions.open(math.inf)
            assert "aioha sessions" in {task.get_name() for task in asyncio.all_tasks()}
            for _ in range(2):
                session = sessions._begin()
                assert sessions._begin() is session is sessions.current
                attacher = session._attacher
                assert (session.timeout, attacher._credentials) == (TIMEOUT, ("me", "secret"))
                assert sorted(map(str, attacher.servers)) == ["zk8:2181", "zk9:2182"]
                assert session._clock == simulation.clock
                assert (session.lease._tick, session.lease.pings_prove) == (tick, pings_prove)
                session._die(SessionState.EXPIRED, "expired")
            await sessions.close()

    run(main)


def test_the_next_session_begins_when_the_last_one_has_expired() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble, servers: tuple[Server, ...]) -> None:
        sessions = sessions_on(simulation, servers)
        await sessions.open(10.0)
        first = await sessions.live()
        assert await sessions.live() is first
        assert ensemble.expire_session(first.id)
        async with asyncio.timeout(TIMEOUT):
            while not first.is_dead:
                await asyncio.sleep(0.01)
        second = await sessions.live()
        assert first.state is SessionState.EXPIRED
        assert second.id not in (0, first.id)
        assert sessions.id == second.id
        await sessions.close()
        assert second.state is SessionState.CLOSED

    served(play)


def test_a_session_that_failed_is_the_last_and_its_reason_is_given_to_all() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble, servers: tuple[Server, ...]) -> None:
        sessions = sessions_on(simulation, servers)
        await sessions.open(10.0)
        session = await sessions.live()
        session.fail("no way in")
        for _ in range(2):
            with pytest.raises(SessionFailed, match="^no way in$") as failure:
                await sessions.live()
            assert failure.value.__suppress_context__
        assert sessions.current is session
        await sessions.close()

    served(play)


def test_after_the_end_there_are_no_more_sessions() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble, servers: tuple[Server, ...]) -> None:
        sessions = sessions_on(simulation, servers)
        with pytest.raises(SessionFailed, match="^the elector is closed$"):
            await sessions.live()  # before it, too
        await sessions.open(10.0)
        first = await sessions.live()
        sessions._host._group = None  # as if it had failed, and not told yet
        sessions.failure = RuntimeError("a bug")
        insisting = mock.patch.object(first, "attached", side_effect=ConnectionLoss)
        with insisting, pytest.raises(SessionFailed, match="^the elector is closed$") as failure:
            await sessions.live()
        assert failure.value.__cause__ is sessions.failure
        first._die(SessionState.EXPIRED, "expired")
        with pytest.raises(SessionFailed, match="^the elector is closed$") as failure:
            await sessions.live()
        assert failure.value.__cause__ is sessions.failure

    served(play)


def test_a_failure_inside_ends_the_session_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble, servers: tuple[Server, ...]) -> None:
        told: list[BaseException] = []
        sessions = sessions_on(simulation, servers, on_failure=told.append)
        await sessions.open(10.0)
        session = await sessions.live()
        bug = RuntimeError("a bug")

        async def fail() -> None:
            raise bug

        sessions._host.spawn(fail)
        async with asyncio.timeout(1.0):
            while not told:
                await asyncio.sleep(0.01)
        assert told == [sessions.failure] == [bug]
        assert (session.state, session.why) == (SessionState.FAILED, "aioha failed inside: RuntimeError('a bug')")
        with pytest.raises(SessionFailed, match="^aioha failed inside: RuntimeError"):
            await sessions.live()
        await sessions.close()

    served(play)
    (critical,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert critical.getMessage() == "aioha failed inside"
    assert critical.exc_info is not None
    assert str(critical.exc_info[1]) == "a bug"


def test_a_failure_inside_is_told_even_if_a_listener_stumbles_over_it_and_may_be_told_to_nobody() -> None:
    async def main(simulation: Simulation) -> None:
        told: list[BaseException] = []
        stumbling = SimpleNamespace(fail=mock.Mock(side_effect=ValueError("stumbled")))
        for on_failure, failed in ((told.append, [stumbling]), (None, []), (told.append, [])):
            sessions = sessions_on(simulation, NOBODY, on_failure=on_failure)
            bug = RuntimeError("a bug")
            if failed:
                sessions.current = stumbling  # type: ignore[assignment]
                with pytest.raises(ValueError, match="stumbled"):
                    sessions._failed(bug)
            else:
                sessions._failed(bug)
            assert sessions.failure is bug
        assert len(told) == 2

    run(main)


def test_a_guardian_is_told_of_the_session_when_it_is_attached_and_when_it_is_over() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble, servers: tuple[Server, ...]) -> None:
        guardian: Any = Guardian()
        sessions = sessions_on(simulation, (*servers, NOBODY[1]), guardian=guardian, credentials=("me", "secret"))
        await sessions.open(10.0)
        session = await sessions.live()
        known = ("attend", (session.id, session.password, TIMEOUT, ("me", "secret")))
        serving = ("serve", [("zk1", 2181), ("zk9", 2182)], session.connection.address)
        assert guardian.told == [("start",), known, serving]
        simulation.network.reset("main", "zk1")
        await asyncio.sleep(1.0)  # suspended, and attached again
        assert guardian.told[3:] == [known, serving]
        ensemble.expire_session(session.id)
        await asyncio.sleep(TIMEOUT)
        assert guardian.told[5:] == [("attend", None)]
        second = await sessions.live()
        assert guardian.told[6] == ("attend", (second.id, second.password, TIMEOUT, ("me", "secret")))
        await sessions.close()
        assert guardian.told[8:] == [("attend", None), ("stop",)]

    served(play)
