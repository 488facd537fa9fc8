"""Where an election is held: one string, the same for library, command line and `AIOHA_WHERE`.

    zk://[user:password@]host[:port][,host[:port]...]/path[?option=value...]
    local:name      local:/abs/path

Pure: text in, a `Where` out, or a `ValueError` that shows the part that is wrong. A password is kept out of every
text this module makes, errors included (what stands behind a host's colon and is too long for a port is not shown: it
is the password where "@host" was forgotten), and anything unknown is refused: who forgets the ensemble must not get a
leader on every host.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

__all__ = ["DEFAULT_PORT", "Server", "Where", "flaw_of", "parse", "path_of"]

DEFAULT_PORT = 2181
LONGEST_PORT = 5  # digits
FORMS = "zk://host[:port],.../path for a ZooKeeper ensemble, or local:name for this host only"
_LOCAL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
# Servers look at UTF-16 units: what lies beyond U+FFFF is a pair of surrogates to them.
_REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?")


@dataclass(frozen=True, slots=True)
class Server:
    """One server of an ensemble."""

    host: str
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Where:
    """A parsed `where`. `str()` gives it back without credentials."""

    scheme: str
    path: str
    servers: tuple[Server, ...] = ()
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def is_local(self) -> bool:
        return self.scheme == "local"

    @property
    def election(self) -> str:
        """The election's name in messages."""
        return f"local:{self.path}" if self.is_local else self.path

    def __str__(self) -> str:
        query = "&".join(f"{key}={quote(value, safe='')}" for key, value in self.options.items())
        path = quote(self.path) if self.path != "/" else ""
        place = self.path if self.is_local else f"//{','.join(map(str, self.servers))}{path}"
        return f"{self.scheme}:{place}" + (f"?{query}" if query else "")


def parse(text: str, *, path_required: bool = True) -> Where:
    """Parse a `where`. `path_required=False` also takes an ensemble without a path.

    Raises `ValueError` naming the bad part.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all type-checked
        raise ValueError(f"where: expected text, got {type(text).__name__}; use {FORMS}")
    try:
        text.encode()
    except UnicodeEncodeError as error:  # bytes of the command line or the environment
        raise ValueError(f"where: what stands at position {error.start} is no UTF-8 text") from None
    scheme, colon, rest = text.partition(":")
    if colon and scheme in ("zk", "zks"):
        return _parse_zookeeper(scheme, rest, path_required)
    if colon and scheme == "local":
        return _parse_local(rest)
    # Behind an unknown scheme anything may be a password.
    shown = _shown(text) if "@" in text or not colon else repr(f"{scheme}:...")
    raise ValueError(f"where: {shown} names no known kind of election; use {FORMS}")


def _shown(text: str) -> str:
    """The text for an error message: everything up to the last "@" may hold a password and is left out."""
    _, at, tail = text.rpartition("@")
    return repr("***@" + tail if at else tail)


def _decoded(text: str, what: str) -> str:
    """%-codes replaced. `what` names the text for the message, which does not show it."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"where: the %-codes of {what} are not UTF-8") from None


def _parse_zookeeper(scheme: str, rest: str, path_required: bool) -> Where:
    if not rest.startswith("//"):
        raise ValueError(f"where: {scheme}: must be followed by //host; use {FORMS}")
    if scheme == "zks":
        raise ValueError("where: zks:// (TLS) is not supported yet; use zk:// on a network that you trust")
    credentials, rest = _split_credentials(rest[2:])
    place, _, query = rest.partition("?")
    authority, slash, path = place.partition("/")
    servers = tuple(_parse_server(part) for part in authority.split(","))
    if len(set(servers)) < len(servers):
        raise ValueError(f"where: a server is named twice in {authority!r}")
    path = _parse_path(_decoded(slash + path, "the path"), path_required)
    return Where(scheme, path, servers, credentials, _parse_options(query))


def _split_credentials(rest: str) -> tuple[tuple[str, str] | None, str]:
    """Cut `user:password@` off the front. The last "@" before the path counts, so a raw "@" in a password works."""
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    userinfo, at, _ = authority.rpartition("@")
    rest = rest[len(userinfo) + len(at) :]
    if "@" in rest:  # of a password with a raw "/" or "?" the rest would be shown as a path or as options
        raise ValueError("where: '@' behind the first '/' or '?'; write '/', '?' and '@' of a password as %2F, %3F, %40")
    if not at:
        return None, rest
    user, colon, password = userinfo.partition(":")
    if not colon or not user:
        raise ValueError("where: credentials must be user:password before the '@' (not shown here)")
    return (_decoded(user, "the user's name"), _decoded(password, "the password")), rest


def _parse_server(text: str) -> Server:
    if not text:
        raise ValueError("where: an empty host in the list of servers; use zk://host1,host2/path")
    if text.startswith("["):
        address, bracket, tail = text[1:].partition("]")
        if not bracket or not _is_ipv6(address) or (tail and not tail.startswith(":")):
            raise ValueError(f"where: server '[{_shown(address)[1:-1]}]': not an IPv6 address in brackets, as in [::1]:2181")
        host, port = address, tail[1:] if tail else None
    else:
        host, colon, tail = text.partition(":")
        port = tail if colon else None
        if ":" in tail:
            raise ValueError(f"where: server '{host}:...': write an IPv6 address in brackets, as in [::1]:2181")
        if not _HOST.fullmatch(host):
            raise ValueError(f"where: server {host!r} is not a host name or address")
    if port is None:
        return Server(host)
    if len(port) > LONGEST_PORT:
        raise ValueError(f"where: server {host!r}: what follows its ':' is no port (not shown; does a '@host' miss?)")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f"where: server {host!r}: port {port!r} is not a number from 1 to 65535")
    return Server(host, int(port))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def path_of(text: str) -> str:
    """Check the path of an election on servers named elsewhere. Raises `ValueError`."""
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
        raise ValueError(f"where: path: expected text, got {type(text).__name__}")
    if not text.startswith("/"):
        raise ValueError(f"where: path {text!r} must begin with '/'")
    return _parse_path(text, True)


def _parse_path(path: str, required: bool) -> str:
    """ZooKeeper's own rules for a path, checked here so that the error comes before any connection."""
    if path in ("", "/"):
        if required:
            raise ValueError("where: no path behind the servers; name the election, as in zk://host/master/billing")
        return "/"
    flaw = flaw_of(path)
    if flaw is not None:
        raise ValueError(f"where: path {path!r} {flaw}")
    if path.split("/")[1] == "zookeeper":
        raise ValueError(f"where: path {path!r}: /zookeeper is the servers' own")
    return path


def flaw_of(path: str) -> str | None:
    """What ZooKeeper does not allow in this path of a node, as the end of a sentence; None: nothing."""
    if not path.startswith("/"):
        return "must begin with '/'"
    if path == "/":
        return None
    parts = path[1:].split("/")
    if "" in parts:
        return "has an empty part (a doubled or trailing '/')"
    if "." in parts or ".." in parts:
        return "has a part '.' or '..', which mean nothing to ZooKeeper"
    return "has a character that ZooKeeper does not allow" if _REFUSED.search(path) else None


def _parse_local(rest: str) -> Where:
    name, _, query = rest.partition("?")
    if name.startswith("//"):
        raise ValueError(f"where: local:// names no host; use {FORMS}")
    if name.startswith("/"):
        if name.endswith("/") or "\0" in name:
            raise ValueError(f"where: local: {_shown(name)} must name a lock file, not a directory")
    elif not _LOCAL_NAME.fullmatch(name):
        user, colon, _ = name.partition(":")  # of credentials, perhaps
        shown = repr(f"{user}:...") if colon else _shown(name)
        raise ValueError(
            f"where: local: {shown}: a name has 1 to 200 letters, digits, '_', '-' and '.'; or give an absolute path"
        )
    return Where("local", name, options=_parse_options(query))


def _parse_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise ValueError(f"where: option {_shown(part)} must read name=value")
        if key in options:
            raise ValueError(f"where: option {_shown(key)} is given twice")
        options[key] = _decoded(value, f"option {_shown(key)}")
    return options
