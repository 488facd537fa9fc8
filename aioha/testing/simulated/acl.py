"""Who may do what to a node: ZooKeeper's ACL with the schemes world, digest, auth and ip."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .codes import Error, Perm, Refusal
from .jute import Reader, integer, text

__all__ = ["OPEN", "Acl", "Entry", "Identity", "digest_identity", "entry", "fixed", "hidden", "packed", "require"]

Identity = tuple[str, str]  # scheme and id


@dataclass(frozen=True, slots=True)
class Entry:
    """Permissions of one identity."""

    perms: int
    scheme: str
    id: str


Acl = tuple[Entry, ...]
OPEN: Acl = (Entry(Perm.ALL, "world", "anyone"),)


def entry(reader: Reader) -> Entry:
    return Entry(reader.integer(), reader.text(), reader.text())


def packed(acl: Acl) -> bytes:
    return integer(len(acl)) + b"".join(integer(each.perms) + text(each.scheme) + text(each.id) for each in acl)


def digest_identity(credentials: bytes) -> Identity:
    """Of "user:password"."""
    user = credentials.split(b":", 1)[0].decode()
    return "digest", f"{user}:{base64.b64encode(hashlib.sha1(credentials).digest()).decode()}"  # noqa: S324 - ZooKeeper's choice


def fixed(acl: Iterable[Entry], identities: Sequence[Identity]) -> Acl:
    """As it will be kept: without duplicates, `auth` replaced by who asks. Raises INVALIDACL."""
    result: list[Entry] = []
    for each in dict.fromkeys(acl):
        if (each.scheme, each.id) == ("world", "anyone"):
            result.append(each)
        elif each.scheme == "auth":
            who = [identity for identity in identities if identity[0] != "ip"]
            if not who:
                raise Refusal(Error.INVALID_ACL)
            result += (Entry(each.perms, *identity) for identity in who)
        elif (each.scheme == "digest" and each.id.count(":") == 1) or (each.scheme == "ip" and each.id):
            result.append(each)
        else:
            raise Refusal(Error.INVALID_ACL)
    if not result:
        raise Refusal(Error.INVALID_ACL)
    return tuple(result)


def require(perm: int, acl: Acl, identities: Sequence[Identity]) -> None:
    """Raises NOAUTH unless one of the identities may."""
    for each in acl:
        if each.perms & perm and ((each.scheme, each.id) == ("world", "anyone") or (each.scheme, each.id) in identities):
            return
    if acl:
        raise Refusal(Error.NO_AUTH)


def hidden(acl: Acl) -> Acl:
    """As shown to who may not administer the node."""
    return tuple(
        Entry(each.perms, each.scheme, each.id.split(":")[0] + ":x") if each.scheme == "digest" else each for each in acl
    )
