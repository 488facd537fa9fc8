"""Which terms are done with: what is written can be read, rubbish is safe, and no history loses a term to be fenced.

The histories are modelled: terms that end cleanly, crash, fence, fail to fence or crash in the middle of it, each seen
by a successor whose view may be as old as the record allows. The parts that decide are the real ones.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aioha.elections.zookeeper.ledger import LedgerView
from aioha.elections.zookeeper.oldterms import OldTerms
from aioha.ended import MOST_UNFENCED, Ended, clean_end, newest, parse_ended
from aioha.leaders import Predecessor
from aioha.record import Record, parse_record

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine proves nothing

tokens = st.integers(1, 2**63 - 1)
ended = st.builds(
    lambda before, token, rest: clean_end(before, [each for each in rest if each < before]).and_fenced(token, rest),
    tokens,
    tokens,
    st.lists(tokens, max_size=20),
)


def term(token: int) -> Predecessor:
    return Predecessor(f"c{token}", b"", token, ended_cleanly=False)


# ---------------------------------------------------------------------- there and back


@calm
@given(ended)
def test_what_is_written_can_be_read(ended: Ended) -> None:
    assert parse_ended(ended.encode()) == ended


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (b"7", Ended(7)),
        (b"7 5 3", Ended(7, (5, 3))),
        (b"7 3 5 3\n", Ended(7, (5, 3))),
        (b"7 5 unsettled", Ended(7, (5,), settled=False)),
        (b"unsettled", Ended()),
        (b"7 unsettled 5", Ended()),
        (b"", Ended()),
        (None, Ended()),
        (b"0", Ended()),
        (b"   ", Ended()),
        (b"rubbish", Ended()),
        (b"7 x", Ended()),
        (b"7,5", Ended()),
        (b"-7", Ended()),
        (b"+7", Ended()),
        (b"7_0", Ended()),
        (b"7.0", Ended()),
        ("\N{ARABIC-INDIC DIGIT SEVEN}".encode(), Ended()),
        (b"\xff", Ended()),
        (b"9" * 5000, Ended()),
        (b"99999999999999999999", Ended()),
        (b"9223372036854775807", Ended(2**63 - 1)),
        (b"9223372036854775808", Ended()),  # no store could compare what follows it
        (b"5 7", Ended()),  # 7 cannot be owed by who says that 5 was the newest
        (b"5 5", Ended()),
    ],
)
def test_rubbish_says_that_nothing_has_ended(raw: bytes | None, read: Ended) -> None:
    assert parse_ended(raw) == read


@calm
@given(st.binary(max_size=60))
def test_any_bytes_are_read(raw: bytes) -> None:
    assert parse_ended(parse_ended(raw).encode()) == parse_ended(raw)


@calm
@given(ended, st.lists(tokens, max_size=MOST_UNFENCED))
def test_the_rule(ended: Ended, listed: list[int]) -> None:
    """Of what a record lists, what is newer than the mark is to be fenced, and of what is older, what the mark names."""
    left = {each.token for each in ended.remaining(map(term, listed))}
    wanted = {token for token in listed if token > ended.token or token in ended.owing} | set(ended.owing)
    assert left == set(sorted(wanted, reverse=True)[:MOST_UNFENCED])


def test_who_is_owed_although_the_record_has_forgotten_it_is_somebody() -> None:
    assert Ended(7, (5, 3)).remaining([term(5)]) == (term(5), Predecessor("", b"", 3, ended_cleanly=False))


def test_newest_first_and_each_once() -> None:
    assert newest([term(1), term(3), term(2), term(3)]) == (term(3), term(2), term(1))


# ---------------------------------------------------------------------- histories


@dataclass(frozen=True)
class Plan:
    """One term. `ends`: cleanly, or not; `at`: in which step on the way, before the work or in it.

    hook: None where the candidate has none; else how many calls succeed before one raises (large: all do).
    stale: how old the view of `ended` is. late: share of its wait that it lives through. grace: its work may go on so long.
    """

    hook: int | None
    crashes_at: int | None
    stale: int
    late: float
    grace: int


plans = st.builds(
    Plan,
    hook=st.none() | st.integers(0, 3) | st.just(99),
    crashes_at=st.none() | st.integers(0, 8) | st.just(99),
    stale=st.integers(0, 4),
    late=st.floats(0, 1),
    grace=st.integers(0, 10),
)


class World:
    """The nodes beside an election, and what is really so."""

    def __init__(self) -> None:
        self.raw = b""
        self.zxid = 100
        self.version = 0
        self.marks = [b""]  # what `ended` has said since the last takeover
        self.now = 0.0
        self.open: dict[int, Predecessor] = {}  # not ended cleanly, and no hook has returned
        self.clean: set[int] = set()
        self.working_until: dict[int, float] = {}  # work of an owner who has not heard that it is over
        self.unwritten: set[int] = set()  # fenced, but nobody could write it down

    def view(self, mark: bytes) -> LedgerView:
        return LedgerView(parse_record(self.raw), self.version, self.zxid, parse_ended(mark))

    def lead(self, plan: Plan) -> None:
        seen = self.view(self.marks[max(0, len(self.marks) - 1 - plan.stale)])
        last = parse_ended(self.marks[-1])
        owed = (seen.token, seen.settle(seen.ended))
        record: Record = seen.record.successor(f"c{self.zxid + 1}", b"", plan.grace, 0, owed, seen.unfenced(seen.ended))
        self.raw, self.zxid, self.version, self.marks = record.encode(), self.zxid + 1, self.version + 1, self.marks[-1:]
        nowhere: Any = None
        old = OldTerms(nowhere, last, seen.unfenced(last))
        mine, settled = self.zxid, self.now + seen.settle(last)
        assert set(self.open) <= {each.token for each in old.left}
        self.open[mine] = term(mine)
        crashes = iter(step == plan.crashes_at for step in itertools.count())
        worked, cleanly = False, None
        if next(crashes):
            cleanly = False
        elif plan.hook is not None:
            cleanly = self.fence(old, last, plan.hook, crashes)
        if cleanly is None:
            assert plan.hook is None or set(self.open) == {mine}, "the work starts although a term is not fenced"
            worked, self.now = True, settled
            assert all(until <= self.now for until in self.working_until.values()), "two work"
            cleanly = plan.crashes_at is None
        if cleanly:  # whoever leaves early holds on for the rest of the wait
            self.now = settled
            self.marks.append(old.mark(mine))
            self.clean.add(mine)
            del self.open[mine]
        elif worked:
            self.working_until[mine] = self.now + plan.grace
        else:
            self.now += (settled - self.now) * plan.late

    def fence(self, old: OldTerms, last: Ended, fails_at: int, crashes: Iterator[bool]) -> bool | None:
        """None: all are fenced; else how the term ends before its work."""
        for count, each in enumerate(old.left):
            assert each.token not in self.clean, "handed to a hook although it ended cleanly"
            assert each.token in self.open or each.token in self.unwritten
            assert each == term(each.token)
            if count == fails_at:
                return True  # it raised: we resign
            if next(crashes):
                return False
            self.open.pop(each.token, None)  # the hook has returned
            self.working_until.pop(each.token, None)
            if next(crashes):
                self.unwritten.add(each.token)
                return False
            self.unwritten.discard(each.token)
            old.left = tuple(other for other in old.left if other != each)
            last = last.and_fenced(each.token, (other.token for other in old.left))
            self.marks.append(last.encode())
            if next(crashes):
                return False
        return None


OLD, LEAVES = Plan(None, 99, 0, 1.0, 10), Plan(None, 0, 0, 0.0, 1)  # dies, its work goes on; dies before it works
DIES, FENCES, HAS_NO_HOOK = Plan(None, 99, 0, 1.0, 5), Plan(99, None, 0, 1.0, 1), Plan(None, None, 0, 1.0, 1)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=1000)
@given(st.lists(plans, max_size=MOST_UNFENCED - 2))
@example([DIES, HAS_NO_HOOK, FENCES])
@example([DIES, HAS_NO_HOOK, Plan(99, 2, 1, 1.0, 1), FENCES])  # fences an older term than the last one, which ended cleanly
@example([DIES, Plan(0, None, 0, 1.0, 1), FENCES])  # its hook raised
@example([DIES, DIES, Plan(99, 3, 0, 0.0, 1), Plan(99, 1, 0, 0.0, 1), FENCES])  # fenced the newer of two, and died
@example([OLD, LEAVES, Plan(99, 3, 0, 0.0, 1), HAS_NO_HOOK])  # fenced the newer one, and died: the older one's work goes on
@example([OLD, LEAVES, LEAVES, Plan(99, 6, 0, 0.0, 1), HAS_NO_HOOK])  # the same, two of three
@example([DIES, Plan(99, 2, 0, 0.0, 1), FENCES])  # fenced, and died before it could write that
def test_no_history_loses_a_term_to_be_fenced(history: list[Plan]) -> None:
    world = World()
    for plan in history:
        world.lead(plan)
    world.lead(FENCES)


def test_what_is_never_fenced_is_not_waited_for_ever_again() -> None:
    """Elections without hooks must not pay for them: a term of long ago stays to be fenced, its long wait does not."""
    world = World()
    world.lead(Plan(None, 99, 0, 1.0, 1000))
    for _ in range(5):
        world.lead(Plan(None, None, 1, 1.0, 1))  # each saw the election before the last one ended
    world.lead(Plan(None, 99, 1, 1.0, 1))
    assert [each.token for each in world.view(world.marks[-1]).unfenced(parse_ended(world.marks[-1]))] == [107, 101]
    assert world.view(world.marks[-1]).settle(parse_ended(world.marks[-1])) == 1


def test_most_histories_are_not_trivial() -> None:
    """What the test above is worth: a term dies, another without a hook follows, a hook fails, the next one works."""
    world = World()
    for plan in (DIES, HAS_NO_HOOK, Plan(0, None, 0, 1.0, 1)):
        world.lead(plan)
        assert set(world.open) == {101}
    world.lead(FENCES)
    assert not world.open
    assert world.marks[-1] == b"104"


# ---------------------------------------------------------------------- how long to wait


def view_of(*, token: int = 9, grace: float = 1.0, owed: tuple[int, float] = (7, 5.0)) -> LedgerView:
    return LedgerView(Record(3, "c", b"", grace, 0, *owed), 3, token, Ended())


@pytest.mark.parametrize(
    ("mark", "wait"),
    [
        (b"", 5.0),
        (b"6", 5.0),
        (b"7", 1.0),  # the last one but one ended cleanly after all, or was fenced: nothing older is owed
        (b"7 5", 1.0),  # a clean end has waited for all before it
        (b"7 5 unsettled", 5.0),  # fenced, and an older one is not yet: it may have been waited for by nobody
        (b"9", 0.0),
        (b"9 5", 0.0),
        (b"rubbish", 5.0),
    ],
)
def test_fencing_shortens_the_wait_only_where_nobody_is_left(mark: bytes, wait: float) -> None:
    assert view_of().settle(parse_ended(mark)) == wait


def test_an_unreadable_record_is_newer_than_all_that_has_ended() -> None:
    """Its own zxid says nothing where tokens were lifted: by a mark alone it must not pass for ended."""
    lifted = LedgerView(Record(number=1, token_base=10**6), 3, 50, Ended(10**6))
    assert lifted.token > 10**6
    assert [each.identity for each in lifted.unfenced(Ended(10**6))] == [""]


def test_a_mark_of_a_term_that_never_was_is_not_believed() -> None:
    view = view_of()
    assert [each.token for each in view.unfenced(Ended(9))] == []
    assert [each.token for each in view.unfenced(Ended(10))] == [9]
    assert view.settle(Ended(10)) > 0
