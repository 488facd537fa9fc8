"""One session from birth to death: what it says of each step, to listeners and in the log, and when it tries again."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from bare_session import Bare, bare

from aioha.errors import SessionFailed
from aioha.heartbeat import Stake
from aioha.session import NotAttached, SessionState
from aioha.wire import requests
from aioha.wire.errors import NoAuth, SessionExpired


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(each.levelname, each.getMessage()) for each in caplog.records if each.name == "aioha"]


def test_each_change_of_state_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def play(bare: Bare) -> None:
        session = bare.session
        assert (session.state, session.why, session.server) == (SessionState.CONNECTING, "not connected yet", None)
        bare.attached(0x1F).abort("no answer for 1 s")
        assert session.why == "zk1:2181: no answer for 1 s"
        connection = bare.attached(0x1F)
        assert (session.why, session.server, session.connection) == ("attached to zk1:2181", "zk1:2181", connection)
        await session.close()
        assert (session.why, session.server, session.is_dead) == ("closed", None, True)
        await session.close()
        session.fail("too late")
        assert connection.aborts == ["closed"]

    with caplog.at_level(logging.DEBUG, "aioha"):
        bare(play)
    attached = ("INFO", "ZooKeeper session 0x1f: connected (attached to zk1:2181)")
    assert lines(caplog) == [
        attached,
        ("WARNING", "ZooKeeper session 0x1f: suspended (zk1:2181: no answer for 1 s)"),
        attached,
        ("DEBUG", "ZooKeeper session 0x1f: closed (closed)"),
    ]


@pytest.mark.parametrize(
    ("end", "state", "line"),
    [
        (SessionExpired(), SessionState.EXPIRED, ("WARNING", "expired (session 0x7 expired)")),
        (SessionFailed("no way in"), SessionState.FAILED, ("INFO", "failed (no way in)")),
    ],
)
def test_a_session_that_cannot_go_on_says_why(
    caplog: pytest.LogCaptureFixture, end: Exception, state: SessionState, line: tuple[str, str]
) -> None:
    async def play(bare: Bare) -> None:
        bare.attacher(1.0, end)
        await bare.session.run()
        assert (bare.session.state, bare.heard) == (state, ["connected", "suspended", state.value])
        with pytest.raises(SessionExpired):
            _ = bare.session.connection

    with caplog.at_level(logging.DEBUG, "aioha"):
        bare(play)
    level, words = line
    assert lines(caplog)[-1] == (level, f"ZooKeeper session 0x7: {words}")


def test_an_attach_after_a_loss_begins_at_once_and_in_a_row_of_losses_ever_later() -> None:
    async def play(bare: Bare) -> None:
        asked = bare.attacher(2.0, 0.0625, 0.0625, 0.0625, 0.0625, 0.0625, 0.125, 0.0625)
        await bare.session.run()
        assert [(now, pause) for now, pause, _ in asked] == [
            (0.0, 0.0),
            (2.0, 0.0),
            (2.0625, 0.05),
            (2.125, 0.1),
            (2.1875, 0.2),
            (2.25, 0.4),
            (2.3125, 0.5),
            (2.4375, 0.0),
            (2.5, 0.05),
        ]
        assert asked[0][2] is None
        assert len({id(last) for _, _, last in asked[1:]}) == 8
        assert all(last.lost == "cut" for _, _, last in asked[1:])

    bare(play)


@pytest.mark.parametrize("rests", [True, False])
def test_a_server_that_has_hung_up_is_asked_again_and_doubted_once_if_anything_rests_on_it(rests: bool) -> None:
    async def play(bare: Bare) -> None:
        asked, doubts = list[tuple[float, bool]](), list[float | None]()
        # Which server, for how long, and whether it hung up at the end.
        lives = [
            ("a", 2.0, True),
            ("a", 0.05, False),
            ("a", 2.0, True),
            ("a", 2.0, False),
            ("a", 2.0, True),
            ("b", 2.0, False),
        ]
        soon = [
            ("a", 2.0, True),
            *(("a", 0.01, True) for _ in range(7)),
            ("a", 2.0, False),
        ]  # and it does so again and again
        lives += soon
        if rests:
            bare.session.heartbeat.hold(Stake("/e", [], lambda _: None), at_once=False)

        async def attach(_: Any, pause: float, last: Any = None, *, back: bool) -> Any:
            asked.append((pause, back))
            if len(asked) > len(lives):
                return None
            connection = bare.attached()
            connection.server = lives[len(asked) - 1][0]
            return connection

        async def run(connection: Any, doubt: float | None = None) -> bool:
            doubts.append(doubt)
            _, lasts, connection.hung_up = lives[len(asked) - 1]
            await asyncio.sleep(lasts)
            if lasts > 1.0:
                bare.lease._prove(bare.clock())
            connection.abort("cut")
            return doubt is not None and lasts < 1.0

        bare.session._attacher.attach = attach  # type: ignore[method-assign]
        bare.session.heartbeat.run = run  # type: ignore[method-assign]
        await bare.session.run()
        again = (0.0, True) if rests else (0.05, False)  # it gave up by itself, or was lost too soon
        hung_up, silent = (0.0, True), (0.0, False)
        slower = [(pause, False) for pause in (0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5)]
        soon_again = [*[(0.025, True)] * 3, *slower[:4]] if rests else slower
        assert asked == [silent, hung_up, again, hung_up, silent, hung_up, silent, hung_up, *soon_again, silent]
        doubt = 0.05 if rests else None
        assert doubts == [None, doubt, None, doubt, None, None, None, *[doubt] * 4, *[None] * 4]

    bare(play)


def test_who_cancels_the_run_leaves_no_connection() -> None:
    async def play(bare: Bare) -> None:
        bare.attacher(60.0)
        task = asyncio.create_task(bare.session.run())
        await bare.until(1.0)
        connection = bare.session.connection
        task.cancel()
        await asyncio.wait({task})
        assert connection.aborts == ["session given up"]  # type: ignore[attr-defined]

    bare(play)


def test_a_connection_that_nobody_beats_on_is_dropped_when_the_run_ends() -> None:
    """Cancelled between an attach and the first heartbeat."""

    async def play(bare: Bare) -> None:
        async def never(*_: Any) -> None:
            raise asyncio.CancelledError

        bare.session.heartbeat.run = never  # type: ignore[method-assign,assignment]
        bare.attacher(60.0)
        connections: list[Any] = []
        bare.session.subscribe(lambda: connections.append(bare.session._connection))
        with pytest.raises(asyncio.CancelledError):
            await bare.session.run()
        assert connections[0].aborts == ["session given up"]

    bare(play)


@pytest.mark.parametrize(("timeout", "bound"), [(3.0, 0.5), (6.0, 1.0), (60.0, 1.0)])
def test_closing_waits_a_sixth_of_the_timeout_and_a_second_at_most(timeout: float, bound: float) -> None:
    async def play(bare: Bare) -> None:
        connection = bare.attached(timeout=timeout, delay=None)
        await bare.session.close()
        assert bare.now == bound
        assert connection.sent == [(0.0, "sync /"), (0.0, "close")]
        assert (connection.aborts, bare.heard) == (["closed"], ["connected", "closed"])

    bare(play, timeout)


def cut(bare: Bare, connection: Any) -> None:
    asyncio.get_running_loop().call_later(0.1, connection.abort, "connection closed by the server")


def refuse(bare: Bare, connection: Any) -> None:
    connection.results["close"] = NoAuth()


def lose(bare: Bare, connection: Any) -> None:
    connection.lost = "lost, and not told yet"


@pytest.mark.parametrize(("trouble", "took"), [(cut, 0.1), (refuse, 0.3), (lose, 0.0)])
def test_closing_ends_the_session_whatever_becomes_of_the_request(
    caplog: pytest.LogCaptureFixture, trouble: Callable[[Bare, Any], None], took: float
) -> None:
    async def play(bare: Bare) -> None:
        connection = bare.attached(delay=0.3)
        trouble(bare, connection)
        await bare.session.close()
        assert (bare.now, bare.heard) == (took, ["connected", "closed"])

    with caplog.at_level(logging.DEBUG, "aioha"):
        bare(play)
    assert lines(caplog)[-1] == ("DEBUG", "ZooKeeper session 0x7: closed (closed)")


def test_a_session_given_up_fails_in_the_words_of_who_gave_it_up() -> None:
    async def play(bare: Bare) -> None:
        given_up: list[str] = []
        bare.session._attacher.give_up = lambda: given_up.append(bare.session.why)  # type: ignore[method-assign]
        events: list[tuple[int, str]] = []
        connection = bare.attached()
        await bare.session.exists("/a", lambda kind, path: events.append((kind, path)))
        bare.lease.acknowledged(bare.clock(), bare.clock())
        bare.session.fail("a bug of ours")
        assert (bare.heard, bare.session.why) == (["connected", "failed"], "a bug of ours")
        assert connection.aborts == given_up == ["a bug of ours"]
        assert events == [(0, "/a")]
        assert bare.lease.anchor(bare.clock() + 60.0) is None  # nothing can be proved any more
        with pytest.raises(SessionExpired):
            await bare.session.attached()

    bare(play)


def test_who_waits_for_a_server_is_woken_by_one_and_by_the_end() -> None:
    async def play(bare: Bare) -> None:
        with pytest.raises(NotAttached) as refused:
            bare.session.send(requests.ping())
        assert str(refused.value) == "not connected yet"
        waiting = [asyncio.create_task(bare.session.attached()) for _ in range(2)]
        await bare.until(1.0)
        assert not any(task.done() for task in waiting)
        bare.attached().abort("cut")  # all of this before anybody has woken
        connection = bare.attached()
        await asyncio.wait(waiting, timeout=0.001)
        assert [task.result() for task in waiting] == [None, None]
        await bare.session.attached()
        connection.abort("cut")
        with pytest.raises(NotAttached, match=r"^zk1:2181: cut$"):
            bare.session.send(requests.ping())
        later = asyncio.create_task(bare.session.attached())
        await bare.until(2.0)
        await bare.session.close()
        await asyncio.wait({later}, timeout=0.001)
        assert isinstance(later.exception(), SessionExpired)
        assert len(bare.session._listeners) == 1  # who waits no longer is told no more

    bare(play)


def test_every_listener_hears_although_others_fail_and_the_first_failure_is_raised() -> None:
    async def play(bare: Bare) -> None:
        heard: list[str] = []

        def fail(name: str) -> None:
            heard.append(name)
            raise RuntimeError(name)

        def leave() -> None:
            heard.append("leave")
            gone()
            gone()

        bare.session.subscribe(lambda: fail("one"))
        bare.session.subscribe(leave)
        gone = bare.session.subscribe(lambda: heard.append("gone"))
        bare.session.subscribe(lambda: fail("two"))
        bare.session.subscribe(lambda: heard.append("last"))
        with pytest.raises(RuntimeError, match="^one$"):
            bare.attached()
        assert heard == ["one", "leave", "two", "last"]

    bare(play)


def test_a_failing_listener_does_not_keep_a_dead_sessions_connection_open() -> None:
    async def play(bare: Bare) -> None:
        connection = bare.attached()

        def fail() -> None:
            raise RuntimeError("a bug")

        bare.session.subscribe(fail)
        with pytest.raises(RuntimeError, match="^a bug$"):
            bare.session.fail("given up")
        assert connection.aborts == ["given up"]

    bare(play)


def test_a_new_session_asks_for_what_it_was_made_with(caplog: pytest.LogCaptureFixture) -> None:
    """Smaller ones that servers grant count from then on; that they do is said once, when the session is made."""

    async def play(bare: Bare) -> None:
        session = bare.session
        assert (session.id, session.password, session.timeout, session.zxid) == (0, bytes(16), 6.0, 0)
        attacher = session._attacher
        assert (attacher._asked, attacher._clock, attacher._credentials) == (6.0, bare.clock, None)
        assert [str(server) for server in attacher.servers] == ["zk1:2181"]
        assert session.failures is attacher.failures
        assert (session.heartbeat._lease, session.heartbeat._clock) == (bare.lease, bare.clock)
        for granted in (4.5, 3.0):
            bare.attached(timeout=granted)
            assert (session.id, session.password, session.timeout) == (7, b"p" * 16, granted)

    with caplog.at_level(logging.DEBUG, "aioha"):
        bare(play)
    said = [line for line in lines(caplog) if "asked" in line[1]]
    assert said == [("INFO", "session_timeout: asked for 6 s, the servers grant 4.5 s")]


def test_what_was_asked_for_and_granted_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    async def play(bare: Bare) -> None:
        bare.granted()
        assert caplog.records == []

    with caplog.at_level(logging.DEBUG, "aioha"):
        bare(play)
