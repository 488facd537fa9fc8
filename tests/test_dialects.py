"""The names of members in queues, as the software names them that we share elections with (sources: see docs)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.queue_observer import insist_on
from aioha.errors import LayoutMismatch

HEX = "[0-9a-f]"
UUID = f"{HEX}{{8}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{4}}-{HEX}{{12}}"
STEMS = {
    "latch": f"_c_{UUID}-latch-",
    "selector": f"_c_{UUID}-lock-",
    "go-zk": f"_c_{HEX}{{32}}-lock-",
    "kazoo": f"{HEX}{{32}}__lock__",
    "zk-recipes": "n_",
}
# As the software itself makes them.
FOREIGN = {
    "latch": "_c_32a7c6a4-1f5d-4f0e-9b61-0d6ac6f7ee1b-latch-0000000003",
    "selector": "_c_32a7c6a4-1f5d-4f0e-9b61-0d6ac6f7ee1b-lock-0000000003",
    "go-zk": "_c_32a7c6a41f5d4f0e9b610d6ac6f7ee1b-lock-0000000003",
    "kazoo": "32a7c6a41f5d4f0e9b610d6ac6f7ee1b__lock__0000000003",
    "zk-recipes": "n_0000000003",
}


def suffix(number: int) -> str:
    """As the servers write it: ten digits, signed."""
    return f"{number:010d}"


@pytest.mark.parametrize("layout", DIALECTS)
def test_a_members_name(layout: str) -> None:
    dialect = DIALECTS[layout]
    stem = dialect.new_stem()
    assert re.fullmatch(STEMS[layout], stem)
    assert dialect.is_unique == (dialect.new_stem() != stem)
    assert dialect.number(FOREIGN[layout]) == 3


@given(number=st.integers(-(2**31), 2**31 - 1), layout=st.sampled_from(list(DIALECTS)))
def test_every_number_that_servers_give_is_read(number: int, layout: str) -> None:
    dialect = DIALECTS[layout]
    assert dialect.number(dialect.new_stem() + suffix(number)) == number


@pytest.mark.parametrize("layout", DIALECTS)
@pytest.mark.parametrize("child", ["", "leader", "lock-", "latch-12", "n_12x", "0000000001", "_c_x-lease-0000000001"])
def test_what_is_no_member(layout: str, child: str) -> None:
    assert DIALECTS[layout].number(child) is None


@given(first=st.integers(-(2**31), 2**31 - 1), count=st.integers(1, 20), layout=st.sampled_from(list(DIALECTS)))
def test_the_order_survives_the_wrap_of_the_numbers(first: int, count: int, layout: str) -> None:
    dialect = DIALECTS[layout]
    numbers = [(first + n + 2**31) % 2**32 - 2**31 for n in range(count)]
    members = [dialect.new_stem() + suffix(number) for number in numbers]
    assert dialect.in_order(reversed([*members, "stranger"])) == members


@pytest.mark.parametrize("theirs", DIALECTS)
@pytest.mark.parametrize("ours", DIALECTS)
def test_members_of_another_dialect_are_refused(ours: str, theirs: str) -> None:
    children = [FOREIGN[theirs], "stranger"]
    if ours == theirs or {ours, theirs} == {"selector", "go-zk"}:  # they read each other's names
        insist_on(DIALECTS[ours], "/e", children)
    else:
        with pytest.raises(LayoutMismatch, match=re.escape(f"it holds {FOREIGN[theirs]}")):
            insist_on(DIALECTS[ours], "/e", children)
