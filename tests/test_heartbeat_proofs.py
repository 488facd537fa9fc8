"""What the answers to heartbeats prove, and to whom a failed check is told: in virtual time."""

import asyncio
from types import SimpleNamespace
from typing import Any

from answering import Answering
from beating import Beating, beats, stake

from aioha.wire.errors import BadVersion, ConnectionLoss, NoNode


def test_a_term_is_proved_by_a_write_and_a_sync_on_its_reply() -> None:
    """At once when it begins, then with each beat; c is left out where the attach proves as much as a would."""

    async def play(beating: Beating) -> None:
        connection = beating.connection
        await beating.until(0.5)
        beating.heartbeat.hold(stake("/a"))
        first = beating.heartbeat.next_proof()
        await first
        assert (beating.now, beating.anchored) == (0.75, 0.0)
        second = beating.heartbeat.next_proof()
        await beating.until(1.6)
        assert not second.done()
        await beating.until(3.9)
        assert beating.anchored == 0.0
        await beating.until(4.1)
        assert beating.anchored == 0.5
        checked = [(0.5, "multi(check /a 0)"), (1.5, "multi(check /a 0)"), (2.5, "multi(check /a 0)")]
        proving = [(3.5, "multi(check /a 0)"), (3.75, "sync /a")]
        assert connection.sent == [(0.0, "ping"), *checked, *proving]

    beats(play)


def test_who_is_refuted_is_told_and_the_lease_is_not_proved() -> None:
    async def play(beating: Beating) -> None:
        told: list[tuple[str, Any]] = []
        stakes = [stake(path, 2, lambda error, path=path: told.append((path, error))) for path in ("/a", "/b", "/c")]
        for each in stakes:
            beating.heartbeat.hold(each)
        error = BadVersion()
        asked = "multi(check /a 0, check /a 1, check /b 0, check /b 1, check /c 0, check /c 1)"
        beating.connection.results[asked] = SimpleNamespace(responses=[None, None, None, error, None, None])
        proof = beating.heartbeat.next_proof()
        await beating.until(0.3)
        assert told == [("/b", error)]
        await beating.until(1.1)
        beating.heartbeat.drop(stakes[1])  # before the answer of this beat, which refutes it once more
        await beating.until(1.3)
        assert told == [("/b", error)]
        assert not proof.done()
        await proof
        assert beating.now == 1.5
        others = "multi(check /a 0, check /a 1, check /c 0, check /c 1)"
        assert beating.connection.sent == [(0.0, asked), (1.0, asked), (1.25, others)]

    beats(play)


def test_who_stands_ready_has_the_sync_answered_before_it_bids() -> None:
    async def play(beating: Beating) -> None:
        await beating.until(0.5)
        one, other = beating.heartbeat.stand_ready("/a"), beating.heartbeat.stand_ready("/b")
        await beating.until(3.5)
        one()
        one()
        await beating.until(4.9)
        begun = beating.begun
        assert beating.lease.told == [("relayed", begun + time) for time in (1.0, 2.0, 3.0, 4.0)]
        anchor = beating.heartbeat.anchor(enough=1.0)  # that of the sync sent at 4.0: what was answered by 1.6
        assert anchor is not None
        assert (anchor.sent - begun, anchor.needs_relay) == (1.0, False)
        newer = beating.heartbeat.anchor()
        assert newer is not None
        assert (newer.sent - begun, newer.needs_relay) == (2.0, True)
        other()
        await beating.until(5.5)
        syncs = [(1.0, "sync /a"), (2.0, "sync /a"), (3.0, "sync /a"), (4.0, "sync /b")]
        assert beating.connection.sent == [(0.0, "ping"), *syncs, (5.0, "ping")]

    beats(play)


def test_who_stands_ready_need_not_wait_for_the_next_beat() -> None:
    async def play(beating: Beating) -> None:
        await beating.until(0.5)
        beating.heartbeat.stand_ready("/a", at_once=True)
        await beating.until(1.6)
        assert beating.connection.sent == [(0.0, "ping"), (0.5, "sync /a"), (1.5, "sync /a")]

    beats(play)


def test_a_sync_that_failed_or_was_lost_relays_nothing() -> None:
    async def play(beating: Beating) -> None:
        beating.heartbeat.stand_ready("/a")
        beating.connection.results["sync /a"] = ConnectionLoss()
        await beating.until(1.1)
        assert beating.connection.sent == [(0.0, "sync /a"), (1.0, "sync /a")]
        beating.connection.abort("cut")
        await beating.lost()
        assert beating.lease.told == []

    beats(play)


def test_where_pings_prove_nobody_needs_more() -> None:
    async def play(beating: Beating) -> None:
        beating.heartbeat.stand_ready("/a")
        await beating.until(1.3)
        assert beating.connection.sent == [(0.0, "ping"), (1.0, "ping")]
        assert beating.anchored == 1.0

    beats(play, pings_prove=True)


def test_a_term_whose_connection_ends_before_c_leaves_is_not_proved() -> None:
    async def play(beating: Beating) -> None:
        beating.heartbeat.hold(stake("/a"), at_once=False)
        await beating.until(3.2)
        beating.connection.results["multi(check /a 0)"] = Ends(beating.connection)
        assert await beating.lost() == 3.25
        assert beating.anchored == 0.0
        assert beating.connection.aborts == ["ended behind its answer", "session given up"]

    beats(play)


class Ends:
    """An answer with which the connection ends."""

    def __init__(self, connection: Answering) -> None:
        self._connection = connection

    @property
    def responses(self) -> list[Any]:
        if self._connection.lost is None:
            self._connection.abort("ended behind its answer")
        return []


def test_who_waits_no_longer_for_a_proof_is_forgotten() -> None:
    async def play(beating: Beating) -> None:
        for _ in range(50):
            beating.heartbeat.next_proof().cancel()
        kept = beating.heartbeat.next_proof()
        assert len(beating.heartbeat._proofs) <= 2
        beating.heartbeat.next_proof().cancel()  # done when the proof comes
        beating.heartbeat.hold(stake("/a"))
        await kept
        assert beating.heartbeat._proofs == []

    beats(play)


def test_only_what_was_carried_out_proves_and_only_where_there_is_an_anchor() -> None:
    async def play(beating: Beating) -> None:
        heartbeat, connection = beating.heartbeat, beating.connection
        await beating.until(0.5)
        for failed, anchor in ((True, heartbeat.anchor()), (False, None)):
            proof, write = heartbeat.next_proof(), asyncio.get_running_loop().create_future()
            reply = SimpleNamespace(responses=[NoNode()] if failed else [])
            write.set_result(reply)
            assert await heartbeat.prove(connection, anchor, write, "/a") is reply  # type: ignore[arg-type]
            assert not proof.done()
        assert beating.anchored == 0.0

    beats(play)
