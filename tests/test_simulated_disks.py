"""Disks of simulated servers: full ones, and data directories that are older than they were."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from simulated_client import Raw
from simulated_transcript import Transcript
from test_simulated_elections import TIMEOUT, Scene, played

from aioha.testing.simulated import Server, SimulatedEnsemble, Simulation, run
from aioha.testing.simulated.following import Following
from aioha.testing.simulated.leading import Leading
from aioha.testing.simulated.tree import Txn

CLIENTS = list[Raw]()  # of the present run
Play = Callable[[Simulation, SimulatedEnsemble], Awaitable[None]]


def simulated(play: Play, servers: int = 3) -> None:
    async def main(simulation: Simulation) -> tuple[str, list[tuple[float, str]]]:
        ensemble = await simulation.ensemble(servers)
        await play(simulation, ensemble)
        while CLIENTS:
            await CLIENTS.pop().shut()
        return simulation.fingerprint, ensemble.journal

    assert run(main) == run(main)


async def client(server: Server, like: Raw | None = None) -> Raw:
    CLIENTS.append(Raw(Transcript("/"), "c", (server.name, 2181)))
    return await CLIENTS[-1].connect(30.0, like=like)


def has(server: Server, path: str) -> bool:
    return server.tree.get(path) is not None


def test_a_follower_with_a_full_disk_ends_and_the_others_go_on() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        leader, (full, other) = await ensemble.leader(), ensemble.followers()
        raw = await client(leader)
        full.fill_disk()
        assert full.alive, "until it has something to write"
        await raw.create("/a")
        await raw.create("/b")
        assert not full.alive
        full.start()
        await raw.create("/c")
        while full.alive:  # it cannot follow, since that begins with a write
            await raw.ping()
        full.free_disk()
        full.start()
        await ensemble.ready()
        assert full.mode() == "follower"
        assert has(full, "/c")
        assert has(other, "/c")

    simulated(play)


def test_an_epoch_that_cannot_be_written_down_is_not_agreed_to() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        leader, (full, _) = await ensemble.leader(), ensemble.followers()
        before = full.disk.accepted_epoch
        leader.kill()
        while not (isinstance(full.role, Following | Leading) and full.role.front is None):
            await asyncio.sleep(0.0001)
        full.fill_disk()
        while full.alive:
            assert full.disk.accepted_epoch == before
            await asyncio.sleep(0.0001)
        assert full.disk.accepted_epoch == before

    simulated(play)


def test_a_leader_with_a_full_disk_makes_way() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        leader, follower = await ensemble.leader(), ensemble.followers()[0]
        raw = await client(follower)
        await raw.create("/a")
        leader.fill_disk()
        await raw.create("/b")  # the others are a quorum
        await raw.hung_up()
        assert not leader.alive
        assert await ensemble.leader() is not leader
        await ensemble.restore()
        assert leader.mode() == "follower"
        assert all(has(server, "/b") for server in ensemble.servers)

    simulated(play)


def test_a_lone_server_with_a_full_disk_answers_no_write() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        server = ensemble.servers[0]
        raw = await client(server)
        await raw.create("/a")
        server.fill_disk()
        await raw.get("/a")
        assert server.alive, "reading is no writing"
        await raw.create("/b")
        assert raw._transcript.lines[-1] == "c: hung up"
        await ensemble.restore()
        assert has(server, "/a")
        assert not has(server, "/b")

    simulated(play, servers=1)


def test_data_is_put_back_only_while_nobody_uses_it() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        with pytest.raises(RuntimeError, match="zk1 runs"):
            ensemble.servers[0].roll_back(ensemble.servers[0].snapshot())

    simulated(play)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_server_with_older_data_gets_what_it_lacks(number: int) -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        server = ensemble.servers[number]
        raw = await client(ensemble.servers[(number + 1) % 3])
        old = server.snapshot()
        await raw.create("/a")
        server.kill()
        server.roll_back(old)
        assert not has(server, "/a")
        server.start()
        await ensemble.ready()
        assert has(server, "/a")

    simulated(play)


def test_a_quorum_with_older_data_decides() -> None:
    """What only the third one still knows is gone: it must forget what it had applied."""

    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        raw = await client(await ensemble.leader())
        await raw.create("/a")
        old = ensemble.snapshot()
        await raw.create("/b")
        third = ensemble.servers[2]
        for server, disk in zip(ensemble.servers, old, strict=True):
            server.kill()
            if server is not third:
                server.roll_back(disk)
                server.start()
        await ensemble.ready()
        third.start()
        await ensemble.ready()
        assert all(has(server, "/a") and not has(server, "/b") for server in ensemble.servers)
        again = await client(third, like=raw)
        await again.create("/c")
        await again.sync()
        assert all(has(server, "/c") for server in ensemble.servers)

    simulated(play)


def test_all_with_older_data_have_never_heard_of_newer_sessions() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        old = ensemble.snapshot()
        raw = await client(ensemble.servers[0])
        ensemble.roll_back(old)
        await ensemble.ready()
        again = await client(ensemble.servers[0], like=raw)
        assert again.id == 0

    simulated(play)


def test_each_transaction_is_told_once() -> None:
    """Whoever applies it first, and however often others apply it later."""

    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        told = list[Txn]()
        ensemble.on_committed = told.append
        raw = await client(ensemble.servers[0])
        old = ensemble.servers[1].snapshot()
        await raw.create("/a")
        (await ensemble.leader()).kill()
        await ensemble.restore()
        if ensemble.servers[1].alive:
            ensemble.servers[1].kill()
        ensemble.servers[1].roll_back(old)
        await ensemble.restore()
        created = [txn for txn in told if txn.changes and txn.changes[0][1] == "/a"]
        assert len(created) == 1
        assert [txn.zxid for txn in told] == sorted({txn.zxid for txn in told})

    simulated(play)


def test_an_election_outlives_full_disks() -> None:
    async def play(scene: Scene) -> None:
        await scene.leading()
        for server in scene.ensemble.servers:
            server.fill_disk()
            await asyncio.sleep(TIMEOUT)
            assert not server.alive, "the heartbeats are writes"
            server.free_disk()
            server.start()
            await scene.ensemble.ready()
        assert len(scene.history.intervals) == 1

    assert played(play, 2) == played(play, 2)
