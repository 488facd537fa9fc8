"""The `where`: what it may look like, what is said of one that is malformed, and that no password is ever shown."""

import string
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from aioha.where import DEFAULT_PORT, Server, Where, parse, path_of

NAME = string.ascii_letters + string.digits
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine proves nothing


# ---------------------------------------------------------------------- what it may look like


@pytest.mark.parametrize(
    ("text", "servers", "path", "credentials", "options"),
    [
        ("zk://zk1/a", ["zk1:2181"], "/a", None, {}),
        ("zk://zk1:2182,zk2,10.0.0.3:1/master/billing", ["zk1:2182", "zk2:2181", "10.0.0.3:1"], "/master/billing", None, {}),
        ("zk://[::1],[fe80::1%eth0]:2182/a", ["[::1]:2181", "[fe80::1%eth0]:2182"], "/a", None, {}),
        ("zk://zk1.example.org./a", ["zk1.example.org.:2181"], "/a", None, {}),
        ("zk://me:secret@zk1/a", ["zk1:2181"], "/a", ("me", "secret"), {}),
        ("zk://me:p@ss:word@zk1/a", ["zk1:2181"], "/a", ("me", "p@ss:word"), {}),
        ("zk://me:%2F%3F%40%25@zk1/a", ["zk1:2181"], "/a", ("me", "/?@%"), {}),
        ("zk://me:@zk1/a", ["zk1:2181"], "/a", ("me", ""), {}),
        ("zk://m%C3%A9:s@zk1/a", ["zk1:2181"], "/a", ("mé", "s"), {}),
        ("zk://zk1/a%20b/%C3%A9", ["zk1:2181"], "/a b/é", None, {}),
        ("zk://zk1/a?tick=2&identity=b%26c%3D%40", ["zk1:2181"], "/a", None, {"tick": "2", "identity": "b&c=@"}),
        ("zk://zk1/a?identity=x=y", ["zk1:2181"], "/a", None, {"identity": "x=y"}),
        ("zk://zk1/a?", ["zk1:2181"], "/a", None, {}),
    ],
)
def test_an_ensemble_is_read(
    text: str, servers: list[str], path: str, credentials: tuple[str, str] | None, options: dict[str, str]
) -> None:
    where = parse(text)
    assert (where.scheme, where.is_local) == ("zk", False)
    assert [str(server) for server in where.servers] == servers
    assert (where.path, where.election, where.credentials, where.options) == (path, path, credentials, options)


@pytest.mark.parametrize(
    ("text", "path", "options"),
    [
        ("local:billing", "billing", {}),
        ("local:billing-7.x_y", "billing-7.x_y", {}),
        ("local:/run/lock/billing", "/run/lock/billing", {}),
        ("local:/tmp/a%20b", "/tmp/a%20b", {}),  # noqa: S108 - a path to read, not to write; and no URL: %20 is its name
        ("local:billing?identity=me@host", "billing", {"identity": "me@host"}),
    ],
)
def test_this_host_is_read(text: str, path: str, options: dict[str, str]) -> None:
    where = parse(text)
    assert (where.scheme, where.is_local, where.path, where.options) == ("local", True, path, options)
    assert where.election == f"local:{path}"
    assert (where.servers, where.credentials) == ((), None)


def test_a_shared_session_may_leave_the_path_out() -> None:
    for text in ("zk://zk1,zk2", "zk://zk1,zk2/"):
        where = parse(text, path_required=False)
        assert where.path == "/"
        assert str(where) == "zk://zk1:2181,zk2:2181"


def test_the_default_port_is_zookeepers() -> None:
    assert Server("zk1") == Server("zk1", DEFAULT_PORT)
    assert DEFAULT_PORT == 2181


# ---------------------------------------------------------------------- what is malformed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # Whoever forgets the ensemble must not get a leader on every host.
        ("", ["''", "zk://host", "local:name"]),
        ("billing", ["'billing'", "zk://host", "local:name"]),
        ("/master/billing", ["'/master/billing'", "zk://host", "local:name"]),
        ("zk1:2181/master", ["'zk1:...'", "zk://host", "local:name"]),
        ("zookeeper://zk1/a", ["'zookeeper:...'", "zk://host", "local:name"]),
        ("ZK://zk1/a", ["'ZK:...'", "zk://host", "local:name"]),
        (" zk://zk1/a", ["' zk:...'", "zk://host", "local:name"]),
        ("zk:zk1/a", ["zk:", "//host", "local:name"]),
        ("zk", ["'zk'", "local:name"]),
        ("zks://zk1/a", ["zks://", "TLS", "not supported"]),
        ("zks://me:secret@zk1:x/a", ["zks://", "TLS", "not supported"]),
        # Servers
        ("zk:///a", ["empty host"]),
        ("zk://zk1,,zk2/a", ["empty host"]),
        ("zk://zk1,/a", ["empty host"]),
        ("zk://zk 1/a", ["'zk 1'"]),
        ("zk://zk1, zk2/a", ["' zk2'"]),
        ("zk://-zk1/a", ["'-zk1'"]),
        ("zk://bücher/a", ["'bücher'"]),
        ("zk://zk1:/a", ["'zk1'", "port ''"]),
        ("zk://zk1:x/a", ["'zk1'", "port 'x'"]),
        ("zk://zk1:0/a", ["'zk1'", "port '0'"]),
        ("zk://zk1:65536/a", ["'zk1'", "port '65536'"]),
        ("zk://zk1:-1/a", ["'zk1'", "port '-1'"]),
        ("zk://zk1:²/a", ["'zk1'", "port '²'"]),
        ("zk://zk1:002181/a", ["'zk1'", "no port"]),
        ("zk://zk1:2181:2181/a", ["'zk1:...'", "brackets"]),
        ("zk://::1/a", ["brackets", "[::1]:2181"]),
        ("zk://[::1/a", ["'[::1]'", "not an IPv6 address"]),
        ("zk://[::1]2181/a", ["not an IPv6 address"]),
        ("zk://[zk1]/a", ["'[zk1]'", "not an IPv6 address"]),
        ("zk://[....]/a", ["'[....]'", "not an IPv6 address"]),
        ("zk://[::1]:x/a", ["'::1'", "port 'x'"]),
        ("zk://zk1,zk2,zk1:2181/a", ["twice", "'zk1,zk2,zk1:2181'"]),
        # Credentials
        ("zk://me@zk1/a", ["user:password"]),
        ("zk://:secret@zk1/a", ["user:password"]),
        ("zk://@zk1/a", ["user:password"]),
        ("zk://me:%FF@zk1/a", ["password", "UTF-8"]),
        ("zk://%FF:secret@zk1/a", ["user's name", "UTF-8"]),
        ("zk://me:a/b@zk1/a", ["'@' behind", "%2F"]),
        ("zk://me:a?b@zk1/a", ["'@' behind", "%3F"]),
        # Paths
        ("zk://zk1", ["no path"]),
        ("zk://zk1/", ["no path"]),
        ("zk://zk1?tick=2", ["no path"]),
        ("zk://zk1/a/", ["'/a/'", "empty part"]),
        ("zk://zk1//a", ["'//a'", "empty part"]),
        ("zk://zk1/a/../b", ["'/a/../b'", "'..'"]),
        ("zk://zk1/.", ["'/.'", "'.'"]),
        ("zk://zk1/a%00b", ["character"]),
        ("zk://zk1/a%0Ab", ["character"]),
        ("zk://zk1/\ue000", ["character"]),
        ("zk://zk1/\N{PILE OF POO}", ["character"]),  # two surrogates to a server
        ("zk://zk1/%FF", ["path", "UTF-8"]),
        ("zk://zk1/zookeeper/quota", ["'/zookeeper/quota'", "servers' own"]),
        # This host
        ("local:", ["local:", "a name has 1 to 200"]),
        ("local:a b", ["'a b'"]),
        ("local:-a", ["'-a'"]),
        ("local:a/b", ["'a/b'", "absolute path"]),
        ("local:a:b", ["'a:...'", "a name has"]),
        ("local:me:secret@zk1", ["'me:...'", "a name has"]),
        ("local:" + "x" * 201, ["x" * 201]),
        ("local:/run/lock/", ["'/run/lock/'", "not a directory"]),
        ("local:/", ["'/'", "not a directory"]),
        ("local:/a\0b", ["lock file"]),
        ("local://zk1/a", ["local://", "zk://host"]),
        # Options
        ("zk://zk1/a?tick", ["'tick'", "name=value"]),
        ("zk://zk1/a?=2", ["'=2'", "name=value"]),
        ("zk://zk1/a?tick=2&&lease=ping", ["''", "name=value"]),
        ("zk://zk1/a?tick=2&tick=2", ["'tick'", "twice"]),
        ("local:a?tick", ["'tick'", "name=value"]),
        ("local:a?identity=%FF", ["'identity'", "UTF-8"]),
    ],
)
def test_what_is_malformed_is_named(text: str, said: list[str]) -> None:
    with pytest.raises(ValueError, match="^where: ") as raised:
        parse(text)
    message = str(raised.value)
    assert all(part in message for part in said), message
    assert "\n" not in message
    assert "secret" not in message
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("thing", [None, 5, b"zk://zk1/a", ["zk://zk1/a"]])
def test_what_is_no_text_is_a_value_error(thing: Any) -> None:
    with pytest.raises(ValueError, match=f"got {type(thing).__name__}.*local:name"):
        parse(thing)


def test_a_path_by_itself_is_held_to_the_same_rules() -> None:
    assert path_of("/master/billing") == "/master/billing"
    for path in ("", "a", "/", "/a/", "/a//b", "/..", "/zookeeper", "/a\0"):
        with pytest.raises(ValueError, match=r"^where: .*path"):
            path_of(path)
    not_text: Any = 5
    with pytest.raises(ValueError, match="path: expected text, got int"):
        path_of(not_text)


@calm
@given(st.text(max_size=60))
@example("zk://[")
@example("zk://a:" + "9" * 5000 + "/x")
@example("zk://%:%@a/%?%=%")
def test_any_text_is_read_or_a_value_error(text: str) -> None:
    for candidate in (text, f"zk://{text}", f"zk://zk1/{text}", f"zk://zk1/a?{text}", f"local:{text}"):
        result = read(candidate, path_required=True)
        if isinstance(result, ValueError):
            assert str(result).startswith("where: ")
        else:
            assert parse(str(result)) == replaced(result)


# ---------------------------------------------------------------------- there and back


def replaced(where: Where) -> Where:
    """What reading `str(where)` must give: all but the credentials."""
    return Where(where.scheme, where.path, where.servers, None, where.options)


hosts = st.one_of(
    st.text(NAME, min_size=1, max_size=10),
    st.builds("{}.{}".format, st.text(NAME, min_size=1), st.text(NAME, min_size=1)),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
servers = st.builds(Server, hosts, st.integers(1, 65535))
allowed = st.characters(
    exclude_categories=("Cs", "Cc", "Co"), max_codepoint=0xFFEF, exclude_characters="/"
)  # of what ZooKeeper allows
parts = st.text(allowed, min_size=1, max_size=8).filter(lambda part: part not in (".", ".."))
paths = (
    st.lists(parts, min_size=1, max_size=4)
    .filter(lambda names: names[0] != "zookeeper")
    .map(lambda names: "/" + "/".join(names))
)
anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
options = st.dictionaries(st.text(NAME + "_", min_size=1, max_size=8), anything, max_size=3)
wheres = st.builds(
    Where, st.just("zk"), paths, st.lists(servers, min_size=1, max_size=4, unique=True).map(tuple), st.none(), options
)


@calm
@given(wheres)
def test_an_ensemble_survives_being_written_and_read(where: Where) -> None:
    assert parse(str(where)) == where


@calm
@given(st.text(NAME + "_", min_size=1, max_size=1), st.text(NAME + "._-", max_size=20), options)
def test_this_host_survives_being_written_and_read(first: str, rest: str, given_options: dict[str, str]) -> None:
    where = Where("local", first + rest, options=given_options)
    assert parse(str(where)) == where


@calm
@given(wheres, anything.filter(bool), anything)
def test_credentials_survive_when_they_are_encoded(where: Where, user: str, password: str) -> None:
    text = str(where).replace("zk://", f"zk://{quote(user, safe='')}:{quote(password, safe='')}@", 1)
    again = parse(text)
    assert again.credentials == (user, password)
    assert str(again) == str(where)


# ---------------------------------------------------------------------- no password is ever shown

SPECIAL = "/?@:%&=,[]# \\'\"\n"
cores = st.text(NAME, min_size=8, max_size=12)
specials = st.text(SPECIAL + "ab1", max_size=4)


@st.composite
def passwords(draw: st.DrawFn) -> tuple[str, str]:
    """A password as written, and the part of it that is looked for."""
    core = draw(cores)
    password = draw(specials) + core + draw(specials)
    return (quote(password, safe="") if draw(st.booleans()) else password), core


PLACES = [
    "zk://me:{}@zk1/a",
    "zk://me:{}@zk1",
    "zk://me:{}@zk1:port/a",
    "zk://me:{}@zk1:99999/a",
    "zk://me:{}@zk 1/a",
    "zk://me:{}@/a",
    "zk://me:{}@[::1/a",
    "zk://me:{}@zk1,zk1/a",
    "zk://me:{}@zk1/a//b",
    "zk://me:{}@zk1/a?b",
    "zk://me:{}@zk1/a?tick=x",
    "zk://me:{}@zk1/a?x=1&x=2",
    "zk://me:{}@zk1/a?identity=me@here",
    "zk://:{}@zk1/a",
    "zk://{}@zk1/a",
    "zks://me:{}@zk1/a",
    "zk:me:{}@zk1/a",
    "zk:/me:{}@zk1/a",
    "me:{}@zk1/a",
    "//me:{}@zk1/a",
    "http://me:{}@zk1/a",
    "local:me:{}@zk1/a",
    "local://me:{}@zk1/a",
    "local:me:{}@zk1",
]
# The "@host" was forgotten. Text and nothing else tells a password from a host and port, so what is special stays out.
WITHOUT_HOST = [
    "zk://me:{}",
    "zk://me:{}/a",
    "zk://zk1,me:{}/a",
    "http://me:{}/a",
    "me:{}",
    "me:{}/a",
    "zk://m e:{}/a",
    "zks://me:{}",
]


def read(text: str, *, path_required: bool) -> Where | ValueError:
    try:
        return parse(text, path_required=path_required)
    except ValueError as error:
        return error


def assert_not_shown(text: str, core: str) -> None:
    for path_required in (True, False):
        result = read(text, path_required=path_required)
        assert core not in str(result) + repr(result)
        if isinstance(result, ValueError):
            assert result.__context__ is None or result.__suppress_context__
        else:
            assert core not in result.election
            assert result.credentials is not None


@calm
@given(st.sampled_from(PLACES), passwords())
@example("zk://me:{}@zk1/a", ("abcdef/ghijkl?x", "ghijkl"))
@example("zk://me:{}@zk1/a", ("1/secrets?x=y", "secrets"))  # as if it were a port, a path and an option
@example("zk://me:{}@zk1/a", ("1?secrets=y", "secrets"))
@example("local:me:{}@zk1/a", ("secrets?x=1", "secrets"))
def test_a_password_is_never_shown(place: str, password: tuple[str, str]) -> None:
    written, core = password
    assume(core not in place)
    assert_not_shown(place.format(written), core)


@calm
@given(st.sampled_from(WITHOUT_HOST), cores, st.text("%:#&= ", max_size=3))
def test_a_password_is_not_shown_where_its_host_was_forgotten(place: str, core: str, special: str) -> None:
    assert_not_shown(place.format(core + special), core)
    assert_not_shown(place.format(core + special + "%40zk1"), core)  # the '@' that should have stayed raw


def test_a_number_too_long_for_a_port_may_be_a_password() -> None:
    assert_not_shown("zk://me:12345678/a", "12345678")
    assert_not_shown("zk://me:00002181/a", "2181/")
