"""Trials in virtual time: every fault does what it says, and what is wrong is found and told."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aioha import Elector, active_standby
from aioha.lease import Lease
from aioha.testing import Trial, recorded
from aioha.testing.fixtures import on_servers, simulated
from aioha.testing.simulated_trial import SimulatedTrial, simulate

TIMEOUT, TICK = 10.0, 2.0
TAKEOVER = TIMEOUT + 2 * TICK + 2.0


@recorded
async def work(term: Any) -> None:
    while True:
        await asyncio.sleep(0.5)


async def copy(where: str) -> None:
    """A service that knows nothing of simulations."""
    async with Elector(where, work):
        await asyncio.Event().wait()


def kinds(trial: Trial, name: str) -> list[str]:
    return [fact.kind.value for fact in trial.history if fact.who == name and fact.kind != "stepped"]


# ---------------------------------------------------------------------- faults


@simulated(seeds=2, takeover=TAKEOVER)
async def test_partition_and_heal(trial: SimulatedTrial) -> None:
    first = trial.start("a", copy)
    assert await trial.leader() is first
    second = trial.start("b", copy)
    begun = trial.clock()
    await trial.partition(first)
    assert await trial.leader(besides=first) is second
    assert TIMEOUT - TICK < trial.clock() - begun < TAKEOVER
    assert kinds(trial, "a") == ["began", "disturbed", "ended"]
    assert trial.server_of(first) is None
    await trial.heal()
    await trial.until(lambda: trial.server_of(first))
    await trial.stop(second)
    assert await trial.leader() is first


@simulated(seeds=1)
async def test_partition_from_one_server_only(trial: SimulatedTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    server = trial.server_of(first)
    assert server is not None
    await trial.partition(first, server)
    await trial.until(lambda: trial.server_of(first) not in (None, server))
    await asyncio.sleep(3 * TIMEOUT)
    assert kinds(trial, "a") == ["began", "disturbed"], "the term outlives it"


@simulated(seeds=2, takeover=TAKEOVER)
async def test_freeze_and_thaw(trial: SimulatedTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    trial.start("b", copy)
    await trial.freeze(first)
    assert not first.is_working
    await trial.leader(besides=first)
    await trial.thaw(first)
    await asyncio.sleep(1)
    assert kinds(trial, "a") == ["began", "froze", "disturbed", "thawed", "ended"]


@simulated(seeds=2, takeover=TAKEOVER)
async def test_kill(trial: SimulatedTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    second = trial.start("b", copy)
    begun = trial.clock()
    await trial.kill(first)
    assert await trial.leader() is second
    assert trial.clock() - begun > TIMEOUT - TICK, "nobody knows that it is dead"
    assert "dead" in repr(first)


@simulated(seeds=2, takeover=TAKEOVER)
async def test_stop_hands_over_at_once(trial: SimulatedTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    second = trial.start("b", copy)
    await asyncio.sleep(1)
    begun = trial.clock()
    await trial.stop(first)
    assert await trial.leader() is second
    assert trial.clock() - begun < 0.1


@simulated(seeds=2, takeover=TAKEOVER)
async def test_expire_session(trial: SimulatedTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    second = trial.start("b", copy)
    begun = trial.clock()
    await trial.expire_session(first)
    assert await trial.leader(besides=first) is second
    assert trial.clock() - begun < TIMEOUT / 5
    await trial.partition(second)
    await asyncio.sleep(TIMEOUT)
    with pytest.raises(RuntimeError, match="b has no session now"):
        await trial.expire_session(second)


@simulated(seeds=2)
async def test_servers(trial: SimulatedTrial) -> None:
    first = trial.start("a", copy)
    await trial.leader()
    leader = await trial.leading_server()
    await trial.kill(leader)
    assert not leader.alive
    assert await trial.leading_server() is not leader
    other = next(server for server in trial.servers if server.alive)
    await trial.freeze(other)
    await asyncio.sleep(TIMEOUT)
    assert not first.is_working, "no quorum"
    await trial.heal()
    assert all(server.mode() for server in trial.servers)
    await trial.leader()
    await trial.partition(await trial.leading_server())
    await asyncio.sleep(3 * TIMEOUT)
    await trial.heal()
    await trial.leader()


@simulated(servers=1, seeds=1, session_timeout=30.0)
async def test_options_go_into_where(trial: SimulatedTrial) -> None:
    candidate = trial.start("a", copy)
    assert candidate.where == "zk://zk1:2181/trial?session_timeout=30.0"


async def decorated(where: str) -> None:
    @active_standby(where)
    async def main(term: Any) -> None:
        await work(term)

    await main()


@simulated(seeds=1)
async def test_a_decorated_main_takes_part_too(trial: Trial) -> None:
    first = trial.start("a", decorated)
    await trial.leader()
    trial.start("b", decorated)
    await trial.partition(first)
    await trial.leader(besides=first)


# ---------------------------------------------------------------------- what is wrong is found and told


def play_two_leaders(token: int) -> Callable[[Trial], Any]:
    async def rogue(where: str) -> None:
        await work(SimpleNamespace(token=token, leader=None))

    async def play(trial: Trial) -> None:
        trial.start("a", copy)
        await trial.leader()
        trial.start("rogue", rogue)
        await asyncio.sleep(1)

    return play


def test_two_leaders_are_found_though_the_test_has_asked_for_nothing() -> None:
    with pytest.raises(AssertionError, match=r"I1 at [\d.]+: rogue begins \(token 4611686018427387904\) and a still works"):
        simulate(play_two_leaders(2**62))


def test_a_token_that_falls_is_found() -> None:
    with pytest.raises(AssertionError, match=r"I2 at [\d.]+: rogue has token 1, and a had"):
        simulate(play_two_leaders(1))


def test_a_takeover_that_takes_too_long_is_found() -> None:
    async def play(trial: Trial) -> None:
        first = trial.start("a", copy)
        await trial.leader()
        trial.start("b", copy)
        await trial.kill(first)
        await trial.leader()

    simulate(play, takeover=TAKEOVER)
    with pytest.raises(AssertionError, match=r"I4 at .* nothing was wrong"):
        simulate(play, takeover=TIMEOUT / 2)


def test_the_failure_of_the_test_itself_comes_first() -> None:
    async def play(trial: Trial) -> None:
        await play_two_leaders(1)(trial)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        simulate(play)


def test_what_a_candidate_raises_ends_the_wait_for_a_leader() -> None:
    async def broken(where: str) -> None:
        await asyncio.sleep(1)
        raise KeyError("its own")

    async def play(trial: Trial) -> None:
        trial.start("a", broken)
        await trial.leader()

    async def not_waiting(trial: Trial) -> None:
        trial.start("a", broken)
        await asyncio.sleep(2)

    for each in (play, not_waiting):
        with pytest.raises(KeyError, match="its own") as raised:
            simulate(each)
        assert raised.value.__notes__ == ["raised by candidate a"]


def test_a_wait_in_vain_says_what_happened() -> None:
    async def play(trial: Trial) -> None:
        trial.start("a", copy)
        await trial.leader()
        await trial.leader(besides=trial.candidates.values(), timeout=5)

    with pytest.raises(TimeoutError, match=r"(?s)no candidate works within 5 s: \[<Candidate a: works.*calm.*a +began"):
        simulate(play)


def test_a_name_is_used_once() -> None:
    async def again(trial: Trial) -> None:
        await trial.stop(trial.start("a", copy))
        trial.start("a", copy)

    async def a_servers(trial: Trial) -> None:
        trial.start("zk1", copy)

    with pytest.raises(ValueError, match="whoever comes back is another process"):
        simulate(again)
    with pytest.raises(ValueError, match="'zk1' is the name of another host"):
        simulate(a_servers)


@pytest.mark.parametrize("who", ["a candidate", "the test"])
def test_who_asks_for_the_outside_world_is_told_that_there_is_none(who: str) -> None:
    async def outside(_: object = None) -> None:
        await asyncio.to_thread(print)

    async def play(trial: Trial) -> None:
        if who == "the test":
            await outside()
        trial.start("a", outside)
        await trial.leader()

    with pytest.raises(NotImplementedError) as raised:
        simulate(play)
    assert "virtual time has no outside world" in raised.value.__notes__[0]


# ---------------------------------------------------------------------- the run


def told(seed: int) -> list[str]:
    async def play(trial: Trial) -> list[str]:
        for name in "abc":
            trial.start(name, copy)
        for _ in range(3):
            leader = await trial.leader()
            await trial.partition(leader)
            await trial.leader(besides=leader)
            await trial.heal()
        return [fact.line() for fact in trial.history]

    return simulate(play, seed)


def test_the_same_seed_gives_the_same_run() -> None:
    assert told(1) == told(1)
    assert told(1) != told(2)


def test_the_clock_of_leases_is_given_back() -> None:
    before = time.clock_gettime

    async def play(trial: Trial) -> tuple[float, float]:
        await asyncio.sleep(1000)
        return time.clock_gettime(time.CLOCK_BOOTTIME), trial.clock()

    virtual, same = simulate(play, servers=1)
    assert virtual == same
    assert time.clock_gettime is before


@simulated(seeds=[5])
@pytest.mark.parametrize("number", [1, 2])
async def test_fixtures_and_parameters_are_as_ever(tmp_path: Path, trial: Trial, number: int) -> None:
    assert tmp_path.is_dir()
    assert number in (1, 2)
    assert isinstance(trial, SimulatedTrial)
    assert trial.simulation.seed == 5


class TestMethods:
    @simulated(seeds=1)
    async def test_methods_too(self, trial: Trial) -> None:
        assert isinstance(self, TestMethods)
        assert trial.candidates == {}


@pytest.mark.parametrize("decorator", [simulated(), on_servers()])
def test_what_cannot_be_put_on_trial(decorator: Callable[[Any], Any]) -> None:
    def blocking(trial: Trial) -> None: ...
    async def without() -> None: ...
    async def asks_for_more(trial: Trial, seed: int, ensemble: int) -> None: ...

    for wrong, message in (
        (blocking, "write async def blocking"),
        (without, "write async def without"),
        (asks_for_more, "what the decorator asks for itself"),
    ):
        with pytest.raises(TypeError, match=message):
            decorator(wrong)


# ---------------------------------------------------------------------- it can fail


def test_a_lease_that_is_believed_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Lease.deadline.fget
    assert honest is not None
    monkeypatch.setattr(Lease, "deadline", property(lambda lease: honest(lease) + TIMEOUT))

    async def play(trial: Trial) -> None:
        first = trial.start("a", copy)
        await trial.leader()
        trial.start("b", copy)
        await trial.partition(first)
        await trial.leader(besides=first)
        await asyncio.sleep(1)

    with pytest.raises(AssertionError, match=r"I1 at [\d.]+: b begins \(token \d+\) and a still works"):
        simulate(play)
