"""What is thought of a record that nobody can read: on replies as servers give them, without servers."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from aioha.elections.zookeeper.ledger import Ledger, Names
from aioha.hearing import Hearing
from aioha.settings import GRACE_SHARE


async def test_of_an_unreadable_record_is_thought_what_is_safe_and_no_more() -> None:
    """Whose work it was is not known: it is given as long as any work may take, and a token above all that has ended, but
    none that would use up what is left of them.
    """
    session = SaysOnce(b"rubbish", b"900 5", timeout=8.0, czxid=100, mzxid=700, version=6)
    view = await Ledger(cast(Any, session), Names("/p")).read()
    assert view is not None
    assert (view.unreadable, view.version) == (b"rubbish", 6)
    assert view.settle(view.ended) == 8.0 * GRACE_SHARE + Hearing().within
    assert view.token == 700 + (900 - 100)  # the node cannot have lifted tokens by more than that
    untouched = SaysOnce(b"rubbish", b"", timeout=8.0, czxid=100, mzxid=700, version=6)
    view = await Ledger(cast(Any, untouched), Names("/p")).read()
    assert view is not None
    assert view.token == 700


async def test_how_long_its_writer_may_need_is_told_when_it_is_read() -> None:
    """A new session learns how far servers are while it asks for the record."""
    session = SaysOnce(b"rubbish", b"", timeout=8.0, czxid=100, mzxid=700, version=6)
    ledger = Ledger(cast(Any, session), Names("/p"))
    session.hearing.relayed(0.0, 0.5)
    view = await ledger.read()
    assert view is not None
    assert view.settle(view.ended) == 8.0 * GRACE_SHARE + session.hearing.within > 8.0 * GRACE_SHARE + Hearing().within


class SaysOnce:
    """A session whose servers answer with these two nodes: the record, and what was written about its end."""

    def __init__(self, record: bytes, ended: bytes, *, timeout: float, czxid: int, mzxid: int, version: int) -> None:
        self.timeout = timeout
        self.hearing = Hearing()
        stat = SimpleNamespace(
            created_zxid=czxid,
            last_modified_zxid=mzxid,
            created=0,
            modified=0,
            version=version,
            ephemeral_owner=0,
            num_children=2,
            child_version=2,
        )
        self._replies = [SimpleNamespace(data=data, stat=stat) for data in (record, ended)]

    def send(self, _request: object) -> "asyncio.Future[Any]":
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        reply.set_result(self._replies.pop(0))
        return reply
