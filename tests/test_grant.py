"""A term that rests on a session: what it says of itself, how long its lease is waited for, what its guardian is told."""

import asyncio
from typing import Any

import pytest
from grants import OLD, Guardian, granted
from scripted import DONE, READABLE, SILENCE, failing, got, node, script, timed

from aioha import Unavailable
from aioha.elections.protocol import Leader, Operation
from aioha.guardian import facts
from aioha.heartbeat import Stake
from aioha.session import SessionState
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NoNode, ResponseError, SessionExpired, SessionMoved

CONFIRM = ["check /e.aioha at 6", "exists /e/n watch"]
OURS = node(50, owner=7)


async def test_what_a_term_says_of_itself() -> None:
    grant = granted(session := script())
    assert (grant.session, grant.path, grant.node, grant.node_version, grant.czxid) == (session, "/e", "/e/n", 1, 50)
    assert (grant.token, grant.number, grant.leader) == (55, 3, Leader("me", b"data", 55, 12.5))
    assert (grant.predecessor, grant.unfenced, grant.ended_mark) == (OLD, (OLD,), b"55 40")
    assert (grant.settle, grant.stop_grace, grant.ended, grant.no_transactions) == (2.0, 1.0, None, None)
    assert (grant.deadline, grant.lease, grant.seated, grant.doubtful) == (100.0, 6.0, True, False)
    assert granted(no_transactions="no record").no_transactions == "no record"


def test_what_is_left_of_the_lease_and_of_the_wait() -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        grant = granted(session := script())
        session.lease.deadline = loop.time() + 10.0
        assert (grant.usable, grant.unsettled) == (9.0, 2.0)
        await asyncio.sleep(1.5)
        assert (grant.usable, grant.unsettled) == (7.5, 0.5)
        await asyncio.sleep(1.0)
        assert grant.unsettled == 0.0
        other = granted(session)
        session.become(SessionState.EXPIRED)
        assert other.unsettled == 0.0

    assert timed(play) == 2.5


@pytest.mark.parametrize(
    ("state", "seated", "doubtful"),
    [
        (SessionState.CONNECTED, True, False),
        (SessionState.SUSPENDED, True, True),
        (SessionState.EXPIRED, False, False),
    ],
)
async def test_a_seat_is_held_as_long_as_the_session_lives(state: SessionState, seated: bool, doubtful: bool) -> None:
    grant, without = granted(session := script(OURS, OURS)), granted(session, has_seat=False)
    session.become(state)
    assert (grant.seated, grant.doubtful) == (seated, doubtful)
    assert without.seated is False


async def test_a_term_hands_on_what_its_transactions_need() -> None:
    grant = granted(session := script(DONE), acl=READABLE)
    assert await grant.commit([Operation("create", "/a")], lambda: None) is True
    session.assert_asked("check /e.aioha at 6 + check /e/n at 1 + create /a '' for world:anyone=1")
    with pytest.raises(KeyError):
        await grant.commit([Operation("create", "/a")], lambda: {}[1])
    reading = asyncio.ensure_future(granted(session := script(got(b"data"))).client().get_data("/a"))
    assert await reading == b"data"
    session.assert_asked("get /a")


async def test_what_a_hook_has_done_is_written_down() -> None:
    grant = granted(session := script(DONE))
    await grant.fenced(OLD)
    session.assert_asked("check /e.aioha at 6 + set /e.aioha/ended '40'")
    assert (grant.unfenced, grant.ended_mark, grant.ended) == ((), b"55", None)
    grant = granted(script(failing(0, NoNode())))
    await grant.fenced(OLD)
    assert grant.ended == "the record was deleted by someone else"


# ---------------------------------------------------------------------- the lease


@pytest.mark.parametrize("waits", ["leased", "ready"])
@pytest.mark.parametrize(("ahead", "seconds"), [(3.0, 0.0), (2.9, 3.0)])
def test_a_lease_is_worth_starting_on_with_a_quarter_of_the_timeout_beyond_the_grace(
    waits: str, ahead: float, seconds: float
) -> None:
    async def play() -> None:
        loop = asyncio.get_running_loop()
        grant = granted(session := script())
        session.lease.deadline = loop.time() + ahead

        def proved() -> None:
            session.lease.deadline = loop.time() + 6.0
            session.heartbeat.proofs[-1].set_result(None)

        loop.call_later(3.0, proved)
        await getattr(grant, waits)(asyncio.Event())
        assert all(proof.done() for proof in session.heartbeat.proofs)
        assert len(session.heartbeat.proofs) == (3 if seconds else 0)  # looked at with each heartbeat, too

    assert timed(play) == seconds


@pytest.mark.parametrize("waits", ["leased", "ready"])
def test_the_wait_ends_when_the_term_does_or_when_it_is_interrupted(waits: str) -> None:
    async def play(what: str) -> None:
        loop, guardian = asyncio.get_running_loop(), Guardian()
        grant = granted(session := script(), guardian=guardian)
        session.lease.deadline = 0.0
        interrupted = asyncio.Event()
        if what == "interrupted":
            loop.call_later(0.25, interrupted.set)
        else:
            loop.call_later(0.25, session.become, SessionState.EXPIRED)
        await getattr(grant, waits)(interrupted)
        assert guardian.told == []
        await getattr(grant, waits)(interrupted)  # at once

    assert timed(lambda: play("interrupted")) == 0.25
    assert timed(lambda: play("ended")) == 0.25


# ---------------------------------------------------------------------- guardians


async def test_a_guardian_is_told_of_the_lease_and_of_the_last_will_and_that_both_are_over() -> None:
    guardian, will = Guardian(), ((("/e.aioha", 6),), (("/e/n", 1),), ())
    wills = list[Any]()

    def last_will(grant: Any) -> Any:
        wills.append(grant)
        return will

    grant = granted(session := script(), guardian=guardian, last_will=last_will)
    session.lease.deadline = 1e9
    now = asyncio.Event()
    await grant.leased(now)
    await grant.leased(now)
    assert guardian.told == [("begin", session.lease, 1.0)]
    await grant.ready(now)
    await grant.ready(now)
    assert guardian.told[1:] == [("know", (facts.TERM, "/e"), will)]
    assert wills == [grant]
    releasing = asyncio.ensure_future(grant.release())
    await asyncio.sleep(0)
    assert guardian.told[2:] == [("end", session.lease)]
    grant.gone.set_result(None)  # type: ignore[attr-defined]
    await releasing
    assert guardian.told[3:] == [("forget", (facts.TERM, "/e"))]


async def test_a_guardian_that_could_do_nothing_is_told_of_no_will() -> None:
    grant = granted(session := script(), guardian=(guardian := Guardian()))
    session.lease.deadline = 1e9
    await grant.ready(asyncio.Event())
    assert guardian.told == [("begin", session.lease, 1.0)]


async def test_a_term_that_never_began_to_work_has_told_its_guardian_nothing() -> None:
    grant = granted(guardian=(guardian := Guardian()))
    grant.gone.set_result(None)  # type: ignore[attr-defined]
    await grant.release()
    assert guardian.told == []
    over = asyncio.Event()
    over.set()
    grant = granted(session := script(), guardian=guardian)
    session.lease.deadline = 1e9
    await grant.ready(over)
    assert guardian.told == []


# ---------------------------------------------------------------------- asking the ensemble


async def test_a_term_that_stands_is_confirmed_in_one_round_trip_which_proves_its_lease() -> None:
    grant = granted(session := script(DONE, OURS))
    await grant.confirm()
    session.assert_asked(*CONFIRM)
    assert session.watchers == [grant.node_event]
    assert session.heartbeat.proved == [(session, "anchor 1", "/e")]
    assert (grant.ended, session.waited) == (None, 1)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ((failing(0, BadVersion()), OURS), "another candidate took over (the record has changed)"),
        ((failing(0, NoNode()), OURS), "the record was deleted by someone else"),
        ((failing(0, NoAuth()), OURS), f"the ensemble answered: {NoAuth()}"),
        ((DONE, NoNode()), "the leader's node was deleted by someone else"),
        ((DONE, node(51, owner=7)), "the leader's node was deleted and made anew by someone else"),
        ((DONE, node(50, owner=8)), "the leader's node was deleted and made anew by someone else"),
        ((SessionExpired(), OURS), f"the ensemble answered: {SessionExpired()}"),
    ],
)
async def test_why_a_term_is_not_confirmed(answers: Any, why: str) -> None:
    grant = granted(script(*answers))
    await grant.confirm()
    assert grant.ended == why


def test_without_an_answer_nothing_is_confirmed() -> None:
    async def play(*answers: Any, state: SessionState = SessionState.CONNECTED) -> None:
        grant = granted(session := script(*answers))
        session.state = state
        with pytest.raises(Unavailable) as unavailable:
            await grant.confirm()
        assert str(unavailable.value) == "/e: the ensemble did not confirm term 55: the cable was cut"
        assert unavailable.value.__cause__ is not None
        assert grant.ended is None

    assert timed(lambda: play(SILENCE, SILENCE)) == round(8.0 / 3, 9)
    assert timed(lambda: play(ConnectionLoss(), OURS)) == 0.0
    assert timed(lambda: play(DONE, ConnectionLoss())) == 0.0
    assert timed(lambda: play(SessionMoved(), OURS)) == 0.0  # it says nothing of the term
    assert timed(lambda: play(state=SessionState.SUSPENDED)) == 0.0


@pytest.mark.parametrize("error", [SessionMoved(), SessionExpired()])
async def test_of_a_session_that_has_moved_or_is_over_attaching_again_tells(error: ResponseError) -> None:
    grant = granted(script(failing(0, error), OURS))
    with pytest.raises(Unavailable, match=f"did not confirm term 55: it answered {error}"):
        await grant.confirm()
    assert grant.ended is None


async def test_a_stake_that_proves_the_lease_already_is_taken_over() -> None:
    stake = Stake("/e", [], lambda error: None)
    grant = granted(session := script(), stake=stake)
    assert session.heartbeat.stakes == []
    stake.refuted(BadVersion())
    assert grant.ended == "another candidate took over (the record has changed)"
    own = granted(session)
    assert [(each.path, each.checks, each.refuted) for each in session.heartbeat.stakes] == [("/e", own.checks, own.refuted)]
    assert session.heartbeat.hurries == [True]
