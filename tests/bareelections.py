"""Elections without electors, on simulated servers: what each candidate asks, what its grants say, and every node.

Links take exactly `ONE_WAY` seconds, so that how long things take counts round trips. In what is shown the election's path
is E, a member's name lacks its GUID, and numbers of seconds are rounded.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from unittest import mock

import pytest
from proof.operator import Operator
from scripted import in_words

from aioha.elections.zookeeper import election_at
from aioha.sessions import Sessions
from aioha.settings import Settings
from aioha.testing.simulated import SimulatedEnsemble, Simulation, Weather, run
from aioha.testing.simulated.acl import OPEN
from aioha.testing.simulated.handles import ACTOR
from aioha.where import parse
from aioha.wire.connection import Connection

__all__ = ["LONGEST", "ONE_WAY", "PATH", "ROUND_TRIP", "Bare", "Scene", "T", "facts", "played", "short"]

PATH = "/service/e"
T = 8.0  # the session timeout, in seconds
ONE_WAY, ROUND_TRIP = 0.05, 0.1
LONGEST = pytest.approx(T / 4 + 0.7)  # seconds that any work of ours may need to end: also to hear that it must


class Scene:
    """One ensemble, its candidates, and what is done to them by hand."""

    def __init__(self, simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        self.simulation = simulation
        self.ensemble = ensemble
        self.operator = Operator(ensemble)
        self.said = dict[str, list[tuple[float, str]]]()
        self.proofs = dict[str, list[float]]()  # when each candidate's heartbeats were to prove its lease
        self.candidates = dict[str, Bare]()

    @property
    def now(self) -> float:
        return round(self.simulation.clock(), 6)

    async def candidate(self, name: str, layout: str = "ephemeral", *, guardian: Any = None, **options: Any) -> "Bare":
        """On a host of its own, and connected."""
        made = self.candidates[name] = Bare(self, name, layout, guardian, options)
        await made.do(made.election.open())
        self.said[name] = []
        return made

    def nodes(self, *, acl: bool = False) -> dict[str, Any]:
        """What lies at the election and beside it, by the rest of its path: data, version, and whose it is."""
        names = {each.sessions.id: name for name, each in self.candidates.items()}
        found = dict[str, Any]()
        for path, node in self.operator.tree.walk():
            if path.startswith(PATH):
                more = ["".join(str(each.perms) for each in node.acl)] if acl and node.acl != OPEN else []
                data = short((node.data or b"").decode())
                found[short(path).removeprefix("E")] = (data, node.version, names.get(node.owner, ""), *more)
        return found

    def data(self, path: str) -> bytes:
        node = self.operator.tree.get(PATH + path)
        assert node is not None
        return node.data or b""

    def czxid(self, path: str = "") -> int:
        node = self.operator.tree.get(PATH + path)
        assert node is not None
        return node.zxid

    def lose_reply(self, who: str, operation: Any, containing: bytes = b"") -> None:
        """The next request of that kind is done, and its reply is lost."""
        for server in self.ensemble.servers:
            self.simulation.network.drop_reply(who, server.name, operation, containing)


class Bare:
    """One candidate."""

    def __init__(self, scene: Scene, name: str, layout: str, guardian: Any, options: dict[str, Any]) -> None:
        self.scene = scene
        self.name = name
        where = parse(scene.ensemble.where(PATH))
        clock = scene.simulation.clock
        given: dict[str, Any] = {"identity": name, "layout": layout, "session_timeout": T, "clock": clock, **options}
        settings = Settings(**given)
        timeout = settings.session_timeout
        self.sessions = Sessions(where.servers, session_timeout=timeout, clock=clock, guardian=guardian)
        self.election = election_at(PATH, settings, self.sessions)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        with self.scene.simulation.on(self.name):
            return asyncio.create_task(coroutine)

    async def do(self, coroutine: Coroutine[Any, Any, Any], bound: float = 100.0) -> Any:
        async with asyncio.timeout(bound):
            return await self.start(coroutine)

    async def win(self, **options: Any) -> Any:
        return await self.do(self.election.win(**options))

    def stand_by(self, **options: Any) -> "asyncio.Task[Any]":
        return self.start(self.election.win(**options))

    def begin_release(self, grant: Any) -> "asyncio.Future[None]":
        """What can be sent of it at once, is."""
        with self.scene.simulation.on(self.name):
            return asyncio.ensure_future(grant.release())

    async def release(self, grant: Any) -> None:
        async with asyncio.timeout(100.0):
            await self.begin_release(grant)

    @property
    def asked(self) -> list[str]:
        """All requests since this was last looked at, but for heartbeats."""
        return [words for _, words in self.asked_since(0.0)]

    def asked_since(self, moment: float) -> list[tuple[float, str]]:
        """The same, and how many seconds after it they were sent."""
        said, self.scene.said[self.name] = self.scene.said[self.name], []
        return [(round(when - moment, 6), words) for when, words in said]

    def crash(self) -> None:
        self.scene.simulation.network.crash(self.name)


def facts(grant: Any) -> dict[str, Any]:
    """All that a grant says of itself."""
    leader, predecessor = grant.leader, grant.predecessor
    return {
        "token": grant.token,
        "number": grant.number,
        "leader": (leader.identity, leader.data, leader.token),
        "predecessor": None if predecessor is None else (predecessor.identity, predecessor.token, predecessor.ended_cleanly),
        "unfenced": [each.token for each in grant.unfenced],
        "settle": round(grant.settle, 6),
        "stop_grace": round(grant.stop_grace, 6),
        "seated": grant.seated,
        "mark": grant.ended_mark,
        "no_transactions": grant.no_transactions,
        "ended": grant.ended,
        "checks": [short(in_words(each)) for each in grant.checks],
    }


def played(play: Callable[[Scene], Awaitable[None]], *, servers: int = 1, seed: int = 1) -> None:
    """Play it, and crash whoever is still there."""

    async def main(simulation: Simulation) -> None:
        scene = Scene(simulation, await simulation.ensemble(servers, tick=1.0))
        send = Connection.send

        def noting(self: Connection, request: Any, *args: Any, **named: Any) -> Any:
            words = short(in_words(request))
            if words.startswith("check E"):
                scene.proofs.setdefault(ACTOR.get(), []).append(scene.now)
            if not _is_heartbeat(words):
                scene.said.setdefault(ACTOR.get(), []).append((scene.now, words))
            return send(self, request, *args, **named)

        with mock.patch.object(Connection, "send", noting):
            await play(scene)
            for candidate in scene.candidates.values():
                candidate.crash()

    run(main, seed, weather=Weather(ONE_WAY, 0.0))


def short(text: str) -> str:
    text = re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.6g}", text.replace(PATH, "E"))
    return re.sub(r"_c_[-0-9a-f]+-(latch|lock)-|[0-9a-f]{32}(__lock__)", lambda found: f"{found[1] or found[2]}-", text)


def _is_heartbeat(words: str) -> bool:
    parts = words.split(" + ")
    return (
        words == "ping" or words.startswith("sync ") or (words != "check /" and all(p.startswith("check ") for p in parts))
    )
