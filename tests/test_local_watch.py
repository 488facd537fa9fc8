"""A standby's watch on the leader of this host: what it waits for, how long, and what it says once. In virtual time."""

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from aioha.elections.local import presence
from aioha.elections.local.presence import Watch
from aioha.elections.local.record import Process
from aioha.testing.simulated import Simulation, run

LEADER, NEXT = Process(8, 5, 3), Process(9, 6, 3)


class Connection:
    def __init__(self, world: "World") -> None:
        self._world = world

    def fileno(self) -> int:
        return 50

    def close(self) -> None:
        self._world.done.append("close connection")


class World:
    """A host with a leader. `wakes`: after so many seconds of the next wait; None: never. `lucky`: chance is at its most."""

    def __init__(self, simulation: Simulation) -> None:
        self.leader: Process | None = LEADER
        self.listens = True
        self.error: OSError | None = None
        self.wakes: float | None = None
        self.lucky = True
        self.done: list[str] = []
        self.waits: list[tuple[list[int], float]] = []
        self.chances: list[tuple[float, float]] = []
        self.watch = Watch("local:x", b"\0name")
        self._clock = simulation.clock

    def holder(self) -> Process | None:
        self.done.append("who")
        return self.leader

    def connect(self, name: bytes) -> Any:
        assert name == b"\0name"
        self.done.append("connect")
        if self.error is not None:
            raise self.error
        return (True, Connection(self)) if self.listens else (False, None)

    def open_pidfd(self, process: Process | None) -> int | None:
        self.done.append(f"open {process and process.pid}")
        return None if process is None else 60 + process.pid

    def close(self, fd: int) -> None:
        self.done.append(f"close {fd}")

    async def first_readable(self, fds: Any, seconds: float) -> bool:
        self.waits.append((list(fds), round(seconds, 6)))
        wakes, self.wakes = self.wakes, None
        await asyncio.sleep(seconds if wakes is None else wakes)
        return wakes is not None

    def uniform(self, least: float, most: float) -> float:
        self.chances.append((least, most))
        return most if self.lucky else least

    async def wait(self, *most: float) -> float:
        """How long it took."""
        begun = self._clock()
        await self.watch.wait(self.holder, *most)
        return round(self._clock() - begun, 6)


def world(play: Callable[[World], Awaitable[None]], owner: int | None = None) -> None:
    def owner_of(connection: Any) -> int:
        assert isinstance(connection, Connection)
        return os.geteuid() if owner is None else owner

    async def main(simulation: Simulation) -> None:
        world = World(simulation)
        with ExitStack() as stack:
            for name in ("connect", "open_pidfd", "first_readable"):
                stack.enter_context(mock.patch.object(presence, name, getattr(world, name)))
            stack.enter_context(mock.patch.object(presence, "owner_of", owner_of))
            kernel = SimpleNamespace(close=world.close, geteuid=os.geteuid)
            stack.enter_context(mock.patch.object(presence, "os", kernel))
            stack.enter_context(mock.patch("random.uniform", world.uniform))
            await play(world)

    run(main)


def test_a_leader_that_is_there_is_looked_at_each_half_second_and_its_end_waited_for() -> None:
    async def play(world: World) -> None:
        assert [await world.wait() for _ in range(3)] == [0.5, 0.5, 0.5]
        assert await world.wait(0.2) == 0.2
        assert world.waits == [([50, 68], 0.5)] * 3 + [([50, 68], 0.2)]
        assert world.chances == [(0.75, 1.0)] * 4  # standbys shall not look in step
        assert world.done == ["connect", "who", "open 8", "who", "who", "who"]
        world.leader = NEXT
        await world.wait()
        assert world.done[6:] == ["who", "close 68", "open 9"]
        world.watch.close()
        world.watch.close()
        assert world.done[9:] == ["close connection", "close 69"]

    world(play)


def test_an_end_is_told_at_once_and_looked_at_anew() -> None:
    async def play(world: World) -> None:
        for after in (0.021, 0.3):
            world.wakes, world.done = after, []
            assert await world.wait() == after
            assert world.done == ["connect", "who", "open 8", "close connection", "close 68"]
        world.wakes = 0.001
        assert await world.wait() == 0.001  # the first that came too soon is not made to wait, either

    world(play)


def test_what_comes_to_nothing_is_repeated_ever_more_slowly() -> None:
    """The last leader's lock is not free yet, or the next one's socket not there yet."""

    async def play(world: World) -> None:
        world.listens, world.leader = False, None
        pauses = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.5, 0.5]
        assert [await world.wait() for _ in pauses] == pauses
        assert world.waits == [([], pause) for pause in pauses]
        assert world.chances == [(0.8, 1.0)] * len(pauses)
        assert world.done == ["connect", "who", "open None"] * len(pauses)
        world.listens = True
        assert await world.wait() == 0.5
        world.listens = False
        world.watch.close()
        assert await world.wait() == 0.001  # it was there in between: counted anew
        assert await world.wait(0.0015) == 0.002  # it does not look more often than that, whoever asks
        assert world.waits[-1] == ([], 0.0015)

    world(play)


def test_chance_makes_all_waits_shorter() -> None:
    async def play(world: World) -> None:
        world.lucky = False
        assert [await world.wait() for _ in range(2)] == [0.375, 0.375]
        world.listens, world.leader = False, None
        world.watch.close()
        assert [await world.wait() for _ in range(4)] == [0.001, 0.0016, 0.00256, 0.004096]

    world(play)


def test_ends_that_come_at_once_again_and_again_are_answered_ever_more_slowly() -> None:
    async def play(world: World) -> None:
        took = []
        for _ in range(8):
            world.wakes = 0.003
            took.append(await world.wait())
        assert took == [0.003, 0.003, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128]
        world.wakes = 0.019
        assert await world.wait() == 0.256
        world.wakes = 0.021
        assert await world.wait() == 0.021
        world.wakes = 0.0
        assert await world.wait() == 0.001

    world(play)


def test_a_leader_whose_socket_cannot_be_reached_is_seen_to_die_all_the_same() -> None:
    """In another network: its process tells."""

    async def play(world: World) -> None:
        world.listens = False
        assert [await world.wait() for _ in range(3)] == [0.001, 0.002, 0.004]
        assert world.waits[0] == ([68], 0.001)
        assert world.done == ["connect", "who", "open 8", "connect", "who", "connect", "who"]
        world.wakes = 0.03
        assert await world.wait(60.0) == 0.03
        assert world.done[-1] == "close 68"

    world(play)


def test_who_is_out_of_descriptors_polls_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def play(world: World) -> None:
        world.error = OSError(errno.EMFILE, "Too many open files")
        assert [await world.wait() for _ in range(3)] == [0.001, 0.002, 0.004]
        world.error = None
        assert await world.wait() == 0.5

    world(play)
    said = "local:x: cannot watch the leader, polling instead: Too many open files"
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.WARNING, said)]


def test_a_stranger_who_holds_our_name_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    async def play(world: World) -> None:
        for _ in range(3):
            await world.wait()
            world.watch.close()

    stranger = os.geteuid() + 12345
    world(play, owner=stranger)
    said = f"local:x: a process of uid {stranger} holds our socket's name; nobody can lead until it ends"
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(logging.WARNING, said)]


def test_our_own_name_is_nothing_to_speak_of(caplog: pytest.LogCaptureFixture) -> None:
    async def play(world: World) -> None:
        await world.wait()

    world(play)
    assert caplog.records == []
