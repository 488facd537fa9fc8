"""What is made of a `where` and of settings: which sessions, and which election on them; and how that begins and ends."""

import asyncio
from typing import Any

import pytest
from scripted import timed

from aioha import LayoutMismatch, SessionFailed, Unavailable
from aioha.elections.zookeeper import election_at, sessions_for
from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.election import ZooKeeperElection
from aioha.elections.zookeeper.ephemeral import EphemeralElection
from aioha.elections.zookeeper.ground import Ground
from aioha.elections.zookeeper.queue import QueueElection
from aioha.record import LARGEST_BASE
from aioha.settings import LAYOUTS, Settings
from aioha.where import parse

WHERE = parse("zk://user:secret@a:1,b:2/service/e")


# ---------------------------------------------------------------------- sessions


def clock() -> float:
    return 0.0


def given(monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the sessions are made with."""

    def noted(*args: Any, **named: Any) -> Any:
        return args, named

    monkeypatch.setattr("aioha.elections.zookeeper.Sessions", noted)
    monkeypatch.setattr("aioha.elections.zookeeper.Guardian", lambda *args, **named: ("guardian", args, named))
    made: Any = sessions_for(WHERE, Settings(clock=clock, **options))
    return made


def test_every_setting_of_a_session_reaches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    args, named = given(monkeypatch, session_timeout=7.0, tick=0.5, lease="ping", guardian="tree")
    assert args == (WHERE.servers,)
    assert named == {
        "session_timeout": 7.0,
        "clock": clock,
        "tick": 0.5,
        "pings_prove": True,
        "credentials": ("user", "secret"),
        "guardian": ("guardian", (clock,), {"tree": True}),
    }


@pytest.mark.parametrize(
    ("guardian", "made"), [(False, None), (True, ("guardian", (clock,), {"tree": False}))], ids=["no guardian", "guardian"]
)
def test_a_session_by_default(monkeypatch: pytest.MonkeyPatch, guardian: bool, made: Any) -> None:
    _, named = given(monkeypatch, guardian=guardian)
    assert named == {
        "session_timeout": 10.0,
        "clock": clock,
        "tick": None,
        "pings_prove": False,
        "credentials": ("user", "secret"),
        "guardian": made,
    }


# ---------------------------------------------------------------------- elections


class Sessions:
    """What an election asks of its sessions, noted in `calls`. `fails`: what the connect ends with."""

    def __init__(self, *, server: str | None = "a:1", timeout: float = 10.0, fails: BaseException | None = None) -> None:
        self.calls = list[Any]()
        self.server = server
        self.timeout = timeout
        self.guardian = object()
        self._fails = fails

    def claim(self, path: str) -> None:
        self.calls.append(f"claim {path}")

    def unclaim(self, path: str, leaving: asyncio.Future[None] | None = None) -> None:
        self.calls.append(f"unclaim {path}" + (" when it is empty" if leaving is not None and not leaving.done() else ""))

    async def open(self, connect_timeout: float) -> None:
        self.calls.append(f"open within {connect_timeout:g}")
        if self._fails is not None:
            raise self._fails

    async def close(self) -> None:
        self.calls.append("close")


class Observer:
    def __init__(self, sessions: Sessions, fails: Exception | None = None) -> None:
        self._calls = sessions.calls
        self._fails = fails

    async def leader(self, *, bound: float = 0.0) -> Any:
        self._calls.append(f"look for {bound:g}")
        if self._fails is not None:
            raise self._fails
        return "leader"

    async def leader_after(self, last: Any, *, first: bool) -> Any:
        return last, first

    async def candidates(self) -> Any:
        return ["leader", "standby"]


def election(sessions: Any, *, owns: bool = True, fails: Exception | None = None, **options: Any) -> ZooKeeperElection:
    settings = Settings(connect_timeout=3.0, **options)
    return ZooKeeperElection(Ground("/e", settings), settings, sessions, Observer(sessions, fails), owns=owns)  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("owns", [{}, {"owns_sessions": True}, {"owns_sessions": False}], ids=str)
async def test_the_election_of_a_layout(layout: Any, owns: dict[str, bool]) -> None:
    sessions: Any = Sessions(server=None)
    made = election_at("/e", Settings(layout=layout, connect_timeout=3.0), sessions, **owns)
    assert isinstance(made, QueueElection) == (layout in DIALECTS)
    assert isinstance(made, EphemeralElection) == (layout not in DIALECTS)
    assert made.session is sessions
    assert made.guardian is sessions.guardian
    await made.open()
    await made.close()
    if owns.get("owns_sessions", True):
        assert sessions.calls == ["claim /e", "open within 3", "close", "unclaim /e"]
    else:
        assert sessions.calls == ["claim /e", "unclaim /e"]


async def test_who_looks_on_is_asked_on_its_behalf() -> None:
    of = election(sessions := Sessions())
    assert await of.leader() == "leader"
    assert await of.leader_after("last", first=True) == ("last", True)  # type: ignore[arg-type]
    assert await of.candidates() == ["leader", "standby"]
    assert sessions.calls == ["look for 0"]


@pytest.mark.parametrize("fails", [None, Unavailable("silence")])
async def test_it_begins_with_a_short_look_at_the_path(fails: Exception | None) -> None:
    sessions = Sessions()
    await election(sessions, fails=fails).open()
    assert sessions.calls == ["claim /e", "open within 3", "look for 1"]
    shared = Sessions()
    await election(shared, owns=False, fails=fails).open()
    assert shared.calls == ["claim /e", "look for 1"]


async def test_while_no_server_is_attached_nothing_is_looked_at() -> None:
    sessions = Sessions(server=None, timeout=0.1)
    await election(sessions, stop_grace=2.0).open()
    assert sessions.calls == ["claim /e", "open within 3"]


@pytest.mark.parametrize("error", [LayoutMismatch("another's"), SessionFailed("refused")], ids=str)
async def test_a_path_that_is_refused_leaves_nothing_behind(error: Exception) -> None:
    sessions = Sessions()
    with pytest.raises(type(error)):
        await election(sessions, fails=error).open()
    assert sessions.calls == ["claim /e", "open within 3", "look for 1", "close", "unclaim /e"]


async def test_a_connect_that_fails_or_is_cancelled_leaves_nothing_behind() -> None:
    for error in (Unavailable("nobody"), asyncio.CancelledError()):
        sessions = Sessions(fails=error)
        with pytest.raises(type(error)):
            await election(sessions).open()
        assert sessions.calls == ["claim /e", "open within 3", "close", "unclaim /e"]


async def test_a_grace_that_does_not_fit_into_what_the_servers_grant_is_said() -> None:
    sessions = Sessions(timeout=6.0)
    with pytest.raises(SessionFailed, match="stop_grace 2 s is more than a quarter of the session timeout 6 s"):
        await election(sessions, stop_grace=2.0).open()
    assert sessions.calls == ["claim /e", "open within 3", "close", "unclaim /e"]


@pytest.mark.parametrize(("pending", "seconds"), [(None, 0.0), (1.0, 1.0), (60.0, 5.0)])
def test_the_end_waits_a_while_for_what_is_still_being_removed(pending: float | None, seconds: float) -> None:
    async def play() -> None:
        of = election(sessions := Sessions())
        await of.open()
        sessions.calls.clear()
        removing = None if pending is None else asyncio.ensure_future(asyncio.sleep(pending))
        of._leaving = removing
        asyncio.get_running_loop().call_later(seconds - 0.1, lambda: sessions.calls.append("still removing"))
        await of.close()
        # Whoever comes on the same session must not lose to it what is theirs.
        left = "unclaim /e" if removing is None or removing.done() else "unclaim /e when it is empty"
        assert sessions.calls == ["close", *(["still removing"] if pending else []), left]
        if removing is not None:
            removing.cancel()

    assert timed(play) == seconds


async def test_whoever_leaves_twice_lets_go_of_its_own_path_only() -> None:
    of = election(sessions := Sessions(), owns=False)
    await of.open()
    await of.close()
    sessions.calls.clear()
    await of.close()
    assert sessions.calls == []


def test_tokens_are_lifted_as_far_as_a_record_goes() -> None:
    election(Sessions(), token_floor=LARGEST_BASE)
    with pytest.raises(ValueError, match=f"^token_floor: at most {LARGEST_BASE}, got {LARGEST_BASE + 1}$"):
        election(Sessions(), token_floor=LARGEST_BASE + 1)
    assert election(Sessions()).path == "/e"
