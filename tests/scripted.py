"""A session whose servers answer as a script says, and requests in words: for what only a few exact replies can show."""

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import aiozk

from aioha.hearing import Hearing
from aioha.session import SessionState
from aioha.testing.simulated import Simulation, run
from aioha.testing.simulated.acl import OPEN, Entry
from aioha.testing.simulated.codes import Flag, Op
from aioha.testing.simulated.jute import Reader
from aioha.testing.simulated.requests import Create, read_create, read_multi, read_versioned
from aioha.wire import requests
from aioha.wire.errors import ConnectionLoss, ResponseError, RolledBack, SessionExpired

__all__ = [
    "DONE",
    "READABLE",
    "SILENCE",
    "Scripted",
    "Sessions",
    "failing",
    "got",
    "in_words",
    "listed",
    "node",
    "script",
    "timed",
]

DONE = SimpleNamespace(responses=[])  # the reply to a `multi` that was carried out
SILENCE = SimpleNamespace()  # in the place of a reply: there is none yet
READABLE: Any = [aiozk.ACL.make("world", "anyone", read=True)]  # an ACL for new nodes, as users give one
_NAMES = {Op.EXISTS: "exists", Op.GET: "get", Op.CHILDREN: "children", Op.CHILDREN2: "children", Op.SYNC: "sync"}
_VERSIONED = {Op.DELETE: "delete", Op.SET: "set", Op.CHECK: "check"}


def in_words(request: Any) -> str:
    """What travels, as short as it can be said. A version that is not named is any."""
    data = request.serialize(0)
    reader, op = Reader(data[8:]), int.from_bytes(data[4:8], "big", signed=True)
    if op == Op.MULTI:
        return " + ".join(map(_operation, read_multi(reader)))
    if op == Op.CREATE:
        return _operation(read_create(op, reader))
    if op in _VERSIONED:
        return _operation(read_versioned(op, reader))
    if op not in _NAMES:
        return {Op.PING: "ping", Op.SET_WATCHES: "set watches", Op.CLOSE: "close"}[op]
    text = f"{_NAMES[op]} {reader.text()}"
    return f"{text} watch" if op != Op.SYNC and reader.boolean() else text


def _operation(operation: Any) -> str:
    if not isinstance(operation, Create):
        text = f"{_VERSIONED[operation.op]} {operation.path}"
        text += f" {_data(operation)}" if operation.op == Op.SET else ""
        return text if operation.version == -1 else f"{text} at {operation.version}"
    text = f"create {operation.path} {_data(operation)}"
    text += " ephemeral" if operation.flags & Flag.EPHEMERAL else ""
    text += " sequential" if operation.flags & Flag.SEQUENCE else ""
    return text if tuple(operation.acl) == OPEN else f"{text} for {_who(operation.acl)}"


def _data(operation: Any) -> str:
    return "null" if operation.data is None else repr(operation.data.decode())


def _who(acl: Any) -> str:
    return ", ".join(f"{each.scheme}:{each.id}={each.perms}" for each in acl if isinstance(each, Entry))


def _stat(czxid: int, mzxid: int, version: int, owner: int, since: float, children: int, changes: int) -> Any:
    return SimpleNamespace(
        created_zxid=czxid,
        last_modified_zxid=mzxid,
        created=round(since * 1000),
        modified=round((since + 0.25) * 1000),
        version=version,
        ephemeral_owner=owner,
        num_children=children,
        child_version=changes,
    )


def node(
    czxid: int = 1,
    *,
    mzxid: int = 0,
    version: int = 0,
    owner: int = 0,
    since: float = 0.0,
    children: int = 0,
    changes: int = 0,
) -> Any:
    """The reply to an `exists`."""
    return SimpleNamespace(stat=_stat(czxid, mzxid or czxid, version, owner, since, children, changes))


def got(data: bytes | None, czxid: int = 1, **more: Any) -> Any:
    """The reply to a `get`; as `node`."""
    return SimpleNamespace(data=data, stat=node(czxid, **more).stat)


def listed(*children: str) -> Any:
    return SimpleNamespace(children=list(children))


def failing(index: int, error: ResponseError) -> Any:
    """The reply to a `multi` whose request of this index did not pass."""
    return SimpleNamespace(responses=[*(RolledBack() for _ in range(index)), error])


class Scripted:
    """Stands for an attached `ZooKeeperSession` and for its connection.

    `script`: what is answered, in this order: a reply, an error, or a function of this session that does something first.
    `asked`: all requests, in words. `watchers`: who was given with the watching ones.
    """

    def __init__(self, *script: Any, timeout: float = 8.0, session_id: int = 7) -> None:
        self.id = session_id
        self.timeout = timeout
        self.hearing = Hearing()
        self.hearing.attached(0.0, 0.5, created=False)
        self.hearing.answered(0.0, 0.5)
        self.zxid = 1000
        self.why = "the cable was cut"
        self.state = SessionState.CONNECTED
        self.lost: str | None = None
        self.asked = list[str]()
        self.watchers = list[Any]()
        self.forgotten = list[Any]()
        self.listeners = list[Callable[[], None]]()
        self.waited = 0  # times that somebody waited until a server is attached
        self.heartbeat: Any = Beats()
        self.lease: Any = SimpleNamespace(deadline=100.0, length=6.0)
        self._script = list(script)

    @property
    def connection(self) -> "Scripted":
        if self.state.is_dead:
            raise SessionExpired
        if self.state is not SessionState.CONNECTED:
            raise ConnectionError(self.why)
        return self

    def send(self, request: Any, then: Any = None) -> "asyncio.Future[Any]":
        words, _ = in_words(request), self.connection
        self.asked.append(words)
        assert self._script, f"nobody expected to be asked: {words}"
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer = self._script.pop(0)
        if callable(answer):
            answer = answer(self)
        if isinstance(answer, Exception):
            reply.set_exception(answer)
            reply.exception()  # a reply that nobody waits for any more is no mystery
        elif answer is not SILENCE:
            reply.set_result(answer)
        return reply

    def watching(self, request: Any, on_event: Any) -> "asyncio.Future[Any]":
        self.watchers.append(on_event)
        return self.send(request)

    def exists(self, path: str, on_event: Any) -> "asyncio.Future[Any]":
        return self.watching(requests.exists(path, watch=True), on_event)

    async def attached(self) -> None:
        self.waited += 1
        if self.state.is_dead:
            raise SessionExpired

    def forget(self, on_event: Any) -> None:
        self.forgotten.append(on_event)

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def become(self, state: SessionState) -> None:
        """Of this state from now on; everybody hears of it."""
        self.state = state
        for listener in list(self.listeners):
            listener()

    def expire(self, _: Any = None) -> Exception:
        """As an answer: none, since the session has died."""
        self.become(SessionState.EXPIRED)
        return ConnectionLoss()

    def assert_asked(self, *words: str) -> None:
        """Exactly this, and all of the script was needed."""
        assert self.asked == list(words), "\n".join(["asked was:", *self.asked])
        assert not self._script, f"never asked for: {self._script}"


class Sessions:
    """Stands for the `Sessions` of who looks on. `live`: one after another; the last one for ever."""

    def __init__(self, *live: Scripted) -> None:
        self.why = "not connected yet"
        self._live = list(live)

    async def live(self) -> Any:
        if not self._live:
            await asyncio.Event().wait()
        return self._live.pop(0) if len(self._live) > 1 else self._live[0]


class Beats:
    """Stands for a session's `Heartbeat`."""

    def __init__(self) -> None:
        self.pace = 1.0
        self.stakes = list[Any]()
        self.hurries = list[bool]()  # whether each one of them was to be proved at once
        self.enough = list[float]()  # of each anchor
        self.proved = list[tuple[Any, ...]]()
        self.proofs = list["asyncio.Future[None]"]()

    def hold(self, stake: Any, *, at_once: bool = True) -> None:
        self.stakes.append(stake)
        self.hurries.append(at_once)

    def drop(self, stake: Any) -> None:
        if stake in self.stakes:
            self.stakes.remove(stake)

    def anchor(self, *, enough: float = float("inf")) -> str:
        self.enough.append(enough)
        return f"anchor {len(self.enough)}"

    async def prove(self, connection: Any, anchor: Any, write: Any, path: str) -> Any:
        self.proved.append((connection, anchor, path))
        return await write

    def next_proof(self) -> "asyncio.Future[None]":
        self.proofs.append(asyncio.get_running_loop().create_future())
        return self.proofs[-1]


def script(*answers: Any, **options: Any) -> Any:
    """A `Scripted`, for what asks for a session."""
    return Scripted(*answers, **options)


def timed(play: Callable[[], Coroutine[Any, Any, Any]], seed: int = 1) -> float:
    """Play it in virtual time; how many seconds it took."""

    async def main(simulation: Simulation) -> float:
        begun = simulation.clock()
        await play()
        return round(simulation.clock() - begun, 9)

    return run(main, seed)
