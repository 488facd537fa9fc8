"""The options of an elector: what is refused, that a refusal names the option and its numbers, and who overrules whom."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as calmness
from hypothesis import strategies as st

from aioha import Predecessor, SessionFailed
from aioha.settings import DEFAULT_GRACE_SHARE, GRACE_SHARE, Settings
from aioha.where import parse

calm = calmness(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine proves nothing
DURATIONS = ["session_timeout", "stop_grace", "takeover_delay", "connect_timeout", "tick"]


def refusal(where: str = "zk://zk1/a", /, **options: Any) -> str:
    """What is said of these options, in one line."""
    with pytest.raises(ValueError, match=".") as raised:
        Settings.resolve(parse(where), **options)
    message = str(raised.value)
    assert "\n" not in message
    return message


# ---------------------------------------------------------------------- single values


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = Settings.resolve(parse("zk://zk1/a"))
    assert (settings.session_timeout, settings.stop_grace, settings.takeover_delay) == (10.0, None, 0.0)
    assert (settings.connect_timeout, settings.tick, settings.lease, settings.layout) == (30.0, None, "quorum", "ephemeral")
    assert (settings.on_failure, settings.record, settings.token_floor, settings.acl) == ("raise", True, 0, None)
    assert settings.payload == settings.identity.encode()


@pytest.mark.parametrize("fence", [5, "hook", b"", [print], True])
def test_a_fence_hook_can_be_called(fence: object) -> None:
    assert refusal(fence=fence) == f"fence: must be an async function of the predecessor, got {type(fence).__name__}"


@pytest.mark.parametrize(("options", "said"), [({"record": False}, "record=False"), ({"layout": "mooon"}, "layout='mooon'")])
def test_a_fence_hook_needs_the_record(options: Any, said: str) -> None:
    async def fence(predecessor: Predecessor) -> None: ...

    for where in ("zk://zk1/a", "local:a"):
        message = refusal(where, fence=fence, **options)
        assert message.startswith(f"fence: not with {said}: ")
        assert "nobody knows how the last term ended" in message
    assert Settings.resolve(parse("zk://zk1/a"), fence=fence).fence is fence
    assert Settings(fence=None, record=False).fence is None


def test_a_fence_hook_cannot_be_written_in_a_where() -> None:
    assert "fence" in refusal("zk://zk1/a?fence=print")


def test_every_candidate_gets_an_identity_of_its_own() -> None:
    identities = {Settings().identity for _ in range(100)}
    assert len(identities) == 100
    assert all(len(identity.split(":")) == 3 for identity in identities)


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "finite"),
        (-math.inf, "finite"),
        (-1, "-1 s"),
        (-0.001, "-0.001 s"),
        (True, "True"),
        (False, "False"),
        ("5", "'5'"),
        (b"5", "b'5'"),
        ([5], "[5]"),
        (1j, "1j"),
        (10**400, "finite"),
        (-(10**400), "finite"),
    ],
)
def test_a_duration_is_a_number_of_seconds(name: str, value: object, said: str) -> None:
    message = refusal(**{name: value})
    assert message.startswith(f"{name}: ")
    assert said in message


@pytest.mark.parametrize("name", DURATIONS)
def test_only_connecting_may_take_for_ever(name: str) -> None:
    if name == "connect_timeout":
        assert Settings(connect_timeout=math.inf).connect_timeout == math.inf
        assert Settings.resolve(parse("zk://zk1/a?connect_timeout=inf")).connect_timeout == math.inf
    else:
        assert "finite" in refusal(**{name: math.inf})
        assert "finite" in refusal(f"zk://zk1/a?{name}=inf")


@pytest.mark.parametrize("name", ["session_timeout", "connect_timeout", "tick"])
def test_what_cannot_be_nothing_is_more_than_0(name: str) -> None:
    assert refusal(**{name: 0}) == f"{name}: must be more than 0 s, got 0 s"


@pytest.mark.parametrize("name", ["stop_grace", "takeover_delay"])
def test_what_may_be_nothing_can_be_0(name: str) -> None:
    options: Any = {name: 0}
    assert getattr(Settings.of(options), name) == 0


@pytest.mark.parametrize("name", ["session_timeout", "takeover_delay", "connect_timeout"])
def test_only_stop_grace_and_tick_can_be_left_open(name: str) -> None:
    assert "None" in refusal(**{name: None})
    assert Settings.of({"stop_grace": None, "tick": None}) is not None


def test_a_session_timeout_fits_into_the_protocol() -> None:
    """32 bits of milliseconds: more would break the ConnectRequest itself."""
    assert "session_timeout: must be at most 2147483 s, got 3e+06 s" in refusal(session_timeout=3e6)
    longest = Settings(session_timeout=2147482.0).session_timeout
    assert round(longest * 1000) < 2**31


@pytest.mark.parametrize("identity", ["", "a\nb", "a\0", "\x1b[31m", "\u202e", "\ud800", "a\tb"])
def test_an_identity_can_be_read_by_people(identity: str) -> None:
    message = refusal(identity=identity)
    assert message.startswith("identity: ")
    assert message.isprintable()


@pytest.mark.parametrize("identity", ["a", "10.0.0.2", "zk1:42:ab", "Bücher 7", "日本"])
def test_an_identity_may_be_any_printable_text(identity: str) -> None:
    assert Settings(identity=identity).payload == identity.encode()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"identity": 5}, ["identity", "text", "int"]),
        ({"identity": None}, ["identity", "text", "NoneType"]),
        ({"identity": b"a"}, ["identity", "text", "bytes"]),
        ({"identity": "\u65e5" * 334}, ["identity", "1000 bytes", "1002"]),
        ({"data": bytes(400 * 1024 + 1)}, ["data", "409600", "409601"]),
        ({"data": "text"}, ["data", "bytes", "str"]),
        ({"data": bytearray()}, ["data", "bytes", "bytearray"]),
        ({"layout": "curator"}, ["layout", "'curator'", "ephemeral, mooon"]),
        ({"layout": None}, ["layout", "None"]),
        ({"on_failure": "ignore"}, ["on_failure", "'ignore'", "raise, exit, retry"]),
        ({"lease": "none"}, ["lease", "'none'", "quorum, ping"]),
        ({"lease": ["ping"]}, ["lease", "ping"]),
        ({"record": "no"}, ["record", "True or False", "str"]),
        ({"record": 0}, ["record", "True or False", "int"]),
        ({"token_floor": -1}, ["token_floor", "-1"]),
        ({"token_floor": True}, ["token_floor", "integer", "bool"]),
        ({"token_floor": "7"}, ["token_floor", "integer", "str"]),
        ({"token_floor": 7.0}, ["token_floor", "integer", "float"]),
        ({"token_floor": math.nan}, ["token_floor", "integer", "float"]),
        ({"token_floor": 2**63 - 1}, ["token_floor", str(2**63 - 1)]),
        ({"token_floor": 10**5000}, ["token_floor", "64-bit"]),
        ({"acl": "world:anyone"}, ["acl", "sequence", "str"]),
        ({"acl": 31}, ["acl", "sequence", "int"]),
        ({"clock": 5}, ["clock", "function", "int"]),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(options: dict[str, Any], said: list[str]) -> None:
    message = refusal(**options)
    assert message.startswith(f"{said[0]}: ")
    assert all(part in message for part in said)


@calm
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=4)
            for name in [*DURATIONS, "identity", "data", "layout", "on_failure", "lease", "record", "token_floor", "acl"]
        },
    )
)
def test_any_values_are_taken_or_a_value_error(options: dict[str, Any]) -> None:
    try:
        settings = Settings.of(options)  # type: ignore[arg-type]
    except ValueError:
        return
    assert settings.session_timeout > 0
    assert settings.grace_within(settings.session_timeout) <= settings.session_timeout * GRACE_SHARE


# ---------------------------------------------------------------------- relations


def test_stop_grace_is_at_most_a_quarter_of_the_session_timeout() -> None:
    assert Settings(stop_grace=2.5).stop_grace == 2.5
    message = refusal(stop_grace=2.6)
    assert "2.6 s" in message
    assert "10 s" in message
    assert "10.4 s" in message  # what would do
    assert Settings(stop_grace=2.6, session_timeout=10.4).stop_grace == 2.6


def test_a_session_timeout_is_at_least_two_ticks() -> None:
    assert Settings(tick=5.0).tick == 5.0
    message = refusal(tick=5.1)
    assert "10 s" in message
    assert "5.1 s" in message
    assert "10.2 s" in message


@calm
@given(st.floats(0.001, 1000), st.floats(0, 1000), st.floats(0.001, 1000))
def test_durations_that_do_not_fit_together_are_refused_with_both_numbers(timeout: float, grace: float, tick: float) -> None:
    fits = grace <= timeout / 4 and tick <= timeout / 2
    try:
        Settings(session_timeout=timeout, stop_grace=grace, tick=tick)
    except ValueError as error:
        message = str(error)
    else:
        message = ""
    assert (not message) == fits
    if message:
        assert f"{timeout:g} s" in message
        assert f"{grace:g} s" in message or f"{tick:g} s" in message


def test_stop_grace_must_fit_what_the_servers_granted() -> None:
    settings = Settings(session_timeout=20.0, stop_grace=4.0)
    assert settings.grace_within(20.0) == 4.0
    assert settings.grace_within(16.0) == 4.0
    with pytest.raises(SessionFailed) as raised:
        settings.grace_within(15.5)
    message = str(raised.value)
    assert "\n" not in message
    for number in ("4 s", "15.5 s", "20 s"):
        assert number in message


@calm
@given(st.floats(0.01, 10000))
def test_stop_grace_is_a_tenth_of_what_was_granted_unless_told(timeout: float) -> None:
    assert Settings().grace_within(timeout) == pytest.approx(timeout / 10)
    assert DEFAULT_GRACE_SHARE < GRACE_SHARE
