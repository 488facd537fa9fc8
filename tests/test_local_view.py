"""Who leads on this host, seen from outside: what is thought of each file and socket, and how long it is waited for."""

import errno
import os
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from aioha.elections.local import record, view
from aioha.elections.local.place import Place
from aioha.elections.local.presence import socket_name
from aioha.elections.local.record import ACCOUNT_AT, Account, RecordedTerm, Slot
from aioha.elections.local.view import View
from aioha.errors import SessionFailed, Unavailable
from aioha.leaders import Leader
from aioha.testing.simulated import Simulation, run

PLACE = Place("local:x", "/d/x.lock", named=True)
OWNER = 7
TERMS = (RecordedTerm("old", b"1", 4, 1, 10.5, 11.0, "died"), RecordedTerm("mine", b"2", 5, 2, 12.5))
LEADER = Leader("mine", b"2", 5, 12.5)
UNKNOWN = Leader("unknown", b"", 0, 0.0)


def file_of(slot: Slot, account: bytes | None = None) -> bytes:
    raw = bytearray(ACCOUNT_AT)
    for each in (record.before(slot), slot):
        at = record.slot_offset(each)
        raw[at : at + 256] = record.pack_slot(each)
    return bytes(raw) + (record.pack_account(Account(TERMS)) if account is None else account)


LEADING = file_of(Slot(3, 5, 2, ended=False))


class Seen:
    """A view of a file that reads so, and of a socket at which somebody listens or not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, raw: Any, *, alive: bool = True, room: bool = True) -> None:
        self.asked: list[Any] = []
        self.closed = 0
        self._raw = raw
        self._answer = alive, SimpleNamespace(close=self._close) if room and alive else None
        monkeypatch.setattr(view, "read_file", self._read)
        monkeypatch.setattr(view, "connect", self._connect)
        self.view = View(PLACE)

    def _read(self, path: str) -> Any:
        self.asked.append(path)
        if isinstance(self._raw, Exception):
            raise self._raw
        return None if self._raw is None else (self._raw, OWNER)

    def _connect(self, name: bytes) -> Any:
        self.asked.append(name)
        return self._answer

    def _close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("room", [True, False])
@pytest.mark.parametrize(
    ("raw", "leader"),
    [
        (LEADING, LEADER),
        (file_of(Slot(4, 5, 2, ended=True)), None),  # about to let go
        (file_of(Slot(3, 6, 3, ended=False)), Leader("unknown", b"", 6, 0.0)),  # lost from the account
        (file_of(Slot(3, 5, 2, ended=False), b"rubbish"), Leader("unknown", b"", 5, 0.0)),
        (b"rubbish", UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_who_listens_leads_and_the_file_says_who_that_is(
    monkeypatch: pytest.MonkeyPatch, raw: bytes | None, leader: Leader | None, room: bool
) -> None:
    seen = Seen(monkeypatch, raw, room=room)
    assert seen.view.look() == (True, leader)
    uid = os.geteuid() if raw is None else OWNER  # whoever looks: the socket is the file's owner's
    assert seen.asked == ["/d/x.lock", socket_name("/d/x.lock", uid), "/d/x.lock"]
    assert seen.closed == room


@pytest.mark.parametrize("raw", [LEADING, b"rubbish", None])
def test_where_nobody_listens_nobody_leads_whatever_the_file_says(
    monkeypatch: pytest.MonkeyPatch, raw: bytes | None
) -> None:
    assert Seen(monkeypatch, raw, alive=False).view.look() == (False, None)


def test_what_cannot_be_looked_at_is_refused_and_the_hosts_troubles_pass() -> None:
    refused = OSError(errno.ENXIO, "No such device")
    with mock.patch.object(view, "read_file", side_effect=refused), pytest.raises(SessionFailed) as failure:
        View(PLACE).look()
    assert str(failure.value) == "local:x: cannot read /d/x.lock: No such device; see to that"
    assert failure.value.__suppress_context__
    full = OSError(errno.EMFILE, "Too many open files")
    with mock.patch.object(view, "read_file", side_effect=full), pytest.raises(Unavailable) as passing:
        View(PLACE).look()
    assert str(passing.value) == "local:x: cannot see who leads: Too many open files"
    assert passing.value.__suppress_context__


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        (LEADING, (Slot(3, 5, 2, ended=False), TERMS, OWNER)),
        (file_of(Slot(3, 5, 2, ended=False), b"rubbish"), (Slot(3, 5, 2, ended=False), (), OWNER)),
        (b"rubbish", None),
        (None, None),
        (OSError(errno.EIO, "Input/output error"), None),
    ],
)
def test_a_peek_shows_what_can_be_read_and_raises_nothing(monkeypatch: pytest.MonkeyPatch, raw: Any, state: Any) -> None:
    assert Seen(monkeypatch, raw).view.peek() == state


@pytest.mark.parametrize(
    ("looks", "leader", "took"),
    [
        ([(False, None)], None, 0.0),
        ([(True, LEADER)], LEADER, 0.0),
        ([(True, UNKNOWN), (True, None), (True, LEADER)], LEADER, 0.003),
        ([(True, UNKNOWN), (False, None)], None, 0.001),
        ([(True, UNKNOWN)] * 7, UNKNOWN, 0.063),
        ([(True, None)] * 7, None, 0.063),
    ],
)
def test_a_file_in_the_writing_is_looked_at_again_for_a_little(looks: list[Any], leader: Leader | None, took: float) -> None:
    async def main(simulation: Simulation) -> None:
        begun = simulation.clock()
        with mock.patch.object(View, "look", mock.Mock(side_effect=looks)) as look:
            assert await View(PLACE).leader() == leader
        assert look.call_count == len(looks)
        assert round(simulation.clock() - begun, 6) == took

    run(main)
