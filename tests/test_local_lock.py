"""Taking the lock of this host, which is a file and a name, and the standbys that wait for its end."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from locking import Loop, Take, guest, number, taking

from aioha.elections.local import lockfile
from aioha.elections.local.lockfile import Lock
from aioha.elections.local.place import Place
from aioha.elections.local.presence import connect, socket_name
from aioha.elections.local.record import Account, RecordedTerm, Slot
from aioha.errors import SessionFailed

SLOT = Slot(1, 5, 2, ended=False)
ACCOUNT = Account((RecordedTerm("a", b"", 5, 2, 0.0),))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place("local:x", f"{tmp_path.resolve()}/x.lock", named=True)


@pytest.fixture
def name(place: Place) -> bytes:
    return socket_name(place.path, 12345)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    loop = Loop()
    monkeypatch.setattr(lockfile, "asyncio", SimpleNamespace(get_running_loop=lambda: loop))
    return loop


@pytest.fixture
def take(place: Place, name: bytes) -> Iterator[Take]:
    with taking(place, name) as take:
        yield take


@pytest.fixture
def lock(take: Take, loop: Loop) -> Lock:
    lock = take()
    assert lock is not None
    return lock


# ---------------------------------------------------------------------- taking it


def test_who_has_the_file_and_the_name_has_the_lock(lock: Lock, take: Take, place: Place) -> None:
    assert (lock.place, lock.where, lock.in_owner) == (place, "local:x", True)
    assert lock.intact()
    assert lock.descriptors() == (lock._fd, number(lock))
    assert os.stat(place.path).st_mode & 0o7777 == 0o600
    assert lock.read() == b""
    assert take() is None


def test_a_file_that_is_locked_and_a_name_that_is_bound_are_both_another_leaders(
    take: Take, place: Place, name: bytes
) -> None:
    with open(place.path, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert take() is None
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(name)
        assert take() is None
        with open(place.path) as file:  # nor is the file kept by who has nothing but that
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert take() is not None


def test_what_keeps_the_lock_from_being_taken_is_raised_and_leaves_nothing(
    take: Take, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise SessionFailed("no")

    monkeypatch.setattr(lockfile, "check_file", refuse)
    with pytest.raises(SessionFailed, match="^no$"):
        take()
    monkeypatch.undo()
    Path(place.path).touch()
    os.chmod(place.path, 0o620)
    with pytest.raises(SessionFailed) as refused:
        take()
    assert str(refused.value) == f"local:x: {place.path} may be written by others (mode 0620); chmod 600 it"
    os.chmod(place.path, 0o600)
    with pytest.raises(OSError, match="too long"):
        Lock.acquire(place, b"\0" * 200)
    os.mkdir(f"{place.path}.d")
    with pytest.raises(IsADirectoryError):
        Lock.acquire(Place("local:x", f"{place.path}.d", named=True), b"\0x")


@pytest.mark.parametrize(("replaced", "taken"), [(0, True), (7, True), (8, False)])
def test_a_file_replaced_before_it_was_locked_is_let_go_for_the_new_one(
    take: Take, monkeypatch: pytest.MonkeyPatch, replaced: int, taken: bool
) -> None:
    real, asked = lockfile.inode_at, list[str]()

    def inode_at(path: str) -> Any:
        asked.append(path)
        return (0, 0) if len(asked) <= replaced else real(path)

    with monkeypatch.context() as patched:
        patched.setattr(lockfile, "inode_at", inode_at)
        assert (take() is not None) is taken
    assert len(asked) == min(replaced + 1, 8)


def test_a_file_that_cannot_be_opened_once_more_leaves_nothing(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    real, opened = os.open, list[int]()

    def opening(*args: Any) -> int:
        if opened:
            raise OSError(errno.EMFILE, "Too many open files")
        opened.append(real(*args))
        return opened[0]

    before = os.listdir("/proc/self/fd")
    with monkeypatch.context() as patched:
        patched.setattr(lockfile, "inode_at", lambda _: (0, 0))
        patched.setattr(os, "open", opening)
        with pytest.raises(OSError, match="Too many open files"):
            take()
    assert os.listdir("/proc/self/fd") == before


def test_the_file_is_the_highest_of_our_descriptors_and_no_program_inherits_it(lock: Lock) -> None:
    """A dying process lets them go highest first: who wakes by the socket finds the file free."""
    assert lock._fd > number(lock)
    assert not os.get_inheritable(lock._fd)
    before = lock._fd
    lock._keep_file_last(before - 1)
    assert lock._fd == before
    lock._keep_file_last(before + 20)
    assert lock._fd > before + 20
    assert not os.get_inheritable(lock._fd)
    assert lock.intact()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(before)


def test_without_a_descriptor_to_spare_it_stays_where_it_is(lock: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    before = lock._fd
    monkeypatch.setattr(fcntl, "fcntl", full)
    lock._keep_file_last(before + 20)
    assert lock._fd == before
    assert lock.intact()


@pytest.mark.parametrize("lasting", [True, False])
def test_what_is_saved_is_written_as_asked_for(lock: Lock, monkeypatch: pytest.MonkeyPatch, lasting: bool) -> None:
    written: list[Any] = []
    monkeypatch.setattr(lockfile, "write", lambda *args, **named: written.append((args, named)))
    lock.save(SLOT, ACCOUNT, **({} if lasting else {"lasting": False}))
    assert written == [((lock._fd, SLOT, ACCOUNT, lock.place.directory), {"lasting": lasting})]
    assert lock._state == (SLOT, ACCOUNT)


# ---------------------------------------------------------------------- standbys


def test_standbys_are_taken_in_and_seen_off(lock: Lock, loop: Loop, name: bytes) -> None:
    assert connect(name) == (False, None)  # nothing listens before it is told to
    lock.announce()
    assert loop.readers == {lock._listener: (lock._accept,)}
    lock._accept()  # a standby that has gone again before it was seen
    with guest(name), guest(name):
        lock._accept()
        lock._accept()
        accepted = set(lock._accepted)
        assert len(accepted) == 2
        assert loop.readers == {lock._listener: (lock._accept,), **{each: (lock._see_off, each) for each in accepted}}
        assert lock._fd == max(each.fileno() for each in accepted) + 1
        one = accepted.pop()
        lock._see_off(one)
        assert (one.fileno(), lock._accepted) == (-1, accepted)
        assert one not in loop.readers
    assert loop.timers == []


def test_so_many_standbys_and_no_more_are_taken_in_until_one_has_gone(
    lock: Lock, loop: Loop, name: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockfile, "MOST_ACCEPTED", 2)
    lock.announce()
    with guest(name), guest(name):
        lock._accept()
        assert lock._listener in loop.readers
        lock._accept()
        assert lock._listener not in loop.readers
        assert loop.timers == [(1.0, lock._accept_again)]
        lock._accept_again()
        assert loop.timers == [(1.0, lock._accept_again)] * 2
        assert lock._listener not in loop.readers
        lock._see_off(next(iter(lock._accepted)))
        lock._accept_again()
        assert loop.readers[lock._listener] == (lock._accept,)
        assert len(loop.timers) == 2
    lock.close()
    assert (loop.cancelled, loop.readers) == (1, {})


def test_out_of_descriptors_standbys_wait_a_second_outside(lock: Lock, loop: Loop) -> None:
    lock.announce()
    listener = lock._listener
    assert listener is not None

    class Failing:
        fileno, close = listener.fileno, listener.close

        def accept(self) -> Any:
            raise OSError(errno.EMFILE, "Too many open files")

    failing = Failing()
    lock._listener = failing  # type: ignore[assignment]
    loop.readers = {failing: (lock._accept,)}
    lock._accept()
    assert (loop.readers, loop.timers) == ({}, [(1.0, lock._accept_again)])
    lock._accept_again()
    assert loop.readers == {failing: (lock._accept,)}
