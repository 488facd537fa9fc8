"""A candidate as a process of its own: `python -m chaos.candidate ORDERS_AS_JSON`.

Its work steps each 20 ms, writes to the fencing store from a thread that no cancellation reaches (so that a thawed
process tries stale writes), and writes to ZooKeeper in fenced transactions. SIGTERM resigns and ends it, SIGUSR1 resigns.

A step of the work is dated by the moment right before the library is asked whether it may run: between the answer and the
step a process can be stopped for seconds, which no check whatsoever prevents (fencing does), and which is not judged here.
"""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aioha import Elector, Fenced, Term, Unavailable
from aioha.clock import boottime
from aioha.elections.zookeeper.grant import SessionGrant
from aioha.steps import _Guarded
from aioha.testing.history import Kind

from .account import Account
from .stalls import note_stalls

__all__ = ["Orders"]

STEP = 0.02
TRANSACTION = 0.2
STALLED = 0.2  # seconds: half of the time that work has to end (a tenth of a session timeout of 4 s)


@dataclass(frozen=True, slots=True)
class Orders:
    """where, options: the elector's. facts: our file. store: its socket. writes: the nodes of our transactions are below
    it. groups: `cgroup.procs` of the control groups to enter.
    """

    who: str
    where: str
    facts: str
    store: str
    writes: str
    groups: list[str] = field(default_factory=list[str])
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def line(self) -> str:
        return json.dumps(asdict(self))


class Candidate:
    """The process, as long as it lives."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._asked = 0.0  # when the step that runs was about to be allowed
        self._account = Account(Path(orders.facts))
        self._store = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._store.connect(orders.store)
        note_stalls(self._account, orders.who, STALLED)

    async def run(self) -> None:
        self._note_releases()
        self._note_steps()
        orders = self._orders
        async with Elector(orders.where, identity=orders.who, connect_timeout=float("inf"), **orders.options) as elector:
            leading = asyncio.create_task(elector.lead(self._work))
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, leading.cancel)
            resigning = set[asyncio.Task[None]]()
            loop.add_signal_handler(signal.SIGUSR1, lambda: resigning.add(asyncio.create_task(elector.resign())))
            self._say("up")
            await asyncio.wait({leading})
            if not leading.cancelled():
                leading.result()

    async def _work(self, term: Term) -> None:
        who, token, grant = self._orders.who, term.token, term._grant
        assert isinstance(grant, SessionGrant)
        self._account.tell(Kind.BEGAN, who, token=token, until=grant.deadline, note=str(grant.czxid))
        self._say(f"began {token}")
        stop, why = threading.Event(), ""
        threading.Thread(target=self._write, args=(token, stop), daemon=True).start()
        transactions = asyncio.create_task(self._transact(term))
        try:
            while True:
                await asyncio.sleep(STEP)
                self._account.tell(Kind.STEPPED, who, token=token, until=grant.deadline, at=self._asked)
        except BaseException as error:
            why = str(error)
            raise
        finally:
            stop.set()
            transactions.cancel()
            self._account.tell(Kind.ENDED, who, token=token, until=grant.deadline, note=why)
            self._say("ended")

    def _write(self, token: int, stop: threading.Event) -> None:
        """As threads do: they hear of nothing."""
        while not stop.is_set():
            self._say(f"write {token}")
            time.sleep(STEP)

    async def _transact(self, term: Term) -> None:
        number = 0
        while True:
            number += 1
            try:
                async with term.transaction() as transaction:
                    transaction.create(f"{self._orders.writes}/{term.token}-{number}", b"")
            except Unavailable:
                pass  # it may or may not have been written: both are right
            except Fenced as fenced:
                if fenced.operation is not None:  # nobody else makes these nodes
                    raise
                return  # the work is being told as well
            await asyncio.sleep(TRANSACTION)

    def _note_releases(self) -> None:
        """Each term's, when it begins: by then its work has to have ended."""
        release, seen = SessionGrant.release, set[int]()
        tell, who = self._account.tell, self._orders.who

        def noted(self: SessionGrant) -> "asyncio.Future[None]":
            if self.token not in seen:
                seen.add(self.token)
                tell(Kind.RELEASED, who, token=self.token)
            return release(self)

        SessionGrant.release = noted

    def _note_steps(self) -> None:
        send, candidate = _Guarded.send, self

        def noted(self: _Guarded[Any], value: Any) -> Any:
            candidate._asked = boottime()
            return send(self, value)

        _Guarded.send = noted

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # at the end of the run the store is gone first
            self._store.sendall(f"{self._orders.who} {line}\n".encode())


class _Stamped(logging.Formatter):
    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - the base's name
        return f"{boottime():.6f}"


def main() -> None:
    orders = Orders(**json.loads(sys.argv[1]))
    for group in orders.groups:
        Path(group).write_text("0", "ascii")  # ourselves, and so all that we start
    handler = logging.StreamHandler()
    handler.setFormatter(_Stamped("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    asyncio.run(Candidate(orders).run())


if __name__ == "__main__":
    main()
