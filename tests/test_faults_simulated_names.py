"""Servers whose names do not resolve, or lead elsewhere than before, in virtual time."""

import asyncio
import socket
from typing import Any, cast

from simulated_candidates import Candidate
from test_faults_simulated import every_seed
from test_simulated_elections import TIMEOUT, Scene

from aioha.testing.simulated import Server


class Names:
    """What a name server says; `where` as an ensemble has it. None: there is no such host (any more)."""

    def __init__(self, scene: Scene, **servers: Server | None) -> None:
        self.servers = servers
        loop = scene.simulation.loop
        assert loop.connect is not None
        connect = loop.connect

        async def resolve_and_connect(factory: Any, name: Any, port: Any) -> Any:
            server = self.servers[name]
            if server is None:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return await connect(factory, server.host.address, port)

        loop.connect = resolve_and_connect

    def where(self, path: str) -> str:
        return "zk://" + ",".join(f"{name}:2181" for name in self.servers) + path


def candidate_by(names: Names, scene: Scene) -> Candidate:
    made = Candidate(scene.history, cast("Any", names), "c1")
    scene.candidates.append(made)
    return made


def test_names_that_do_not_resolve_for_a_while() -> None:
    async def play(scene: Scene) -> None:
        names = Names(scene, a=None, b=None)
        candidate = candidate_by(names, scene)
        await asyncio.sleep(10.0)
        assert not scene.history.intervals
        names.servers["b"] = scene.ensemble.servers[1]
        await scene.history.until(1)
        names.servers["b"] = None  # connections that there are do not mind
        await asyncio.sleep(3 * TIMEOUT)
        assert len(scene.history.working) == 1
        scene.network.reset(candidate.host, scene.ensemble.servers[1].name)
        await asyncio.sleep(3 * TIMEOUT)
        assert not scene.history.working, "nobody to ask: its lease has ended"
        names.servers["a"] = scene.ensemble.servers[0]
        await scene.history.until(2)

    every_seed(play)


def test_servers_that_move_to_other_addresses() -> None:
    async def play(scene: Scene) -> None:
        one, two, three = scene.ensemble.servers
        names = Names(scene, a=one)
        candidate = candidate_by(names, scene)
        await scene.history.until(1)
        for old, new in ((one, two), (two, three), (three, one)):
            await asyncio.sleep(TIMEOUT)
            names.servers["a"] = new
            old.kill()
            await asyncio.sleep(TIMEOUT)
            assert candidate.server == "a"
            old.start()
            await scene.ensemble.ready()
        assert len(scene.history.intervals) == 1, "the session moves along"

    every_seed(play)
