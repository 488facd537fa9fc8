"""The record: what is written can be read, what others wrote is kept, and rubbish is a ValueError and nothing else."""

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aioha.ended import MOST_UNFENCED, newest
from aioha.leaders import Predecessor
from aioha.record import LARGEST, Record, parse_record

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine proves nothing
KNOWN = {
    "number",
    "identity",
    "data",
    "data_base64",
    "stop_grace",
    "token_base",
    "owed_token",
    "owed_grace",
    "unfenced",
}

numbers = st.integers(0, LARGEST)
graces = st.floats(0, 86400)
names = st.text(max_size=20)  # half surrogate pairs among them: JSON can hold what UTF-8 cannot
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(names, inside, max_size=3),
    max_leaves=10,
)
strangers = st.dictionaries(names.filter(lambda name: name not in KNOWN), plain, max_size=4)
owed = st.tuples(numbers, graces).map(lambda pair: pair if pair[1] else (0, 0.0))  # nothing owed is not written
old_terms = st.builds(Predecessor, names, st.binary(max_size=256), st.integers(1, 2 * LARGEST), st.just(False))
unfenced = st.lists(old_terms, max_size=MOST_UNFENCED + 2).map(newest)
records = st.builds(
    lambda number, identity, data, grace, base, owed, strange, unfenced: Record(
        number, identity, data, grace, base, owed[0], owed[1], strange, unfenced
    ),
    numbers,
    names,
    st.binary(max_size=40),
    graces,
    numbers,
    owed,
    strangers,
    unfenced,
)


def read(raw: bytes) -> Record | None:
    """None: refused, as rubbish is."""
    try:
        return parse_record(raw)
    except ValueError as error:
        assert len(str(error)) < 200  # noqa: PT017 - it goes into a log, whatever was written there
        return None


# ---------------------------------------------------------------------- there and back


@calm
@given(records)
@example(Record(1, "\ud800", b"\xff\xfe", 0.1, 5, unknown={"later": "\udfff"}))
@example(Record(LARGEST, "a", b"", 86400.0, LARGEST, LARGEST, 1.5, {"big": 10**4000}))
def test_what_is_written_can_be_read(record: Record) -> None:
    assert parse_record(record.encode()) == record


@calm
@given(records, names, st.binary(max_size=40), graces, st.integers(0, LARGEST))
def test_a_takeover_counts_on_and_keeps_what_a_newer_version_wrote(
    record: Record, identity: str, data: bytes, grace: float, base: int
) -> None:
    following = parse_record(record.encode()).successor(identity, data, grace, base)
    assert following == Record(record.number + 1, identity, data, grace, base, unknown=record.unknown)
    raw = following.encode()
    if record.number < LARGEST:
        assert parse_record(raw) == following


def test_a_record_is_what_people_expect_to_read() -> None:
    raw = Record(7, "zk1:42:ab", "Bücher".encode(), 1.0).encode()
    assert raw == '{"number":7,"identity":"zk1:42:ab","data":"Bücher","stop_grace":1.0}'.encode()


def test_terms_to_be_fenced_are_remembered_within_bounds() -> None:
    """The newest 16, newest first, each once; data that is too long is left out rather than cut."""
    terms = [Predecessor(f"c{token}", b"d" * (256 + token % 2), token, ended_cleanly=False) for token in (*range(1, 21), 7)]
    raw = Record(3, "a").successor("b", b"", 0.0, 0, unfenced=terms).encode()
    read = parse_record(raw).unfenced
    assert [each.token for each in read] == list(range(20, 4, -1))
    assert [len(each.data) for each in read] == [256, 0] * 8
    assert parse_record(raw).successor("c", b"", 0.0, 0).unfenced == ()  # a takeover says anew who is still to be fenced
    assert json.loads(raw)["unfenced"][0] == {"token": 20, "identity": "c20", "data": "d" * 256}
    assert len(raw) < 6000


def test_an_empty_node_says_that_nobody_has_led() -> None:
    assert parse_record(b"") == Record() == parse_record(b"{}")


@pytest.mark.parametrize("data", [b"", b"text", b"\0", b"\xff", b"\xed\xa0\x80", bytes(range(256)), "é".encode("latin-1")])
def test_data_is_bytes_whether_text_or_not(data: bytes) -> None:
    raw = Record(1, "a", data).encode()
    fields = json.loads(raw)
    assert ("data" in fields) != ("data_base64" in fields)
    assert parse_record(raw).data == data


def test_other_fields_cannot_pose_as_ours() -> None:
    raw = parse_record(b'{"number":3,"data":"old","data_base64":"bmV3","number2":4}').successor("a", b"x", 0.0, 0).encode()
    assert json.loads(raw) == {"number2": 4, "number": 4, "identity": "a", "data": "x", "stop_grace": 0.0}


def test_two_ways_of_giving_data_are_one() -> None:
    assert parse_record(b'{"data":"old","data_base64":"bmV3"}').data == b"new"


# ---------------------------------------------------------------------- unknown fields


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e999", "[[1e999]]", '{"a":[NaN]}', "[" * 300 + "]" * 300]
)
def test_a_stranger_that_others_could_not_read_again_is_dropped(value: str) -> None:
    """And the record is not: the numbers in it must not start anew."""
    record = parse_record(f'{{"number":7,"token_base":5,"strange":{value},"kept":[1]}}'.encode())
    assert (record.number, record.token_base, record.unknown) == (7, 5, {"kept": [1]})
    assert json.loads(record.encode(), parse_constant=pytest.fail) is not None


def test_what_could_be_read_can_be_written_from_deeper_down() -> None:
    """A takeover has more frames on its stack than the look before it."""

    def encode_below(frames: int, record: Record) -> bytes:
        return record.encode() if frames == 0 else encode_below(frames - 1, record)

    for depth in (1, 19, 20, 21, 400, 800):
        record = parse_record(b'{"number":1,"deep":' + b"[" * depth + b"]" * depth + b"}")
        assert parse_record(encode_below(700, record)).number == 1


# ---------------------------------------------------------------------- rubbish


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"10.0.0.2\0", "not JSON"),
        (b"\xff\xfe\xfd", "not JSON"),
        (b"{", "not JSON"),
        (b'{"number":1}}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"number":' + b"9" * 5000 + b"}", "not JSON"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"7", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"number":"1"}', "number"),
        (b'{"number":1.0}', "number"),
        (b'{"number":true}', "number"),
        (b'{"number":null}', "number"),
        (b'{"number":-1}', "number is out of range"),
        (b'{"number":4611686018427387904}', "number is out of range"),
        (b'{"token_base":-1}', "token_base is out of range"),
        (b'{"token_base":4611686018427387904}', "token_base is out of range"),
        (b'{"token_base":1e3}', "token_base"),
        (b'{"stop_grace":-0.1}', "stop_grace is out of range"),
        (b'{"stop_grace":86401}', "stop_grace is out of range"),
        (b'{"stop_grace":NaN}', "stop_grace is out of range"),
        (b'{"stop_grace":1e999}', "stop_grace is out of range"),
        (b'{"stop_grace":"1"}', "stop_grace"),
        (b'{"stop_grace":false}', "stop_grace"),
        (b'{"identity":5}', "identity"),
        (b'{"identity":null}', "identity"),
        (b'{"identity":' + b"[" * 500 + b"]" * 500 + b"}", "identity"),
        (b'{"unfenced":5}', "unfenced"),
        (b'{"unfenced":{}}', "unfenced"),
        (b'{"unfenced":[5]}', "unfenced holds a int"),
        (b'{"unfenced":[[]]}', "unfenced holds a list"),
        (b'{"unfenced":[{}]}', "unfenced: token is out of range"),
        (b'{"unfenced":[{"token":-1}]}', "unfenced: token is out of range"),
        (b'{"unfenced":[{"token":true}]}', "token"),
        (b'{"unfenced":[{"token":1,"identity":5}]}', "identity"),
        (b'{"unfenced":[{"token":1,"data_base64":"?"}]}', "data_base64"),
        (b'{"data":5}', "data"),
        (b'{"data_base64":5}', "data_base64"),
        (b'{"data_base64":"?"}', "data_base64 is not base64"),
        (b'{"data_base64":"YQ"}', "data_base64 is not base64"),
        ('{"data_base64":"é"}'.encode(), "data_base64 is not base64"),
    ],
)
def test_rubbish_is_refused_and_named(raw: bytes, said: str) -> None:
    with pytest.raises(ValueError, match="^" + said) as raised:
        parse_record(raw)
    assert type(raised.value) is ValueError
    assert len(str(raised.value)) < 200


@calm
@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_value_error(raw: bytes) -> None:
    record = read(raw)
    if record is not None:
        assert parse_record(record.encode()) == record


everything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | names,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(names, inside, max_size=3),
    max_leaves=8,
)


@calm
@given(st.dictionaries(st.sampled_from(sorted(KNOWN)) | names, everything, max_size=6) | everything, st.booleans())
@example({"owed_token": 1}, False)
def test_any_json_is_a_record_or_a_value_error(value: Any, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    record = read(raw)
    if record is not None:
        assert record.number >= 0
        assert math.isfinite(record.stop_grace)
        assert parse_record(record.encode()) == record
        assert parse_record(record.successor("next", b"", 0.0, 0).encode()).number == record.number + 1


@calm
@given(records, st.data())
def test_a_torn_or_flipped_record_is_a_record_or_a_value_error(record: Record, data: st.DataObject) -> None:
    raw = bytearray(record.encode())
    read(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    changed = read(bytes(raw))
    if changed is not None:
        changed.successor("next", b"", 0.0, 0).encode()


def test_base64_is_the_ordinary_alphabet() -> None:
    data = b"\xfb\xff\xfe"
    assert base64.b64encode(data) in Record(1, "a", data).encode()
