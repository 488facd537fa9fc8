"""What a candidate knows of the terms that were: how its own is numbered, and how far its token is lifted."""

from typing import Any

import pytest
from scripted import node, script

from aioha import Predecessor, SessionFailed
from aioha.elections.zookeeper.ground import Ground
from aioha.elections.zookeeper.ledger import LedgerView, View
from aioha.elections.zookeeper.succession import Succession
from aioha.ended import Ended
from aioha.record import LARGEST_BASE, Record
from aioha.settings import Settings
from aioha.wire import requests

NOBODY = LedgerView(Record(), 0, 0, Ended())
OLD = Predecessor("old", b"o", 40, ended_cleanly=False)
LAST = Record(
    number=3, identity="last", data=b"l", stop_grace=2.0, token_base=5, owed_token=40, owed_grace=1.5, unfenced=(OLD,)
)


def succession(**options: Any) -> Succession:
    settings = Settings(identity="me", **options)
    return Succession(Ground("/e", settings), settings)


def test_the_first_term() -> None:
    record = succession().record(script(), NOBODY, Ended(), 1000)
    assert record == Record(number=1, identity="me", data=b"me", stop_grace=0.8 + (6 * 0.5 + 0.1))


def test_a_term_after_one_that_has_not_ended() -> None:
    before = LedgerView(LAST, 6, 100, Ended())
    record = succession(data=b"mine", stop_grace=1.0).record(script(), before, Ended(40), 1000, earlier=3)
    last = Predecessor("last", b"l", 105, ended_cleanly=False)
    assert record == Record(
        number=4,
        identity="me",
        data=b"mine",
        stop_grace=1.0 + 9 * 0.5 + 0.1,
        token_base=5,
        owed_token=105,
        owed_grace=2.0,
        unfenced=(last,),
    )
    settled = succession().record(script(), before, Ended(105, (40,)), 1000)
    assert (settled.owed_token, settled.owed_grace, settled.unfenced) == (105, 0.0, (OLD,))


@pytest.mark.parametrize(("size", "kept"), [(4096, True), (4097, False)])
def test_much_data_is_left_to_the_leaders_node(size: int, kept: bool) -> None:
    data = b"x" * size
    assert succession(data=data).record(script(), NOBODY, Ended(), 1000).data == (data if kept else b"")


@pytest.mark.parametrize(
    ("highest", "seen", "ended", "floor", "base"),
    [
        (0, 0, 0, 0, 5),
        (1004, 0, 0, 0, 5),
        (1006, 0, 0, 0, 6),
        (0, 1007, 0, 0, 7),
        (0, 0, 1008, 0, 8),
        (0, 0, 0, 9, 9),
        (1006, 1007, 1008, 3, 8),
        (0, 0, 2**63 - 1, 0, LARGEST_BASE),
    ],
)
def test_tokens_are_lifted_above_all_that_were(highest: int, seen: int, ended: int, floor: int, base: int) -> None:
    knows = succession(token_floor=floor)
    knows.highest = highest
    knows.saw_token(seen)
    knows.saw_token(2)  # of no importance by now
    assert knows.record(script(), LedgerView(LAST, 6, 100, Ended()), Ended(ended), 1000).token_base == base


@pytest.mark.parametrize(
    ("view", "token"),
    [
        (View(None, None), 0),
        (View(requests.stat_of(node(70)), None), 70),
        (View(requests.stat_of(node(70)), LedgerView(LAST, 6, 100, Ended())), 105),
        (View(None, LedgerView(LAST, 6, 100, Ended())), 105),
    ],
)
def test_whoever_leads_or_has_led_is_remembered(view: View, token: int) -> None:
    knows = succession()
    assert knows.highest == 0
    knows.saw(view)
    if token:
        assert isinstance(knows.refusal(token), SessionFailed)
    assert knows.highest == 0
    assert knows.refusal(token + 1) is None
    assert knows.highest == token + 1


@pytest.mark.parametrize(("highest", "seen", "floor"), [(50, 0, 0), (0, 50, 0), (0, 0, 50), (50, 49, 48)])
def test_a_token_that_does_not_rise_is_refused(highest: int, seen: int, floor: int) -> None:
    knows = succession(token_floor=floor)
    knows.highest = highest
    knows.saw_token(seen)
    refused = knows.refusal(50)
    assert type(refused) is SessionFailed
    assert str(refused) == (
        "/e: token 50 would not exceed 50 (token_floor, or seen before: was the servers' data set back?); allow a record, "
        "which lifts tokens"
    )
    assert knows.highest == highest
    assert knows.refusal(51) is None
    assert isinstance(knows.refusal(51), SessionFailed)
