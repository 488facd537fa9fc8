"""Terms on a scripted session, for tests of what a term says, hears and does."""

import asyncio
from typing import Any

from scripted import script

from aioha import Predecessor
from aioha.elections.protocol import Leader
from aioha.elections.zookeeper.grant import SessionGrant
from aioha.elections.zookeeper.ground import Ground
from aioha.elections.zookeeper.oldterms import OldTerms
from aioha.ended import Ended
from aioha.settings import Settings
from aioha.wire import requests

__all__ = ["OLD", "Guardian", "granted"]

OLD = Predecessor("old", b"", 40, ended_cleanly=False)


class Guardian:
    """Stands for a guardian; what it was told, in words. It has no process."""

    def __init__(self) -> None:
        self.told = list[Any]()

    def know(self, key: Any, value: Any) -> None:
        self.told.append(("know", key, value))

    def forget(self, key: Any) -> None:
        self.told.append(("forget", key))

    def begin(self, lease: Any, grace: float) -> None:
        self.told.append(("begin", lease, grace))

    def end(self, lease: Any) -> None:
        self.told.append(("end", lease))

    def attend(self, session: Any) -> None:
        """Of no importance here."""

    def serve(self, servers: Any, first: Any) -> None:
        """Of no importance here."""

    def start(self) -> None:
        """Of no importance here."""

    async def stop(self) -> None:
        """Of no importance here."""


def granted(session: Any = None, **options: Any) -> SessionGrant:
    """A term with a record, whose node is watched already, unless told otherwise.

    Its release is noted in `grant.released`, and waits for `grant.gone`.
    """
    loop = asyncio.get_running_loop()
    ground = Ground("/e", Settings(identity="me"))
    gone, released = loop.create_future(), list[SessionGrant]()

    def give_up(grant: SessionGrant) -> "asyncio.Future[None]":
        released.append(grant)
        return gone

    given: dict[str, Any] = {
        "path": "/e",
        "node": "/e/n",
        "node_version": 1,
        "czxid": 50,
        "token": 55,
        "number": 3,
        "predecessor": OLD,
        "old_terms": OldTerms(ground, Ended(8), (OLD,)),
        "settle": 2.0,
        "stop_grace": 1.0,
        "checks": [requests.check("/e.aioha", 6)],
        "has_seat": True,
        "no_transactions": None,
        "acl": None,
        "give_up": give_up,
        "guardian": None,
        "last_will": lambda _: None,
        **options,
    }
    stake, is_watched = given.pop("stake", None), given.pop("is_watched", True)
    grant: Any = SessionGrant(script() if session is None else session, loop.time, **given)
    grant.begin(Leader("me", b"data", grant.token, 12.5), stake, is_watched=is_watched)
    grant.released, grant.gone = released, gone
    return grant
