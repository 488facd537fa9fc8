"""Whose a member is, by its name: the checksum that ours carry, digit by digit, and the order of numbers that wrap."""

import uuid
from unittest import mock

import pytest

from aioha.elections.zookeeper.dialects import DIALECTS

DIGITS = "00112233445566778899aabbccdd"
SIGNED = DIGITS + "282a"  # the lower half of its CRC-32
DASHED = "00112233-4455-6677-8899-aabbccdd282a"
STEMS = {
    "latch": f"_c_{DASHED}-latch-",
    "selector": f"_c_{DASHED}-lock-",
    "go-zk": f"_c_{SIGNED}-lock-",
    "kazoo": f"{SIGNED}__lock__",
    "zk-recipes": "n_",
}
layouts = pytest.mark.parametrize("layout", DIALECTS)
signing = pytest.mark.parametrize("layout", [layout for layout in DIALECTS if layout != "zk-recipes"])


@layouts
def test_a_stem_is_made_of_a_random_guid_and_its_checksum(layout: str) -> None:
    with mock.patch("uuid.uuid4", return_value=uuid.UUID(DIGITS + "ffff")):
        assert DIALECTS[layout].new_stem() == STEMS[layout]
    assert DIALECTS[layout].is_unique is (layout != "zk-recipes")


@signing
def test_our_own_are_known_by_it(layout: str) -> None:
    dialect = DIALECTS[layout]
    assert dialect.is_ours(f"{STEMS[layout]}0000000007") is True
    for _ in range(20):
        assert dialect.is_ours(f"{dialect.new_stem()}-2147483648") is True


@signing
def test_others_lack_it(layout: str) -> None:
    dialect, stem = DIALECTS[layout], STEMS[layout]
    for other in (stem.replace("282a", "282b"), stem.replace("00112233", "10112233"), stem.replace("282a", "0000")):
        assert dialect.is_ours(f"{other}0000000007") is False


@signing
@pytest.mark.parametrize("digits", ["", SIGNED[:-1], SIGNED + "0", SIGNED[1:], DIGITS, "0000"], ids=len)
def test_a_guid_has_32_digits(layout: str, digits: str) -> None:
    dialect = DIALECTS[layout]
    assert dialect.is_ours(f"{dialect.before}{digits}{dialect.after}0000000007") is False


def test_where_names_have_no_guid_none_is_ours() -> None:
    dialect = DIALECTS["zk-recipes"]
    for name in (f"n_{SIGNED}", "n_0000000007", f"{SIGNED}n_0000000007"):
        assert dialect.is_ours(name) is False


@layouts
def test_the_number_is_the_last_ten_digits_and_their_sign(layout: str) -> None:
    dialect, stem = DIALECTS[layout], STEMS[layout]
    assert dialect.number(f"{stem}0000000042") == 42
    assert dialect.number(f"{stem}-000000042") == -42
    assert dialect.number(f"{stem}-2147483648") == -(2**31)
    assert dialect.number(f"{stem}042") is None
    assert dialect.number(f"{stem}00000000042") is None


@layouts
def test_who_comes_first_is_a_matter_of_distance(layout: str) -> None:
    dialect, stem = DIALECTS[layout], STEMS[layout]

    def members(*numbers: str) -> list[str]:
        return [stem + number for number in numbers]

    assert dialect.in_order([]) == []
    assert dialect.in_order(["stranger", "another"]) == []
    far = members("2147483646", "2147483647", "-2147483648", "-2147483647")
    for first in far:  # whichever is looked at first
        assert dialect.in_order([first, "stranger", *far]) == far
    middle = members("1073741823", "1073741824", "1073741825")
    for first in middle:
        assert dialect.in_order([first, *middle]) == middle
    near = members("-000000001", "0000000000", "0000000001")
    assert dialect.in_order(reversed(near)) == near
    half = members("0000000000", "-2147483648")
    assert dialect.in_order(half) == half[::-1]
    assert dialect.in_order(half[::-1]) == half


def test_of_the_same_number_the_name_decides() -> None:
    dialect = DIALECTS["latch"]
    two = ["_c_a-latch-0000000001", "_c_b-latch-0000000001"]
    assert dialect.in_order(two) == dialect.in_order(two[::-1]) == two
