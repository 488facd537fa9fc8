"""How a record, a seat and a place in line hold a candidate's data: as text that people can read, unless that is longer."""

import base64

import pytest

from aioha.record import LARGEST_ESCAPED, data_fields, read_data

CONTROL = b"\0"  # six bytes of JSON


@pytest.mark.parametrize(
    "data",
    [b"", b"text", "é".encode(), b"a" * 5000, "é".encode() * 3000, CONTROL * 170, b'"' * ((LARGEST_ESCAPED - 2) // 2)],
    ids=lambda data: f"{data[:2]!r} x {len(data)}",
)
def test_text_is_text(data: bytes) -> None:
    assert data_fields(data) == {"data": data.decode()}
    assert read_data(data_fields(data)) == data


@pytest.mark.parametrize(
    "data",
    [b"\xff", CONTROL * 171, CONTROL * 5000, b'"' * (LARGEST_ESCAPED // 2)],
    ids=lambda data: f"{data[:1]!r} x {len(data)}",
)
def test_what_is_no_text_or_grows_as_text_is_packed(data: bytes) -> None:
    fields = data_fields(data)
    assert list(fields) == ["data_base64"]
    assert read_data({**fields, "data": "old"}) == data
    assert len(fields["data_base64"]) < 2 * len(data) + 4


def test_text_that_is_as_long_as_the_packed_bytes_stays_text() -> None:
    as_long, longer = (b'"' * quotes + b"a" * (3000 - quotes) for quotes in (998, 999))  # 4000 and 4001 bytes of JSON
    assert list(data_fields(as_long)) == ["data"]
    assert data_fields(longer) == {"data_base64": base64.b64encode(longer).decode()}
