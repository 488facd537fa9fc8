"""Virtual time itself: what it promises to tests, and that nothing gets out."""

import asyncio
import contextvars
import random
import socket
import struct

import anyio
import pytest
from simulated_client import Raw
from simulated_transcript import Transcript

from aioha.testing.simulated import Simulation, Stalled, Weather, run
from aioha.testing.simulated.sessions import password_of


def test_time_passes_at_once_and_exactly() -> None:
    async def main(simulation: Simulation) -> list[float]:
        begun = simulation.clock()
        await asyncio.sleep(86_400)
        with anyio.move_on_after(3600):
            await asyncio.Event().wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.sleep(1)
        return [simulation.clock() - begun, asyncio.get_running_loop().time() - begun]

    assert run(main) == [90_000.5, 90_000.5]


def test_timers_of_one_moment_run_in_their_order() -> None:
    async def main(_: Simulation) -> list[int]:
        order = list[int]()
        loop = asyncio.get_running_loop()
        for number in range(10):
            loop.call_later(1.0, order.append, number)
        await asyncio.sleep(2)
        return order

    assert run(main) == list(range(10))


def test_sets_of_tasks_have_an_order() -> None:
    async def main(_: Simulation) -> list[str]:
        tasks = {asyncio.create_task(asyncio.sleep(1), name=f"t{number}") for number in range(50)}
        waits = {asyncio.get_running_loop().create_future() for _ in range(5)}
        names = [task.get_name() for task in tasks]
        for wait in waits:
            wait.cancel()
        await asyncio.wait(tasks)
        return names

    assert run(main) == run(main)


def test_chance_is_seeded_and_given_back() -> None:
    async def main(simulation: Simulation) -> tuple[float, float]:
        return random.random(), simulation.rng.random()

    random.seed("mine")
    expected = random.random()
    random.seed("mine")
    assert run(main, 1) == run(main, 1) != run(main, 2)
    assert random.random() == expected


def test_nobody_waits_for_ever() -> None:
    async def main(_: Simulation) -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stalled, match="nothing will ever happen"):
        run(main)


def test_nobody_runs_in_circles() -> None:
    async def main(_: Simulation) -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stalled, match="time stands still"):
        run(main)


def test_the_outside_is_refused() -> None:
    async def main(simulation: Simulation) -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(NotImplementedError):
            await asyncio.to_thread(print)
        with pytest.raises(NotImplementedError):
            await asyncio.create_subprocess_exec("true")
        with pytest.raises(NotImplementedError):
            await asyncio.start_server(lambda reader, writer: None, "127.0.0.1")
        with pytest.raises(NotImplementedError), socket.socket() as sock:
            await loop.sock_connect(sock, ("127.0.0.1", 1))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("example.org", 80)
        with pytest.raises(NotImplementedError):
            loop.add_signal_handler(2, print)

    run(main)


def test_a_failure_that_nobody_sees_fails_the_run() -> None:
    async def main(_: Simulation) -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)

    with pytest.raises(ZeroDivisionError):
        run(main)


def test_a_frozen_host_stops_and_goes_on() -> None:
    async def main(simulation: Simulation) -> list[float]:
        seen = list[float]()

        async def tick() -> None:
            while True:
                seen.append(simulation.clock() - begun)
                await asyncio.sleep(1)

        begun = simulation.clock()
        with simulation.on("ticker"):
            task = asyncio.create_task(tick())
        await asyncio.sleep(1.5)
        simulation.network.freeze("ticker")
        await asyncio.sleep(10)
        simulation.network.thaw("ticker")
        await asyncio.sleep(1.7)
        task.cancel()
        return seen

    assert run(main) == [0, 1, 11.5, 12.5]


def test_contexts_belong_to_whoever_connected() -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="nobody's")

    class Protocol(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            heard.set_result(mine.get())

    async def main(simulation: Simulation) -> None:
        nonlocal heard
        heard = asyncio.get_running_loop().create_future()
        ensemble = await simulation.ensemble()
        mine.set("connector's")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(Protocol, ensemble.servers[0].name, 2181)
        mine.set("somebody's")
        greeting = struct.pack(">iqiqi16s?", 0, 0, 4000, 0, 16, bytes(16), False)
        transport.write(struct.pack(">i", len(greeting)) + greeting)
        assert await heard == "connector's"

    heard: asyncio.Future[str]
    run(main)


def test_silence_holds_back_and_loses_nothing() -> None:
    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble(tick=2.0)
        server, transcript = ensemble.servers[0].name, Transcript("/x")
        raw = await Raw(transcript, "c", (server, 2181)).connect(30.0)
        simulation.network.silence(server, "main")
        begun = simulation.clock()
        pings = asyncio.create_task(raw.ping())
        await asyncio.sleep(5)
        assert not pings.done()
        simulation.network.heal("main")
        await pings
        assert 5 < simulation.clock() - begun < 6.1
        await raw.close()

    run(main)


def test_bad_weather_delays_and_keeps_the_order() -> None:
    async def main(simulation: Simulation) -> list[str]:
        ensemble = await simulation.ensemble()
        transcript = Transcript("/x")
        raw = await Raw(transcript, "c", (ensemble.servers[0].name, 2181)).connect(30.0)
        for number in range(200):
            raw.send(1, raw.packed(1, f"/n{number}", b"", 0, ((31, "world", "anyone"),)), what=str(number))
        await raw.answers()
        await raw.close()
        return [line.split()[1] for line in transcript.lines[1:201]]

    weather = Weather(0.05, 0.1, spikes=0.1, loss=0.1)
    assert run(main, 3, weather=weather) == [str(number) for number in range(200)]


def test_a_black_hole_is_dialled_like_by_a_kernel() -> None:
    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble()
        server = ensemble.servers[0].name
        simulation.network.cut("main", server)
        begun = simulation.clock()
        dial = asyncio.create_task(asyncio.open_connection(server, 2181))
        await asyncio.sleep(2)
        simulation.network.heal()
        _, writer = await dial
        assert 2.9 < simulation.clock() - begun < 3.1
        writer.close()

    run(main)


def test_passwords_are_no_secret() -> None:
    """As on real servers: whoever knows a session's id can attach it."""

    async def main(simulation: Simulation) -> None:
        ensemble = await simulation.ensemble()
        raw = await Raw(Transcript("/x"), "c", (ensemble.servers[0].name, 2181)).connect()
        assert raw.password == password_of(raw.id)
        await raw.close()

    run(main)
