"""Getting a session to a server: whom it asks in which order and for how long, and what it says of each. In virtual time."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from aioha.attach import Attacher
from aioha.errors import SessionFailed
from aioha.testing.simulated import Simulation, run
from aioha.where import Server
from aioha.wire.connection import Greeting
from aioha.wire.errors import AuthFailed, ConnectionLoss, SessionExpired

ASKED, SEEN = 10.0, 77
SERVERS = ("zk1:2181", "zk2:2181")
Accept = Callable[[Any], Coroutine[Any, Any, Any]]


class Session:
    """What is attached, and what it was told."""

    def __init__(self, session_id: int = 0, timeout: float = 6.0, *, attaches: bool = True) -> None:
        self.id, self.timeout = session_id, timeout
        self.password = b"p" * 16
        self.zxid_to_insist_on = SEEN
        self.is_dead = False
        self.told: list[tuple[str, Any]] = []
        self._attaches = attaches

    def granted(self, connection: Any, greeting: Any) -> None:
        self.told.append(("granted", greeting))

    def attach_to(self, connection: Any) -> bool:
        self.told.append(("attach to", connection))
        return self._attaches


class Host:
    """A connection to a server that answers the ConnectRequest so; None: never."""

    def __init__(self, server: str, greeting: Any = None, lost: str | None = None, *, refuses: bool = False) -> None:
        self.server, self.lost = server, lost
        self.hung_up = False
        self.asked: list[tuple[Any, ...]] = []
        self._greeting = greeting
        self._refuses = refuses

    async def greet(self, *asked: Any) -> Any:
        self.asked.append(asked)
        if self._greeting is None:
            await asyncio.Event().wait()
        if isinstance(self._greeting, Exception):
            raise self._greeting
        return self._greeting

    async def authenticate(self, *credentials: Any) -> None:
        self.asked.append(credentials)
        if self._refuses:
            raise AuthFailed


def granted(session_id: int = 5, timeout: float = 6.0) -> Greeting:
    return Greeting(1000.0, session_id, b"q" * 16, timeout)


class Attempts:
    """Stands for `first_accepted`: notes when each round began, and offers the connections that the test gives it."""

    def __init__(self, attacher: Attacher, *offers: list[Host]) -> None:
        self.times: list[float] = []
        self.given: list[tuple[Any, ...]] = []
        self.orders: list[tuple[str, ...]] = []
        self.failures: list[dict[str, str]] = []  # as they were when each round ended
        self._attacher = attacher
        self._offers = list(offers)

    async def __call__(self, servers: Any, accept: Accept, *given: Any) -> Any:
        self.times.append(round(asyncio.get_running_loop().time() - 1000.0, 6))
        self.given.append(given)
        self.orders.append(tuple(map(str, servers)))
        for connection in self._offers.pop(0):
            if (accepted := await accept(connection)) is not None:
                return accepted
        self.failures.append(dict(self._attacher.failures))
        return None


def attacher_of(servers: tuple[str, ...] = SERVERS, credentials: tuple[str, str] | None = None) -> Attacher:
    with mock.patch("random.sample", lambda servers, _: list(servers)):
        return Attacher([Server(name.partition(":")[0]) for name in servers], ASKED, float, credentials)


def attached(
    attacher: Attacher, session: Any, *offers: list[Host], pause: float = 0.0, last: Any = None, **how: Any
) -> tuple[Attempts, Any]:
    """The rounds, and what came out of them. Random pauses are as long as they may be."""

    async def main(simulation: Simulation) -> tuple[Attempts, Any]:
        attempts = Attempts(attacher, *offers)
        with mock.patch("aioha.attach.first_accepted", attempts), mock.patch("random.uniform", longest):
            return attempts, await attacher.attach(session, pause, last, **how)

    return run(main)


def longest(least: float, most: float) -> float:
    assert least == most / 2
    return most


@pytest.mark.parametrize(
    ("pause", "times"),
    [(0.0, [0.0, 0.05, 0.15, 0.35, 0.75, 1.25, 1.75]), (0.4, [0.4, 0.9, 1.4, 1.9, 2.4, 2.9, 3.4])],
)
def test_rounds_come_ever_more_slowly_and_that_nobody_is_reached_is_said_once(
    pause: float, times: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    attacher = attacher_of()
    attacher.failures["zk2:2181"] = "connection refused"
    good = Host("zk1:2181", granted())
    with caplog.at_level(logging.DEBUG, "aioha"):
        attempts, connection = attached(attacher, Session(), *([] for _ in times[1:]), [good], pause=pause)
    assert connection is good
    assert attempts.times == times
    assert attempts.given == [(float, attacher.failures, 1.5)] * len(times)  # a connect may take a quarter of the timeout
    said = "no ZooKeeper server reached, trying on: zk1:2181: no answer; zk2:2181: connection refused"
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == [("WARNING", said)]


@pytest.mark.parametrize(("timeout", "bound"), [(2.0, 0.5), (12.0, 3.0), (60.0, 3.0)])
def test_a_connect_may_take_a_quarter_of_the_timeout_and_three_seconds_at_most(timeout: float, bound: float) -> None:
    attempts, _ = attached(attacher_of(), Session(timeout=timeout), [Host("zk1:2181", granted())])
    assert attempts.given[0][2] == bound


@pytest.mark.parametrize(("back", "order"), [(False, "acdb"), (True, "bacd")])
def test_the_others_are_asked_first_unless_we_are_to_go_back(back: bool, order: str) -> None:
    attempts, _ = attached(
        attacher_of(("a:", "b:", "c:", "d:")),
        Session(7),
        [Host("a:2181", granted(7))],
        last=Host("b:2181"),
        back=back,
    )
    assert attempts.orders == [tuple(f"{name}:2181" for name in order)]


def test_a_short_session_is_one_too() -> None:
    _, connection = attached(attacher_of(), Session(), [host := Host("zk1:2181", granted(7, 0.001))])
    assert connection is host


def test_candidates_spread_over_the_servers() -> None:
    servers = [Server(f"zk{number}") for number in range(50)]
    random.seed(1)
    mine = Attacher(servers, ASKED, float, None).servers
    assert mine != servers
    assert sorted(map(str, mine)) == sorted(map(str, servers))


@pytest.mark.parametrize(
    ("session_id", "servers", "bounds"),
    [
        (0, SERVERS, [0.3, 0.6, 1.2, 2.0, 2.0]),  # a new session: others are asked soon, and all of them longer each time
        (0, SERVERS[:1], [2.0, 2.0]),  # nobody else to ask
        (7, SERVERS, [0.75, 0.75]),  # again: urgent, and no quorum has to agree
        (7, SERVERS[:1], [0.75, 0.75]),
    ],
)
def test_how_long_a_server_may_think(session_id: int, servers: tuple[str, ...], bounds: list[float]) -> None:
    attacher, session = attacher_of(servers), Session(session_id)
    for _ in range(2):  # and the same when it attaches once more
        attempts, _ = attached(attacher, session, *([Host("zk1:2181")] for _ in bounds), [Host("zk1:2181", granted(7))])
        begun = [*attempts.times]
        pauses = [0.05, 0.1, 0.2, 0.4, 0.5]
        waited = [after - before - pause for before, after, pause in zip(begun, begun[1:], pauses, strict=False)]
        assert waited == pytest.approx(bounds)
        said = [each["zk1:2181"] for each in attempts.failures]
        assert said == [f"accepted the connection, but did not answer within {bound:.2g} s" for bound in bounds]
        assert "zk1:2181" not in attacher.failures


def test_a_server_that_thinks_is_said_to() -> None:
    attacher = attacher_of()

    async def main(simulation: Simulation) -> None:
        attempts = Attempts(attacher, [Host("zk1:2181")])
        with mock.patch("aioha.attach.first_accepted", attempts):
            task = asyncio.create_task(attacher.attach(Session(), 0.0))
            await asyncio.sleep(0.1)
            assert attacher.failures == {"zk1:2181": "accepted the connection, but did not answer yet"}
            attacher.give_up()
            assert await task is None
            assert simulation.clock() == 1000.1

    run(main)


@pytest.mark.parametrize(
    ("session_id", "answers", "said"),
    [
        (0, (granted(0),), "refused to make a session"),
        (7, (granted(42),), "answered with another session (0x2a)"),
        (7, (granted(7, 0.0),), "granted a session of 0 s"),
        (0, (granted(7, -0.5),), "granted a session of -0.5 s"),
        (0, (ConnectionError("connection refused"), "lost"), "connection refused"),
        (0, (ConnectionError(), "connection lost (reset)"), "connection lost (reset)"),
        (0, (ConnectionError(),), "connection lost"),
        (0, (ConnectionLoss(),), "ConnectionLoss"),
    ],
)
def test_why_a_server_was_of_no_use_is_said(session_id: int, answers: tuple[Any, ...], said: str) -> None:
    attacher, session, host = attacher_of(), Session(session_id), Host("zk1:2181", *answers)
    good = Host("zk2:2181", granted(session_id or 5))
    attempts, connection = attached(attacher, session, [host], [good])
    assert attempts.failures == [{"zk1:2181": said}]
    assert connection is good
    assert host.asked == [(session_id, session.password, ASKED, SEEN)]
    assert [what for what, _ in session.told] == ["granted", "attach to"]


@pytest.mark.parametrize(("lost", "said"), [("connection closed by the server", None), (None, "given up meanwhile")])
def test_why_a_session_was_not_attached_that_was_granted_is_said(lost: str | None, said: str | None) -> None:
    attacher, session = attacher_of(), Session(attaches=False)
    attempts, connection = attached(attacher, session, [Host("zk1:2181", granted(), lost)], [Dies(session)])
    assert attempts.failures[0] == {"zk1:2181": said or lost}
    assert connection is None
    assert [what for what, _ in session.told] == ["granted", "attach to"]


class Dies(Host):
    """The session ends before the server answers."""

    def __init__(self, session: Session) -> None:
        super().__init__("zk2:2181", granted())
        self._session = session

    async def greet(self, *asked: Any) -> Any:
        self._session.is_dead = True
        return await super().greet(*asked)


def test_a_session_that_died_is_not_attached_nor_are_servers_asked_for_it() -> None:
    attacher, session = attacher_of(), Session(5)
    attempts, connection = attached(attacher, session, [Dies(session)])
    assert (connection, session.told) == (None, [])
    assert attempts.failures == [{"zk2:2181": "given up meanwhile"}]
    attempts, connection = attached(attacher, session)
    assert (connection, attempts.times) == (None, [])


def test_only_the_servers_can_say_that_a_session_is_over() -> None:
    session = Session(7)
    with pytest.raises(SessionExpired):
        attached(attacher_of(), session, [Host("zk1:2181", granted(0))])
    assert session.told == []


def test_who_attaches_is_granted_first_and_authenticated_before_it_is_attached() -> None:
    attacher, session, host = attacher_of(credentials=("me", "s:e")), Session(), Host("zk1:2181", granted())
    attached(attacher, session, [host])
    assert host.asked == [(0, session.password, ASKED, SEEN), ("digest", b"me:s:e")]
    assert session.told == [("granted", granted()), ("attach to", host)]


def test_refused_credentials_are_a_failure_that_names_the_user_and_no_password() -> None:
    session = Session()
    with pytest.raises(SessionFailed) as failure:
        attached(attacher_of(credentials=("me", "secret")), session, [Host("zk1:2181", granted(), refuses=True)])
    assert str(failure.value) == "zk1:2181 refused digest authentication for user 'me'"
    assert failure.value.__suppress_context__
    assert session.told == [("granted", granted())]


def test_to_give_up_what_never_began_is_nothing() -> None:
    attacher, session = attacher_of(), SimpleNamespace(is_dead=True, timeout=6.0)
    attacher.give_up()
    assert attached(attacher, session)[1] is None
