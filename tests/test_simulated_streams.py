"""Single frames of simulated streams: lost, cut, in pieces; and too many connections."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Generator

import pytest
from simulated_client import Raw
from simulated_numbers import CREATE, EXISTS, MULTI, OPEN
from simulated_transcript import Transcript
from test_simulated_elections import TIMEOUT, Scene, played

from aioha.testing.simulated import SimulatedEnsemble, Simulation, run

ROOT = "/x"
Play = Callable[[Simulation, SimulatedEnsemble], Awaitable[None]]


def simulated(play: Play, **options: int) -> None:
    """On a lone server. The same seed must give the same bytes at the same times."""

    async def main(simulation: Simulation) -> str:
        await play(simulation, await simulation.ensemble(1, **options))
        return simulation.fingerprint

    assert run(main) == run(main)


async def client(transcript: Transcript | None = None, like: Raw | None = None) -> Raw:
    return await Raw(transcript or Transcript(ROOT), "c", ("zk1", 2181)).connect(30.0, like=like)


@contextlib.contextmanager
def hangs_up(raw: Raw) -> Generator[None]:
    """What is asked in this block is not answered."""
    before = len(raw._transcript.lines)
    yield
    assert raw._transcript.lines[before:] == ["c: hung up"]


def test_a_dropped_reply_is_of_something_that_was_done() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        raw = await client()
        await raw.create(ROOT)
        simulation.network.drop_reply("main", "zk1", CREATE)
        await raw.exists(ROOT)
        with hangs_up(raw):
            await raw.create(f"{ROOT}/a")
        again = await client(like=raw)
        await again.create(f"{ROOT}/b")
        assert ensemble.servers[0].tree.get(f"{ROOT}/a") is not None
        assert ensemble.servers[0].tree.get(f"{ROOT}/b") is not None, "only one is dropped"
        await again.close()

    simulated(play)


def test_a_dropped_request_was_never_made() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        raw = await client()
        simulation.network.drop_request("main", "zk1", lambda op: op in (CREATE, MULTI), containing=b"/a")
        await raw.create(ROOT)
        with hangs_up(raw):
            await raw.create(f"{ROOT}/a")
        await asyncio.sleep(1)
        again = await client(like=raw)
        await again.create(f"{ROOT}/ab")
        assert ensemble.servers[0].tree.get(f"{ROOT}/a") is None
        assert ensemble.servers[0].tree.get(f"{ROOT}/ab") is not None
        await again.close()

    simulated(play)


@pytest.mark.parametrize("size", [0, 3, 4, 19, 25])
def test_a_reply_is_cut_in_the_middle(size: int) -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        raw = await client()
        simulation.network.truncate("zk1", "main", size)
        raw.send(CREATE, raw.packed(CREATE, ROOT, b"", 0, OPEN))
        assert len(await raw._reader.read()) == size, "and then the end"
        await raw.shut()
        again = await client(like=raw)
        assert ensemble.servers[0].tree.get(ROOT) is not None
        await again.close()

    simulated(play)


def test_half_a_request_is_none() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        raw = await client()
        simulation.network.truncate("main", "zk1", 20)
        with hangs_up(raw):
            await raw.create(ROOT)
        again = await client(like=raw)
        assert ensemble.servers[0].tree.get(ROOT) is None
        await again.close()

    simulated(play)


def test_single_bytes_make_the_same_frames() -> None:
    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        network = simulation.network
        for pieces in (False, True):
            transcripts.append(Transcript(ROOT))
            if pieces:
                network.fragment("main", "zk1")
                network.fragment("zk1", "main")
            raw = await client(transcripts[-1])
            await raw.create(ROOT, b"some data")
            await raw.get(ROOT)
            await raw.exists(f"{ROOT}/none")
            await raw.delete(ROOT)
            await raw.close()
        network.heal()

    transcripts = list[Transcript]()
    simulated(play)
    assert transcripts[0].lines == transcripts[1].lines


def test_a_slow_link_has_a_rate() -> None:
    """320 bytes a second, whatever the size of what is sent; nothing is overtaken, and `heal` ends it."""

    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        raw = await client()
        simulation.network.fragment("main", "zk1", 32, 0.1)
        begun = simulation.clock()
        for number in range(10):
            raw.send(CREATE, raw.packed(CREATE, f"/{number}", bytes(300), 0, OPEN))
        await raw.answers()
        sent = 10 * (4 + 8 + 4 + 2 + 4 + 300 + 4 + 4 + 4 + 5 + 4 + 6 + 4)
        assert simulation.clock() - begun == pytest.approx(sent / 320, rel=0.1)
        simulation.network.heal("main")
        begun = simulation.clock()
        await raw.ask(EXISTS, raw.packed(EXISTS, "/9", False))
        assert simulation.clock() - begun < 0.01
        await raw.close()

    simulated(play)


def test_too_many_connections_from_one_address() -> None:
    """As maxClientCnxns: a connection is made, and reset. Other hosts are not meant."""

    async def play(simulation: Simulation, ensemble: SimulatedEnsemble) -> None:
        first, second = await client(), await client()
        third = Transcript(ROOT)
        await client(third)
        assert third.lines == ["c: hung up instead of a session"]
        with simulation.on("elsewhere"):
            fourth = await asyncio.create_task(client())
        assert fourth.id
        await first.close()
        fifth = await client()
        assert fifth.id
        for raw in (second, fourth, fifth):
            await raw.close()

    simulated(play, max_client_connections=2)


def test_the_reply_to_the_bid_is_lost() -> None:
    """The candidate owns the leader's node, and learns of it on its next connection."""

    async def play(scene: Scene) -> None:
        first = await scene.leading(standbys=1)
        second = scene.candidates[1]
        for server in scene.ensemble.servers:
            scene.network.drop_reply(second.host, server.name, MULTI, containing=b"/election.aioha/seat")
        await first.stop()
        began, ended = (await scene.history.until(2)).begun, scene.history.intervals[0].ended
        assert ended is not None
        assert began - ended < TIMEOUT, "and need not wait for its own session to expire"

    assert played(play, 1) == played(play, 1)
