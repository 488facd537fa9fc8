"""The lock of this host when its file is lost or closed behind our back, and how it is let go."""

import asyncio
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from locking import Loop, Take, guest, number, taking

from aioha.elections.local import lockfile, record
from aioha.elections.local.lockfile import Lock
from aioha.elections.local.place import Place
from aioha.elections.local.presence import socket_name
from aioha.elections.local.record import Account, RecordedTerm, Slot

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


# ---------------------------------------------------------------------- a file that is lost


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [(each.levelno, each.getMessage()) for each in caplog.records]


LOST = "local:x: the lock file was removed or replaced while we lead"


def test_the_lock_follows_its_path_to_a_new_file(
    lock: Lock, loop: Loop, name: bytes, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """When a standby comes, which may have come upon the new one."""
    lock.announce()
    os.unlink(place.path)
    lock.follow_path()
    assert not os.path.exists(place.path)  # nothing was saved yet: there is nothing to lose
    lock.save(SLOT, ACCOUNT)
    with open(place.path, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(record.pack_slot(Slot(8, 90, 40, ended=True)))  # whatever it says
    with guest(name):
        lock._accept()
        assert record.newest_slot(Path(place.path).read_bytes()) == SLOT
        assert record.unpack_account(Path(place.path).read_bytes()) == ACCOUNT
        assert lock.intact()
        assert os.path.samestat(os.fstat(lock._fd), os.stat(place.path))
        assert lock._fd > max(number(lock), *(each.fileno() for each in lock._accepted))
        with open(place.path) as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        lock.follow_path()
    assert lines(caplog) == [(logging.WARNING, f"{LOST}; wrote it anew")]
    os.unlink(place.path)
    lock.follow_path()
    assert os.stat(place.path).st_mode & 0o7777 == 0o600
    assert os.path.samestat(os.fstat(lock._fd), os.stat(place.path))


@pytest.mark.parametrize("trouble", ["full disk", "open to others", "a link"])
def test_a_new_file_that_is_of_no_use_is_said_and_the_old_one_kept(
    lock: Lock, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    lock.save(SLOT, ACCOUNT)
    os.unlink(place.path)
    before, kept = os.listdir("/proc/self/fd"), lock._fd
    said = "[Errno 28] No space left on device"
    if trouble == "full disk":
        full = OSError(errno.ENOSPC, "No space left on device")
        monkeypatch.setattr(lockfile, "write", mock.Mock(side_effect=full))
    elif trouble == "a link":
        os.symlink("elsewhere", place.path)
        said = f"[Errno 40] Too many levels of symbolic links: '{place.path}'"
    else:
        Path(place.path).touch()
        os.chmod(place.path, 0o620)
        said = f"local:x: {place.path} may be written by others (mode 0620); chmod 600 it"
    lock.follow_path()
    assert lines(caplog) == [(logging.WARNING, f"{LOST}: {said}")]
    assert (lock._fd, os.listdir("/proc/self/fd")) == (kept, before)
    assert lock.intact()


# ---------------------------------------------------------------------- letting it go


def test_what_was_closed_behind_our_back_is_nobody_elses_to_be_closed(lock: Lock, place: Place) -> None:
    """Its number may be another file's by now."""
    lock.save(SLOT, ACCOUNT)
    os.unlink(place.path)
    fd = lock._fd
    os.close(fd)
    assert not lock.intact()
    lock.follow_path()
    assert not os.path.exists(place.path)
    theirs = os.open("/dev/null", os.O_RDONLY)
    os.dup2(theirs, fd)
    assert not lock.intact()
    lock.close()
    assert not lock.intact()
    os.close(fd)
    os.close(theirs)


def test_the_flock_goes_although_a_child_shares_the_file(lock: Lock, place: Place, take: Take) -> None:
    copy = os.dup(lock._fd)
    lock.close()
    again = take()
    assert again is not None
    os.close(copy)
    lock.close()
    assert lock.descriptors() == ()
    assert lock._fd < 0


def test_nothing_keeps_the_rest_from_being_closed(lock: Lock, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child, or a program that closes what it does not know, may have been quicker; and not every flock can be undone."""
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", mock.Mock(side_effect=OSError(errno.EINTR, "Interrupted")))
        lock.close()
    assert (lock._fd, lock.descriptors()) == (-1, ())
    other = take()
    assert other is not None
    for fd in other.descriptors():
        os.close(fd)
    other.close_descriptors()
    assert (other._fd, other.descriptors()) == (-1, ())


def test_a_child_lets_nothing_go(lock: Lock) -> None:
    lock._pid += 1
    before = os.listdir("/proc/self/fd")
    assert not lock.in_owner
    lock.close()
    assert os.listdir("/proc/self/fd") == before
    assert lock not in lockfile._locks
    lock._pid -= 1


def test_a_loop_that_is_closed_is_not_asked_for_anything(lock: Lock, loop: Loop) -> None:
    lock.announce()
    loop.closed = True
    loop.remove_reader = None  # type: ignore[method-assign,assignment]
    lock.close()
    assert lock.descriptors() == ()


async def test_on_a_real_loop_too(take: Take, name: bytes) -> None:
    lock = take()
    assert lock is not None
    lock.announce()
    with guest(name) as one:
        async with asyncio.timeout(20.0):
            while not lock._accepted:
                await asyncio.sleep(0)
        lock.close()
        assert one.recv(1) == b""
