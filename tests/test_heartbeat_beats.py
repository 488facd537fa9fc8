"""What a heartbeat sends and when, and when it gives a connection up: in virtual time, on one that the test answers for."""

import asyncio
from typing import Any

import pytest
from answering import Answering, shown
from beating import TIMEOUT, Beating, beats, stake
from scripted import failing

from aioha.heartbeat import LATE, Heartbeat
from aioha.lease import Lease
from aioha.testing import Op
from aioha.wire.errors import ResponseError, SessionExpired, SessionMoved


@pytest.mark.parametrize(("delay", "times"), [(0.25, [0.0, 1.0, 2.0, 3.0]), (1.2, [0.0, 1.2, 2.4])])
def test_while_nothing_rests_on_the_session_it_pings_each_eighth_of_the_timeout(delay: float, times: list[float]) -> None:
    """From sending to sending; an answer that takes longer than that is waited for."""

    async def play(beating: Beating) -> None:
        assert (beating.heartbeat.pace, beating.heartbeat.silence) == (1.0, TIMEOUT / 6)
        await beating.until(3.1)
        assert beating.connection.sent == [(time, "ping") for time in times]
        assert beating.lease.told == []
        beating.connection.abort("cut")
        assert await beating.lost() == 3.1
        assert beating.connection.aborts == ["cut", "session given up"]

    beats(play, delay)


@pytest.mark.parametrize(("timeout", "silence"), [(0.3, 0.15), (0.9, 0.15), (1.2, 0.2), (60.0, 10.0)])
def test_silence_is_a_sixth_of_the_timeout_and_never_less_than_a_round_trip_takes(timeout: float, silence: float) -> None:
    lease = Lease()
    lease.attached(0.0, timeout, created=True)
    assert Heartbeat(lease, float).silence == pytest.approx(silence)


def test_a_term_may_begin_to_be_proved_with_the_next_beat() -> None:
    async def play(beating: Beating) -> None:
        await beating.until(0.5)
        beating.heartbeat.hold(stake("/a"), at_once=False)
        await beating.until(1.1)
        assert beating.connection.sent == [(0.0, "ping"), (1.0, "multi(check /a 0)")]

    beats(play)


def test_a_term_that_comes_during_a_beat_has_one_of_its_own_behind_it() -> None:
    async def play(beating: Beating) -> None:
        await beating.until(0.1)
        beating.heartbeat.hold(stake("/a"))
        beating.heartbeat.hold(stake("/b"))
        await beating.until(1.2)
        asked = "multi(check /a 0, check /b 0)"
        assert beating.connection.sent == [(0.0, "ping"), (0.25, asked)]

    beats(play)


def test_a_term_that_ends_is_proved_no_more_and_the_others_at_once() -> None:
    async def play(beating: Beating) -> None:
        one, other, stranger = stake("/a"), stake("/b"), stake("/c")
        for each in (one, other):
            beating.heartbeat.hold(each, at_once=False)
        await beating.until(1.5)
        beating.heartbeat.drop(stranger)  # which hastens nothing
        await beating.until(1.6)
        beating.heartbeat.drop(one)
        beating.heartbeat.drop(one)
        await beating.until(2.0)
        assert [asked for asked in beating.connection.sent if asked[0] > 1.1] == [(1.6, "multi(check /b 0)")]
        beating.heartbeat.drop(other)  # which spoils nothing for anybody
        await beating.until(2.1)
        assert beating.connection.sent[-1][0] == 1.6
        await beating.until(3.0)
        assert beating.connection.sent[-1] == (2.6, "ping")

    beats(play)


def test_many_terms_take_turns() -> None:
    """At most a hundred of them in one request, and c asks about one that is in it."""

    async def play(beating: Beating) -> None:
        for number in range(150):
            beating.heartbeat.hold(stake(f"/{number}"), at_once=False)
        await beating.until(5.9)
        turns = [
            [line.split()[1] for line in asked[6:-1].split(", ")] for _, asked in beating.connection.sent if "mul" in asked
        ]
        everybody = [f"/{number}" for number in range(150)]
        assert turns[:3] == [everybody[:100], everybody[100:] + everybody[:50], everybody[50:]]
        syncs = [asked for _, asked in beating.connection.sent if asked.startswith("sync")]
        assert syncs == [f"sync {turns[number][0]}" for number in (4, 5)]

    beats(play)


def test_a_heartbeat_that_is_refused_ends_the_connection_and_says_so() -> None:
    async def play(beating: Beating) -> None:
        beating.connection.results["ping"] = SessionMoved()
        assert await beating.lost() == 0.25
        assert beating.connection.aborts == ["heartbeat refused: SessionMoved", "session given up"]

    beats(play)


def test_each_request_of_a_beat_has_its_own_time_to_be_answered() -> None:
    """A beat may last longer than silence does; what counts is the oldest request without an answer."""

    async def play(beating: Beating) -> None:
        beating.heartbeat.hold(stake("/a"), at_once=False)
        await beating.until(7.0)
        slow = [(time, "multi(check /a 0)") for time in (0.0, 1.1, 2.2, 3.3, 4.4, 5.5)]
        assert beating.connection.sent == [*slow, (6.6, "sync /a")]
        beating.connection.delay = None
        assert await beating.lost() == pytest.approx(7.7 + TIMEOUT / 6, abs=1e-5)
        assert beating.connection.sent[-1] == (7.7, "multi(check /a 0)")
        assert beating.connection.aborts == ["no answer for 1.3 s", "session given up"]

    beats(play, delay=1.1)


def test_a_connection_that_owes_nothing_is_not_silent() -> None:
    """And it is looked at again when the next answer would be overdue."""

    async def play(beating: Beating) -> None:
        beating.connection.owes = False
        await beating.until(5.0)
        assert beating.connection.aborts == []
        beating.connection.owes = True
        assert await beating.lost() == pytest.approx(4 * TIMEOUT / 6, abs=1e-5)
        assert beating.connection.aborts == ["no answer for 5.3 s", "session given up"]

    beats(play, delay=None)


@pytest.mark.parametrize(
    ("late", "answer", "lost_after"), [(LATE / 2, None, 0.0), (2 * LATE, None, LATE), (2 * LATE, LATE / 2, None)]
)
def test_after_a_standstill_what_has_come_is_read_before_a_server_is_called_silent(
    late: float, answer: float | None, lost_after: float | None
) -> None:
    """A timer that is late says that our loop stood still, and not that the server is silent."""

    async def play(beating: Beating) -> None:
        silence = beating.heartbeat.silence
        await beating.until(0.5)
        beating.late = late
        if answer is not None:
            asyncio.get_running_loop().call_later(silence - 0.5 + answer, beating.connection.answer, "ping")
        await beating.until(silence - 0.01)
        assert beating.connection.aborts == []
        if lost_after is None:
            await beating.until(silence + 1.0)
            assert beating.connection.aborts == []
            assert len(beating.connection.sent) == 2
        else:
            assert await beating.lost() == pytest.approx(silence + lost_after, abs=1e-5)

    beats(play, delay=None)


def test_who_comes_back_in_doubt_waits_less_for_a_first_answer() -> None:
    async def play(beating: Beating) -> None:
        beating.connection.abort("hung up")
        await beating.task
        silent = Answering(beating.heartbeat._clock, delay=None)
        begun = beating.now
        assert await beating.heartbeat.run(silent, 0.25)  # type: ignore[arg-type]
        assert beating.now - begun == pytest.approx(0.25)
        assert silent.aborts == ["no answer for 0.25 s", "session given up"]

    beats(play)


def test_a_first_answer_ends_the_doubt() -> None:
    async def play(beating: Beating) -> None:
        beating.heartbeat.hold(stake("/a"), at_once=False)
        beating.connection.abort("hung up")
        await beating.task
        again = Answering(beating.heartbeat._clock, delay=0.125)
        begun = beating.now
        beating.task = asyncio.create_task(beating.heartbeat.run(again, 0.25))  # type: ignore[arg-type]
        await beating.until(begun + 0.5)
        again.delay = None
        assert await beating.lost() - begun == pytest.approx(1.0 + TIMEOUT / 6)
        assert beating.task.result() is False

    beats(play)


def test_in_doubt_the_server_is_asked_for_itself_and_the_quorum_may_take_its_time() -> None:
    async def play(beating: Beating) -> None:
        beating.heartbeat.hold(stake("/a"), at_once=False)
        beating.connection.abort("hung up")
        await beating.task
        again = Answering(beating.heartbeat._clock, delay=0.125)
        send = again.send

        def slow(request: Any, then: Any = None) -> Any:
            again.delay = 0.125 if request.opcode == Op.PING else 1.0
            return send(request, then)

        again.send = slow  # type: ignore[method-assign]
        beating.task = asyncio.create_task(beating.heartbeat.run(again, 0.25))  # type: ignore[arg-type]
        await asyncio.sleep(0.9)
        assert [words for _, words in again.sent] == ["ping", f"multi({shown(stake('/a').checks[0])})"]
        assert again.aborts == []
        again.abort("cut")
        await beating.task
        assert beating.task.result() is False

    beats(play)


@pytest.mark.parametrize("error", [SessionExpired(), SessionMoved()])
def test_a_beat_that_says_that_the_session_is_over_refutes_nobody(error: ResponseError) -> None:
    """It says nothing of the one stake whose check came first; attaching again tells it to all of them."""

    async def play(beating: Beating) -> None:
        refuted = list[ResponseError]()
        one = stake("/a", refuted=refuted.append)
        beating.connection.results[f"multi({shown(one.checks[0])})"] = failing(0, error)
        beating.heartbeat.hold(one)
        assert await beating.lost() == 0.25
        assert refuted == []
        assert beating.connection.aborts[0].startswith("heartbeat refused: ")

    beats(play)


def test_whether_anything_rests_on_it_is_known() -> None:
    async def play(beating: Beating) -> None:
        assert not beating.heartbeat.is_needed
        beating.heartbeat.hold(one := stake("/a"))
        assert beating.heartbeat.is_needed
        beating.heartbeat.drop(one)
        assert not beating.heartbeat.is_needed

    beats(play)
