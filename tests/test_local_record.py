"""The lock file's bytes: the same in all versions, and of each damage what is safe to think and what is said."""

import json
import zlib
from typing import Any

import pytest

from aioha.elections.local import record
from aioha.elections.local.record import ACCOUNT_AT, Account, Process, RecordedTerm, Slot, Unreadable
from aioha.leaders import Predecessor

BLOCK = 4096
BLANK = Slot(0, 0, 0, ended=True)

TERMS = (
    RecordedTerm("a", b"10.0.0.1", 1, 1, 10.5, 11.25, "released", Process(1, 2, 3)),
    RecordedTerm("bé", b"\xff\x00y", 5, 2, 11.5, 12.0, "died"),
    RecordedTerm("c", b"10.0.0.3", 6, 3, 12.5, process=Process(10, 20, 30)),
)
UNFENCED = (Predecessor("z", b"\xfe", 4, ended_cleanly=False), Predecessor("", b"d" * 257, 2, ended_cleanly=False))
WRITTEN = (
    b"aioha-account-1 482 a398f559\n"
    b'{"terms": [\n'
    b'{"identity": "a", "data": "", "token": 1, "number": 1, "since": 10.5, "until": 11.25, "how": "released"},\n'
    b'{"identity": "b\\u00e9", "data": "\\udcff\\u0000y", "token": 5, "number": 2, "since": 11.5, "until": 12.0, '
    b'"how": "died"},\n'
    b'{"identity": "c", "data": "10.0.0.3", "token": 6, "number": 3, "since": 12.5, '
    b'"process": {"pid": 10, "started": 20, "namespace": 30}}\n'
    b'], "unfenced": [\n'
    b'{"token": 4, "identity": "z", "data": "\\udcfe"},\n'
    b'{"token": 2, "identity": "", "data": ""}\n'
    b"]}\n"
)


# ---------------------------------------------------------------------- the slots


@pytest.mark.parametrize(
    ("slot", "text"),
    [
        (Slot(3, 7, 2, ended=True), b"aioha-slot-1 3 7 2 1 2ce36af5"),
        (Slot(4, 70, 21, ended=False), b"aioha-slot-1 4 70 21 0 b061555c"),
    ],
)
def test_a_slot_is_one_line_of_text_that_can_be_read_again(slot: Slot, text: bytes) -> None:
    packed = record.pack_slot(slot)
    assert packed == text.ljust(255) + b"\n"
    assert record.unpack_slot(packed) == slot
    assert record.unpack_slot(packed + b"what comes behind it") == slot


def checked(text: bytes) -> bytes:
    return text + b"%08x" % zlib.crc32(text)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "wrong checksum"),
        (b"\0" * 256, "wrong checksum"),
        (b"aioha-slot-1 3 7 2 1 2ce36af6", "wrong checksum"),
        (b"aioha-slot-1 3 7 2 0 2ce36af5", "wrong checksum"),
        (checked(b"aioha-slot-2 3 7 2 1 "), "unknown format [b'aioha-slot-2']"),
        (checked(b"aioha-slot-1 3 7 2 "), "unknown format [b'aioha-slot-1']"),
        (checked(b"aioha-slot-1 3 7 2 1 0 "), "unknown format [b'aioha-slot-1']"),
        (checked(b" "), "unknown format []"),
    ],
)
def test_a_slot_that_is_not_ours_is_refused_with_the_reason(raw: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as refused:
        record.unpack_slot(raw)
    assert str(refused.value) == f"slot: {said}"


def test_a_slot_whose_fields_are_no_numbers_counts_as_damaged() -> None:
    good = record.pack_slot(Slot(3, 7, 2, ended=True))
    file = bytearray(2 * BLOCK)
    file[BLOCK : BLOCK + len(good)] = good
    words = checked(b"aioha-slot-1 four 7 2 1 ")
    file[: len(words)] = words
    assert record.newest_slot(bytes(file)) == Slot(3, 8, 3, ended=False, suspect=True)


def file_of(*slots: Slot) -> bytearray:
    file = bytearray(2 * BLOCK)
    for slot in slots:
        at = record.slot_offset(slot)
        file[at : at + 256] = record.pack_slot(slot)
    return file


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("sequence", [1, 2, 3, 4])
def test_the_newer_slot_counts_and_of_a_damaged_one_that_it_may_have_been_a_term_further(sequence: int, ended: bool) -> None:
    last, before = Slot(sequence, 40, 20, ended), Slot(sequence - 1, 39, 19, ended=True)
    assert [record.slot_offset(slot) for slot in (last, before)] == [sequence % 2 * BLOCK, (sequence + 1) % 2 * BLOCK]
    file = file_of(last, before)
    assert record.newest_slot(bytes(file)) == last
    assert record.newest_slot(bytes(file) + b"the account") == last
    for spoilt, left in ((before, last), (last, before)):
        torn = bytearray(file)
        torn[record.slot_offset(spoilt) + 20] ^= 1
        assert record.newest_slot(bytes(torn)) == Slot(left.sequence, left.token + 1, left.number + 1, False, suspect=True)


def test_slots_that_do_not_follow_one_another_are_suspect() -> None:
    """The one between them is lost."""
    assert record.newest_slot(bytes(file_of(Slot(5, 40, 20, True), Slot(2, 30, 10, True)))) == Slot(5, 41, 21, False, True)


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (b"", BLANK),
        (record.pack_slot(BLANK), BLANK),  # a new file, and the power is cut
        (bytes(file_of(BLANK)), BLANK),
        (bytes(file_of(BLANK)) + b"an account", BLANK),
        (bytes(file_of(BLANK)[: BLOCK + 1]) + b"X", Slot(0, 1, 1, False, suspect=True)),  # torn
        (bytes(file_of(Slot(1, 1, 1, False))), Slot(1, 2, 2, False, suspect=True)),  # slot 0 was never empty
    ],
)
def test_only_a_file_whose_second_slot_was_never_written_is_new(raw: bytes, state: Slot) -> None:
    assert record.newest_slot(raw) == state


def test_a_file_with_no_slot_at_all_is_damaged() -> None:
    with pytest.raises(Unreadable, match="^both slots are damaged$"):
        record.newest_slot(bytes(2 * BLOCK))


def test_how_one_state_leads_to_the_next() -> None:
    slot, suspect = Slot(3, 7, 2, ended=True), Slot(3, 7, 2, ended=False, suspect=True)
    assert record.begin(slot) == Slot(4, 8, 3, ended=False)
    assert record.end(slot) == record.end(suspect) == Slot(4, 7, 2, ended=True)
    assert record.renewed(slot) == Slot(4, 7, 2, ended=True)
    assert record.before(slot) == Slot(2, 7, 2, ended=True)
    assert record.before(Slot(2, 7, 2, ended=False)) == Slot(1, 7, 2, ended=False)
    assert record.before(Slot(1, 7, 2, ended=False)) == record.before(BLANK) == BLANK
    for floor in (0, 6, 7):
        assert record.raised(slot, floor) is slot
        assert record.raised(suspect, floor) == Slot(4, 7, 2, ended=False)
    for each in (slot, suspect):
        assert record.raised(each, 8) == Slot(4, 8, 2, each.ended)


def test_the_term_of_a_slot_is_the_accounts_line_on_it() -> None:
    terms = [RecordedTerm(name, b"", token, 1, 0.0) for name, token in (("a", 6), ("b", 7), ("c", 7), ("d", 8))]
    assert record.term_of(Slot(1, 7, 1, False), terms) is terms[2]
    assert record.term_of(Slot(1, 8, 1, False), terms) is terms[3]
    assert record.term_of(Slot(1, 9, 1, False), terms) is None
    assert record.term_of(Slot(1, 9, 1, False, suspect=True), terms) is terms[3]  # that of the token before is all we know
    assert record.term_of(Slot(1, 10, 1, False, suspect=True), terms) is None


# ---------------------------------------------------------------------- the account


def read(packed: bytes) -> Account:
    return record.unpack_account(bytes(ACCOUNT_AT) + packed)


def test_an_account_is_a_line_and_json_and_of_old_terms_it_keeps_the_name() -> None:
    packed = record.pack_account(Account(TERMS, UNFENCED))
    assert packed == WRITTEN.ljust(BLOCK - 1) + b"\n"
    first = RecordedTerm("a", b"", 1, 1, 10.5, 11.25, "released")
    owed = (UNFENCED[0], Predecessor("", b"", 2, ended_cleanly=False))
    assert read(packed) == Account((first, *TERMS[1:]), owed)


def test_an_account_without_debts_says_nothing_of_them() -> None:
    packed = record.pack_account(Account())
    assert packed.rstrip() == b'aioha-account-1 16 cdc67c99\n{"terms": [\n\n]}'
    assert read(packed) == Account() == record.unpack_account(b"") == record.unpack_account(bytes(ACCOUNT_AT))
    assert b"unfenced" not in record.pack_account(Account(TERMS))


def test_an_account_fills_whole_blocks_and_always_has_a_last_line() -> None:
    """Its length then seldom changes, and the disk has one thing less to write."""
    sizes = set[int]()
    for length in range(3 * BLOCK):
        if length % 500 and not 3960 < length < 4000:
            continue
        packed = record.pack_account(Account((RecordedTerm("a", b"x" * length, 1, 1, 0.0),)))
        sizes.add(len(packed))
        assert packed.endswith(b"\n")
        written = len(packed.rstrip(b" \n"))
        assert len(packed) % BLOCK == 0
        assert len(packed) - BLOCK < written + 2 <= len(packed)  # with the end of the JSON's line, and of the last
        assert read(packed).terms[0].data == b"x" * length
    assert sizes == {BLOCK, 2 * BLOCK, 3 * BLOCK}


def test_the_last_64_terms_are_kept_and_the_last_two_with_all_that_is_known() -> None:
    terms = tuple(RecordedTerm(f"c{n}", b"data", n, n, float(n), process=Process(n, n, n)) for n in range(1, 71))
    kept = read(record.pack_account(Account(terms))).terms
    assert [term.token for term in kept] == list(range(7, 71))
    assert [term.token for term in kept if term.data or term.process] == [69, 70]
    assert kept[-2:] == terms[-2:]
    few = read(record.pack_account(Account(terms[:1]))).terms
    assert few == terms[:1]


def account(body: bytes, **changed: Any) -> bytes:
    fields = {"magic": b"aioha-account-1", "length": b"%d" % len(body), "sum": b"%08x" % zlib.crc32(body), **changed}
    return b" ".join(fields.values()) + b"\n" + body


TERM = {"identity": "a", "data": "x", "token": 1, "number": 2, "since": 3.0}


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"?", "unknown format"),
        (account(b"{}", magic=b"aioha-account-2"), "unknown format"),
        (account(b"{}", length=b"-1"), "unknown format"),
        (account(b"{}", length=b"two"), "unknown format"),
        (account(b"{}", more=b"1"), "unknown format"),
        (b"aioha-account-1 2\n{}", "unknown format"),
        (account(b"{}", sum=b"00000000"), "wrong checksum"),
        (account(b"{}", length=b"1"), "wrong checksum"),
        (account(b"{"), "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (account(b"{}"), "'terms'"),
        (account(b'{"terms": 5}'), "'int' object is not iterable"),
        (account(b"[]"), "'list' object has no attribute 'get'"),
        (account(b'{"terms": [{}]}'), "'identity'"),
        (account(b'{"terms": [], "unfenced": [{"data": ""}]}'), "'identity'"),
    ],
)
def test_an_account_that_cannot_be_read_is_refused_with_the_reason(packed: bytes, said: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(packed)
    assert str(refused.value) == f"account of terms: {said}"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("lacks", sorted(TERM))
def test_a_line_without_one_of_its_fields_is_no_line(lacks: str) -> None:
    body = json.dumps({"terms": [{name: value for name, value in TERM.items() if name != lacks}]}).encode()
    with pytest.raises(Unreadable, match=f"^account of terms: '{lacks}'$"):
        read(account(body))


def test_debts_are_read_newest_first_and_each_once() -> None:
    owed = [{"token": token, "identity": f"c{token}", "data": "x\udcff"} for token in (3, 9, 3, 5)]
    unfenced = read(account(json.dumps({"terms": [TERM], "unfenced": owed}).encode())).unfenced
    assert unfenced == tuple(Predecessor(f"c{token}", b"x\xff", token, ended_cleanly=False) for token in (9, 5, 3))
