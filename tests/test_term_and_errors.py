"""A term as the work sees it, on a clock moved by hand, and the family of errors."""

import asyncio
import copy
import itertools
import math
import os
import pickle
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import aioha
from aioha import (
    ElectionError,
    Fenced,
    LayoutMismatch,
    Leader,
    LeadershipLost,
    LeadershipResigned,
    Predecessor,
    SessionFailed,
    Term,
    TermEnded,
    TransferRefused,
    Unavailable,
)
from aioha.elections import Operation
from aioha.term import lease_over, name_of

PLACE = "/master/billing"


# ---------------------------------------------------------------------- errors


PARENTS = {
    ElectionError: Exception,
    TermEnded: ElectionError,
    LeadershipLost: TermEnded,
    LeadershipResigned: TermEnded,
    Fenced: ElectionError,
    TransferRefused: ElectionError,
    Unavailable: ElectionError,
    SessionFailed: ElectionError,
    LayoutMismatch: ElectionError,
}


@pytest.mark.parametrize(("error", "parent"), PARENTS.items(), ids=lambda each: each.__name__)
def test_an_error_says_who_did_it_by_its_family(error: type[Exception], parent: type[Exception]) -> None:
    assert error.__bases__ == (parent,)
    assert (error.__doc__ or "").strip()


def test_these_are_all_errors_there_are() -> None:
    public = {value for value in vars(aioha).values() if isinstance(value, type) and issubclass(value, BaseException)}
    assert public == set(PARENTS)


def test_what_ends_a_term_is_not_taken_for_what_stops_a_candidate() -> None:
    ends, stops = (LeadershipLost, LeadershipResigned), (Unavailable, SessionFailed, LayoutMismatch, TransferRefused, Fenced)
    assert all(issubclass(error, TermEnded) for error in ends)
    assert not any(issubclass(error, TermEnded) for error in stops)
    for one, other in itertools.permutations((*ends, *stops), 2):
        assert not issubclass(one, other)


def test_no_error_is_taken_for_one_of_the_standard_library() -> None:
    """`except OSError` or `except ValueError` around work must not swallow the end of a term."""
    for error in PARENTS:
        assert set(error.__mro__) - set(PARENTS) == {Exception, BaseException, object}


def test_what_refused_a_transaction_travels_along() -> None:
    assert Fenced("why").operation is None
    for again in (copy.copy(Fenced("why", 2)), pickle.loads(pickle.dumps(Fenced("why", operation=2)))):  # noqa: S301
        assert (str(again), again.operation) == ("why", 2)


@pytest.mark.parametrize("error", PARENTS, ids=lambda each: each.__name__)
def test_an_error_survives_being_copied_and_sent_to_another_process(error: type[Exception]) -> None:
    original = error("term 7 of /master/billing: why")
    for again in (copy.copy(original), pickle.loads(pickle.dumps(original))):  # noqa: S301 - our own
        assert type(again) is error
        assert str(again) == str(original)


# ---------------------------------------------------------------------- terms


class Hands:
    """A clock that is moved by hand."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeGrant:
    """A `Grant` that does what the test says."""

    def __init__(self, deadline: float, *, stop_grace: float = 1.0, lease: float = 10.0, number: int | None = 7) -> None:
        self.token = 42
        self.number = number
        self.leader = Leader("me", b"me", 42, 0.0)
        self.predecessor = Predecessor("you", b"you", 41, ended_cleanly=True)
        self.unfenced: tuple[Predecessor, ...] = ()
        self.settle = 0.0
        self.stop_grace = stop_grace
        self.deadline = deadline
        self.lease = lease
        self.doubtful = False
        self.seated = True
        self.ended: str | None = None
        self.confirmed = 0
        self.on_confirm: Callable[[], None] = lambda: None
        self.committed: list[list[Operation]] = []
        self.on_commit: Callable[[], None] = lambda: None

    def listen(self, listener: Callable[[], None]) -> None:
        raise AssertionError("the term listens to nobody")

    async def leased(self, interrupted: asyncio.Event) -> None:
        raise AssertionError("not the term's business")

    async def ready(self, interrupted: asyncio.Event) -> None:
        raise AssertionError("not the term's business")

    async def fenced(self, predecessor: Predecessor) -> None:
        raise AssertionError("not the term's business")

    async def confirm(self) -> None:
        self.confirmed += 1
        self.on_confirm()

    no_transactions: str | None = None

    async def commit(self, operations: Sequence[Operation], check: Callable[[], None]) -> bool:
        check()
        self.committed.append(list(operations))
        self.on_commit()
        return self.ended is None

    def client(self) -> Any:
        return self

    async def release(self) -> None:
        raise AssertionError("not the term's business")


class Scene:
    """A term whose lease ends at 1010, of which the work has the time until 1009."""

    def __init__(self, *, number: int | None = 7, deadline: float = 1010.0) -> None:
        self.clock = Hands()
        self.grant = FakeGrant(deadline, number=number)
        self.ending: TermEnded | None = None
        self.resigned = 0
        self.term = Term(self.grant, PLACE, self.clock, lambda: self.ending, self._resign)

    async def _resign(self) -> None:
        self.resigned += 1


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_term_shows_what_it_was_granted(scene: Scene) -> None:
    term = scene.term
    assert (term.token, term.number) == (42, 7)
    assert term.leader.identity == "me"
    assert term.predecessor is not None
    assert (term.predecessor.identity, term.predecessor.ended_cleanly) == ("you", True)
    assert term.zookeeper is scene.grant
    assert repr(term) == "<Term 7 of /master/billing>"
    assert repr(Scene(number=None).term) == "<Term with token 42 of /master/billing>"


def test_what_remains_is_counted_to_when_the_work_must_stop(scene: Scene) -> None:
    for now, remaining in ((1000.0, 9.0), (1008.5, 0.5), (1009.0, 0.0), (1012.0, -3.0)):
        scene.clock.now = now
        assert scene.term.remaining == pytest.approx(remaining)


def test_what_remains_follows_renewals(scene: Scene) -> None:
    scene.clock.now = 1008.0
    scene.grant.deadline = 1018.0
    assert scene.term.remaining == pytest.approx(9.0)
    scene.term.check()


def test_check_passes_until_the_work_must_stop_and_not_at_that_moment(scene: Scene) -> None:
    for now in (1000.0, 1008.0, 1008.999):
        scene.clock.now = now
        scene.term.check()
    for now in (1009.0, 1009.001, 1010.0, 5000.0):
        scene.clock.now = now
        with pytest.raises(LeadershipLost):
            scene.term.check()


def test_without_a_lease_only_the_store_can_end_a_term() -> None:
    scene = Scene(deadline=math.inf)
    scene.clock.now = 1e12
    scene.term.check()
    assert scene.term.remaining == math.inf
    scene.ending = LeadershipLost("the lock is gone")
    with pytest.raises(LeadershipLost, match="the lock is gone"):
        scene.term.check()


@pytest.mark.parametrize("ending", [LeadershipLost("lost"), LeadershipResigned("resigned"), TermEnded("ended")])
def test_check_raises_what_has_ended_the_term(scene: Scene, ending: TermEnded) -> None:
    scene.ending = ending
    with pytest.raises(TermEnded) as raised:
        scene.term.check()
    assert raised.value is ending


def test_why_it_ended_goes_before_a_lease_that_ran_out_since(scene: Scene) -> None:
    """Else a resignation would look like a loss to whoever checks late."""
    scene.ending = LeadershipResigned("resigned")
    scene.clock.now = 2000.0
    with pytest.raises(LeadershipResigned):
        scene.term.check()


def test_a_lost_lease_is_diagnosed_with_its_numbers(scene: Scene) -> None:
    scene.clock.now = 1009.1
    with pytest.raises(LeadershipLost) as raised:
        scene.term.check()
    # The lease was counted from 1000, and the last second of it belongs to stopping.
    assert str(raised.value) == "term 7 of /master/billing: no answer from the ensemble for 9.1 s (lease 9.0 s)"
    nameless = lease_over(FakeGrant(1010.0, number=None), PLACE, 1009.1)
    assert str(nameless).startswith("term with token 42 of /master/billing: ")


def test_a_term_is_named_by_its_number_or_its_token() -> None:
    assert name_of(FakeGrant(0.0)) == "7"
    assert name_of(FakeGrant(0.0, number=None)) == "with token 42"


async def test_confirm_asks_the_store_between_two_checks(scene: Scene) -> None:
    await scene.term.confirm()
    assert scene.grant.confirmed == 1

    def refuted() -> None:
        scene.ending = LeadershipLost("another candidate took over")

    scene.grant.on_confirm = refuted
    with pytest.raises(LeadershipLost, match="another candidate"):
        await scene.term.confirm()
    assert scene.grant.confirmed == 2
    with pytest.raises(LeadershipLost):
        await scene.term.confirm()
    assert scene.grant.confirmed == 2  # a term that is over asks nobody


async def test_a_lease_that_ends_while_confirming_is_noticed(scene: Scene) -> None:
    def slow() -> None:
        scene.clock.now = 1009.5

    scene.grant.on_confirm = slow
    with pytest.raises(LeadershipLost, match=r"9\.5 s"):
        await scene.term.confirm()


async def test_no_answer_to_confirm_is_not_the_end_of_the_term(scene: Scene) -> None:
    def silent() -> None:
        raise Unavailable("nobody answered")

    scene.grant.on_confirm = silent
    with pytest.raises(Unavailable):
        await scene.term.confirm()
    scene.term.check()


async def test_an_unknown_outcome_of_a_transaction_is_a_loss_if_the_term_is_over_by_then(scene: Scene) -> None:
    def unknown() -> None:
        raise Unavailable("nobody knows")

    scene.grant.on_commit = unknown
    with pytest.raises(Unavailable, match="^nobody knows$"):
        async with scene.term.transaction():
            pass
    scene.grant.on_commit = lambda: (setattr(scene, "ending", LeadershipResigned("we resigned")), unknown())[0]
    with pytest.raises(LeadershipResigned, match="^we resigned; its last transaction may or may not") as raised:
        async with scene.term.transaction():
            pass
    assert isinstance(raised.value.__cause__, Unavailable)


async def test_a_transaction_is_checked_here_and_by_the_store(scene: Scene) -> None:
    async with scene.term.transaction() as t:
        t.set_data("/a", b"1", 3)
    assert scene.grant.committed == [[Operation("set_data", "/a", b"1", 3)]]
    scene.clock.now = 1009.0
    with pytest.raises(Fenced, match=r"^nothing was written: term 7 of /master/billing is over: no answer .* 9\.0 s"):
        async with scene.term.transaction():
            pass
    assert len(scene.grant.committed) == 1


async def test_what_cannot_be_fenced_says_why_at_once(scene: Scene) -> None:
    scene.grant.no_transactions = "no record"
    with pytest.raises(ElectionError, match="^/master/billing: no record$"):
        scene.term.transaction()


async def test_resign_is_passed_on(scene: Scene) -> None:
    await scene.term.resign()
    assert scene.resigned == 1


# ---------------------------------------------------------------------- forks and threads


def in_a_fork(action: Callable[[], str]) -> str:
    """What `action` returns in a forked child, which does nothing else."""
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: other tests' threads may be about
        child = os.fork()
    if child == 0:
        try:
            said = action()
        except BaseException as error:  # noqa: BLE001 - all of it is for the parent to judge
            said = f"{type(error).__name__}: {error}"
        os.write(writable, said.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        said = pipe.read().decode()
    assert os.waitpid(child, 0) == (child, 0)
    return said


def test_a_forked_child_does_not_hold_the_term(scene: Scene) -> None:
    def check() -> str:
        scene.term.check()
        return "passed"

    said = in_a_fork(check)
    assert said == f"TermEnded: term 7 of /master/billing belongs to process {os.getpid()}, not to its fork"
    scene.term.check()  # the parent's own is as it was


def test_a_forked_child_writes_nothing(scene: Scene) -> None:
    said = in_a_fork(lambda: repr(scene.term.transaction()))
    assert said == f"TermEnded: term 7 of /master/billing belongs to process {os.getpid()}, not to its fork"
    transaction = scene.term.transaction()  # made by the parent, used by the child

    async def commit() -> None:
        async with transaction as t:
            t.delete("/a")

    said = in_a_fork(lambda: repr(asyncio.run(commit())))
    assert said.startswith("Fenced: nothing was written: term 7 of /master/billing belongs to process")


def test_a_term_made_in_a_child_is_the_childs(scene: Scene) -> None:
    """Else the test above would pass for a term that no process may have."""

    def check() -> str:
        Scene().term.check()
        return "passed"

    assert in_a_fork(check) == "passed"


def test_check_may_be_called_from_any_thread(scene: Scene) -> None:
    """Each thread passes as long as the clock says so, is stopped after, and gets an error of its own."""
    count, rounds = 8, 300
    barrier = threading.Barrier(count + 1)
    stopped: list[LeadershipLost] = []
    wrong: list[BaseException | str] = []

    def work() -> None:
        try:
            for _ in range(rounds):
                scene.term.check()
            barrier.wait(10)  # all have passed; now the clock is moved
            barrier.wait(10)
            for _ in range(rounds):
                try:
                    scene.term.check()
                except LeadershipLost as lost:
                    stopped.append(lost)
                else:
                    wrong.append("passed after the end")
        except BaseException as error:  # noqa: BLE001 - the main thread judges it
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    barrier.wait(10)
    scene.clock.now = 1009.0
    barrier.wait(10)
    for thread in threads:
        thread.join(10)
    assert wrong == []
    assert len({id(lost) for lost in stopped}) == count * rounds


def test_check_needs_no_loop() -> None:
    """Where no event loop runs, in a thread of its own, it says the same."""
    scene, said = Scene(), list[str]()

    def work() -> None:
        scene.term.check()
        scene.clock.now = 1009.0
        try:
            scene.term.check()
        except TermEnded as ended:
            said.append(str(ended))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert said == ["term 7 of /master/billing: no answer from the ensemble for 9.0 s (lease 9.0 s)"]
