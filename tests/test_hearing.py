"""How who stands by, or looks on, hears of things: what wakes it up, and whether what it has heard is worth anything."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from scripted import script, timed

from aioha.elections.zookeeper.attention import Attention
from aioha.elections.zookeeper.lookout import Lookout
from aioha.session import SessionState
from aioha.wire.errors import SessionExpired
from aioha.wire.watches import CHANGED, DELETED

Listens = Attention | Lookout
KINDS = pytest.mark.parametrize("kind", [Attention, Lookout])


def seconds_until_awake(what: Callable[[Any], None], listens: Any, bound: float = 5.0) -> float:
    """What happens, happens after a second."""

    async def play() -> None:
        asyncio.get_running_loop().call_later(1.0, what, listens)
        await listens.wait(bound)

    return timed(play)


@KINDS
def test_it_waits_until_something_happens_or_the_bound_is_over(kind: Any) -> None:
    assert seconds_until_awake(lambda _: None, kind(script())) == 5.0
    assert seconds_until_awake(lambda it: it.on_event(DELETED, "/e"), kind(script())) == 1.0
    assert seconds_until_awake(lambda it: it.session.become(SessionState.SUSPENDED), kind(script())) == 1.0


def test_something_else_may_wake_a_lookout_which_forgets_it_then() -> None:
    async def play() -> None:
        lookout = Lookout(script())
        for wake in (lookout.wake, lookout.wake, lookout.doubt):
            assert not lookout.moved
            wake()
            await lookout.wait(5.0)
        assert lookout.moved
        await lookout.wait(5.0)

    assert timed(play) == 5.0


@KINDS
def test_what_has_happened_before_is_not_lost_unless_everything_is_looked_at_anew(kind: Any) -> None:
    listens = kind(script())
    listens.on_event(CHANGED, "/e")
    assert seconds_until_awake(lambda _: None, listens) == 0.0
    listens.on_event(CHANGED, "/e")
    listens.reset()
    assert seconds_until_awake(lambda _: None, listens) == 5.0


@KINDS
def test_at_its_end_nobody_is_called_any_more(kind: Any) -> None:
    session = script()
    with kind(session) as listens:
        assert isinstance(listens, kind)
        assert listens.session is session
        assert len(session.listeners) == 1
        assert session.forgotten == []
    assert session.listeners == []
    assert session.forgotten == [listens.on_event]


# ---------------------------------------------------------------------- one node


@pytest.mark.parametrize(
    ("what", "awake"),
    [
        (lambda _: None, False),
        (lambda it: it.wake(), True),
        (lambda it: it.on_event(DELETED, "/e"), True),
        (lambda it: it.session.become(SessionState.SUSPENDED), True),
    ],
)
def test_who_waits_is_told_whether_anything_has_happened_which_is_forgotten_then(
    what: Callable[[Any], None], awake: bool
) -> None:
    async def play() -> None:
        attention = Attention(script())
        what(attention)
        assert await attention.wait(5.0) is awake
        assert await attention.wait(5.0) is False

    assert timed(play) == (5.0 if awake else 10.0)


def test_it_is_known_until_everything_is_looked_at_anew_that_the_connection_has_changed() -> None:
    attention = Attention(session := script())
    attention.on_event(DELETED, "/e")
    attention.wake()
    assert attention.moved is False
    session.become(SessionState.CONNECTED)
    assert attention.moved is True
    attention.reset()
    assert attention.moved is False


def test_at_its_end_a_bid_that_is_ready_is_not_sent() -> None:
    told = list[int]()
    with Attention(script()) as attention:
        attention.when_gone = lambda: told.append(1)
    attention.on_event(DELETED, "/e")  # a reply that was under way
    assert told == []


def test_what_fired_has_happened_unless_the_connection_has_changed() -> None:
    attention = Attention(script())
    assert attention.fired is False
    attention.on_event(CHANGED, "/e")
    assert attention.fired is True
    attention.session.become(SessionState.CONNECTED)  # type: ignore[attr-defined]
    assert attention.fired is False
    attention.on_event(CHANGED, "/e")
    assert attention.fired is False
    attention.reset()
    attention.on_event(CHANGED, "/e")
    assert attention.fired is True
    attention.reset()
    assert attention.fired is False


def test_that_a_node_is_gone_is_told_at_once_and_once() -> None:
    told = list[bool]()
    attention = Attention(script())
    attention.when_gone = lambda: told.append(attention.fired)
    attention.on_event(DELETED, "/e")
    attention.on_event(DELETED, "/e")
    assert told == [True]


@pytest.mark.parametrize(
    "before",
    [
        lambda it: it.on_event(CHANGED, "/e"),
        lambda it: it.on_event(0, "/e"),
        lambda it: it.session.become(SessionState.SUSPENDED),
        lambda it: it.reset(),
    ],
    ids=["changed", "session over", "connection", "reset"],
)
def test_after_anything_else_that_a_node_is_gone_is_told_nobody(before: Callable[[Attention], None]) -> None:
    attention = Attention(script())

    def never() -> None:
        raise AssertionError

    attention.when_gone = never
    before(attention)
    attention.on_event(DELETED, "/e")
    assert attention.when_gone is None


@pytest.mark.parametrize("error", [ConnectionError("lost"), SessionExpired()], ids=["lost", "expired"])
def test_who_cannot_act_at_once_is_awake_and_will_see_why(error: Exception) -> None:
    attention = Attention(script())

    def fails() -> None:
        raise error

    attention.when_gone = fails
    assert seconds_until_awake(lambda it: it.on_event(DELETED, "/e"), attention) == 1.0
    error = ValueError("a mistake of ours")
    attention.when_gone = fails
    with pytest.raises(ValueError, match="ours"):
        attention.on_event(DELETED, "/e")


# ---------------------------------------------------------------------- many nodes


def test_it_is_known_which_nodes_have_changed_and_which_are_gone() -> None:
    lookout = Lookout(script())
    lookout.on_event(CHANGED, "/a")
    lookout.on_event(DELETED, "/b")
    seen = {path: (lookout.has_changed(path), lookout.has_gone(path)) for path in ("/a", "/b", "/c")}
    assert seen == {"/a": (True, False), "/b": (True, True), "/c": (False, False)}
    lookout.reset()
    assert not any(lookout.has_changed(path) or lookout.has_gone(path) for path in ["/a", "/b"])


def test_after_a_change_of_the_connection_nothing_is_known_to_be_gone() -> None:
    lookout = Lookout(script())
    assert lookout.moved is False
    lookout.session.become(SessionState.CONNECTED)  # type: ignore[attr-defined]
    assert lookout.moved is True
    lookout.on_event(DELETED, "/a")
    assert (lookout.has_changed("/a"), lookout.has_gone("/a")) == (True, False)
    lookout.reset()
    assert lookout.moved is False
    lookout.on_event(DELETED, "/a")
    assert lookout.has_gone("/a")
