"""What every layout does to znodes: read replies, create parents, explain refusals."""

import asyncio
from collections.abc import Sequence
from typing import Any

from ...errors import LayoutMismatch, SessionFailed
from ...session import ZooKeeperSession
from ...wire import requests
from ...wire.errors import ConnectionLoss, NoAuth, NodeExists, NoNode, ResponseError, SessionExpired, SessionMoved
from ...wire.requests import Stat

__all__ = ["PASSING", "commit_something", "ensure", "explain_refusal", "ignore", "mismatch", "stat_or_none"]

# What passes by itself: attach again and look.
PASSING = (ConnectionLoss, SessionExpired, SessionMoved, ConnectionError)

# Children by which other software's elections are known; for a diagnosis, never for a decision.
_MARKS = {
    "-latch-": ("Curator LeaderLatch", "latch"),
    "-lock-": ("Curator LeaderSelector or go-zookeeper", "selector or go-zk"),
    "__lock__": ("kazoo", "kazoo"),
    "ActiveStandbyElectorLock": ("Hadoop", "hadoop"),
    "n_": ("ZooKeeper's LeaderElectionSupport", "zk-recipes"),
}


def ignore(event: int, path: str) -> None:
    """A watch that nobody waits for."""


async def stat_or_none(reply: "asyncio.Future[Any]") -> Stat | None:
    """The reply to an `exists` already sent; None where there is no node."""
    try:
        return requests.stat_of(await reply)
    except NoNode:
        return None


async def commit_something(session: ZooKeeperSession) -> None:
    """After this, what the attached server shows is not older than anything this session asked for before."""
    await session.send(requests.multi(requests.check("/", -1)))  # refused or not, it takes a zxid


async def ensure(session: ZooKeeperSession, path: str, acl: Sequence[Any] | None) -> None:
    """Create a persistent node and its parents where they are missing. Raises `ResponseError`, `ConnectionError`."""
    if not path:
        return
    parts = path.strip("/").split("/")
    ancestors = ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    replies = [session.send(requests.create(each, b"", acl=acl)) for each in ancestors]
    refusal: NoAuth | None = None
    for reply in replies:
        try:
            await asyncio.shield(reply)
        except NodeExists:
            pass
        except NoAuth as error:  # servers ask for the right to create before they say that it exists
            refusal = error
        except NoNode:
            if refusal is None:  # deleted under our hands
                raise
    if refusal is not None and await stat_or_none(session.send(requests.exists(path))) is None:
        raise refusal


def explain_refusal(error: ResponseError, path: str, identity: str) -> SessionFailed:
    """A refusal that trying again would not mend."""
    if isinstance(error, NoAuth):
        return SessionFailed(
            f"no permission for {path} (candidate {identity}); check its ACL and the credentials in `where`"
        )
    return SessionFailed(f"the servers refused {path}: {error} (candidate {identity})")


async def mismatch(session: ZooKeeperSession, path: str) -> LayoutMismatch:
    """The diagnosis for a node that cannot be a leader's node of the `ephemeral` layout."""
    children: list[str] = (await session.send(requests.children(path))).children
    found = sorted(children)[:3]
    kind, layout = next((known for mark, known in _MARKS.items() for child in children if mark in child), (None, None))
    what = f"the root of a {kind} election" if kind else "a node that no session owns"
    inside = f" (it holds {', '.join(found)})" if found else ""
    advice = f"choose layout={layout}, or" if kind else "choose" if found else "delete it, if nothing needs it, or choose"
    return LayoutMismatch(
        f"{path} is {what}{inside}, and layouts ephemeral and mooon need the path for themselves: {advice} another path"
    )
