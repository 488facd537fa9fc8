"""Options of an elector in its `where`: which may stand there, how they are read, and who overrules whom."""

import pytest
from test_settings import refusal

from aioha import Elector
from aioha.settings import Settings
from aioha.where import parse


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("identity=me%40here", "identity", "me@here"),
        ("layout=mooon", "layout", "mooon"),
        ("lease=ping", "lease", "ping"),
        ("on_failure=exit", "on_failure", "exit"),
        ("session_timeout=6", "session_timeout", 6.0),
        ("stop_grace=0.5", "stop_grace", 0.5),
        ("takeover_delay=2", "takeover_delay", 2.0),
        ("connect_timeout=1e3", "connect_timeout", 1000.0),
        ("tick=2", "tick", 2.0),
    ],
)
@pytest.mark.parametrize("place", ["zk://zk1/a", "local:a"])
def test_options_may_stand_in_the_where(place: str, query: str, name: str, value: object) -> None:
    settings = Settings.resolve(parse(f"{place}?{query}"))
    assert getattr(settings, name) == value
    assert type(getattr(settings, name)) is type(value)


def test_a_keyword_beats_the_where() -> None:
    where = parse("zk://zk1/a?session_timeout=6&tick=1&identity=there")
    settings = Settings.resolve(where, session_timeout=8.0, identity="here")
    assert (settings.session_timeout, settings.tick, settings.identity) == (8.0, 1.0, "here")
    assert Settings.resolve(where, tick=None).tick is None


def test_the_last_layer_is_on_top() -> None:
    assert Settings.of({"tick": 1.0}, {"tick": 2.0}, {}).tick == 2.0


def test_relations_are_checked_on_what_came_out_not_on_each_layer() -> None:
    where = parse("zk://zk1/a?stop_grace=4")
    assert "4 s" in refusal("zk://zk1/a?stop_grace=4")
    assert Settings.resolve(where, session_timeout=16.0).stop_grace == 4.0
    assert "16 s" in refusal("zk://zk1/a?session_timeout=16", stop_grace=5.0)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("colour=blue", ["'colour'", "known: "]),
        ("Tick=2", ["'Tick'", "tick"]),
        ("record=no", ["'record'", "known: "]),  # not for a where
        ("token_floor=5", ["'token_floor'"]),
        ("data=x", ["'data'"]),
        ("acl=x", ["'acl'"]),
        ("clock=x", ["'clock'"]),
        ("session_timeout=soon", ["session_timeout='soon'", "number of seconds"]),
        ("session_timeout=", ["session_timeout=''", "number of seconds"]),
        ("session_timeout=10s", ["session_timeout='10s'", "number of seconds"]),
        ("tick=nan", ["tick", "finite"]),
        ("tick=-1", ["tick", "-1 s"]),
        ("stop_grace=3", ["3 s", "10 s"]),
        ("identity=", ["identity", "empty"]),
        ("identity=a%0Ab", ["identity", "printable"]),
        ("layout=curator", ["layout", "'curator'"]),
        ("lease=none", ["lease", "'none'"]),
        ("on_failure=ignore", ["on_failure", "'ignore'"]),
    ],
)
def test_options_of_a_where_that_cannot_be_are_named(query: str, said: list[str]) -> None:
    for place in ("zk://zk1/a", "local:a"):
        message = refusal(f"{place}?{query}")
        assert all(part in message for part in said), message
    with pytest.raises(ValueError, match="."):
        Elector(f"local:a?{query}")


def test_an_unknown_keyword_is_named_and_the_known_ones_listed() -> None:
    message = refusal(timeout=5)
    assert "'timeout'" in message
    assert "session_timeout" in message
