"""The lock file's way onto the disk: what is done in which order, on a new file and one that is there."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aioha.elections.local import record, storage
from aioha.elections.local.record import ACCOUNT_AT, Account, RecordedTerm, Slot
from aioha.elections.local.storage import FILE_FLAGS, inode_at, read_all, read_file, write

SLOT = Slot(3, 7, 2, ended=False)
BEFORE = Slot(2, 7, 2, ended=False)
LAST = Slot(2, 6, 1, ended=True)
SMALL = Account((RecordedTerm("a", b"", 7, 2, 0.0),))
LARGE = Account((RecordedTerm("a", b"x" * 5000, 7, 2, 0.0),))
IN_PLACE = ["write slot 2 at 0", "reserve 12288", "write account at 8192", "write slot 3 at 4096"]


class Calls:
    """What was done, in order. `most`: bytes that one write takes; `refuses`: the error number of `posix_fallocate`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.done: list[str] = []
        self.most = 1 << 20
        self.refuses = 0
        self._path = path
        self._real: dict[str, Callable[..., Any]] = {}
        for name in ("pwrite", "posix_fallocate", "ftruncate", "fdatasync", "fsync"):
            self._real[name] = getattr(os, name)
            monkeypatch.setattr(os, name, getattr(self, name))

    def _of(self, fd: int) -> str:
        target = os.readlink(f"/proc/self/fd/{fd}")
        return "file" if target == str(self._path) else "directory" if target == str(self._path.parent) else target

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        what = f"slot {record.unpack_slot(data).sequence}" if data.startswith(b"aioha-slot") else "account"
        self.done.append(f"write {what} at {offset}")
        return int(self._real["pwrite"](fd, data[: self.most], offset))

    def posix_fallocate(self, fd: int, offset: int, size: int) -> None:
        assert (self._of(fd), offset) == ("file", 0)
        self.done.append(f"reserve {size}")
        if self.refuses:
            raise OSError(self.refuses, os.strerror(self.refuses))
        self._real["posix_fallocate"](fd, offset, size)

    def ftruncate(self, fd: int, size: int) -> None:
        self.done.append(f"cut at {size}")
        self._real["ftruncate"](fd, size)

    def fdatasync(self, fd: int) -> None:
        self.done.append(f"sync {self._of(fd)}")

    def fsync(self, fd: int) -> None:
        self.done.append(f"sync {self._of(fd)}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path.resolve() / "election.lock"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, path: Path) -> Calls:
    return Calls(monkeypatch, path)


@pytest.fixture
def fd(path: Path) -> Iterator[int]:
    before = os.listdir("/proc/self/fd")
    opened = os.open(path, FILE_FLAGS, 0o600)
    yield opened
    os.close(opened)
    assert os.listdir("/proc/self/fd") == before


def content(slot: Slot, account: Account) -> tuple[Slot, Account]:
    """What a file that was written so says."""
    return slot, record.unpack_account(bytes(ACCOUNT_AT) + record.pack_account(account))


def says(path: Path) -> tuple[Slot, Account]:
    raw = path.read_bytes()
    assert len(raw) % 4096 == 0
    return record.newest_slot(raw), record.unpack_account(raw)


@pytest.mark.parametrize("lasting", [True, False])
def test_a_new_file_has_a_slot_before_all_else_and_its_name_is_made_to_last(
    path: Path, fd: int, calls: Calls, lasting: bool
) -> None:
    """Without any slot it is seen to be damaged; a file that a power cut takes away would take its tokens along."""
    write(fd, SLOT, SMALL, str(path.parent), lasting=lasting)
    assert calls.done == [*IN_PLACE, *(["sync file"] if lasting else []), "sync directory"]
    assert says(path) == content(SLOT, SMALL)


@pytest.mark.parametrize("over", [True, False])
def test_in_a_file_that_is_there_the_account_comes_before_its_slot(path: Path, fd: int, calls: Calls, over: bool) -> None:
    write(fd, LAST, SMALL, str(path.parent))
    calls.done.clear()
    write(fd, SLOT, SMALL, str(path.parent), over=over)
    usual = ["write account at 8192", "write slot 3 at 4096", "sync file"]
    assert calls.done == [*(["write slot 2 at 0"] if over else []), *usual]
    assert says(path) == content(SLOT, SMALL)
    assert record.unpack_slot(path.read_bytes()) == (BEFORE if over else LAST)


def test_a_file_is_as_long_as_its_account_and_grows_before_anything_is_written_over(
    path: Path, fd: int, calls: Calls
) -> None:
    write(fd, LAST, SMALL, str(path.parent))
    calls.done.clear()
    write(fd, SLOT, LARGE, str(path.parent), lasting=False)
    assert calls.done == ["reserve 16384", "write account at 8192", "write slot 3 at 4096"]
    assert says(path) == content(SLOT, LARGE)
    calls.done.clear()
    write(fd, SLOT, SMALL, str(path.parent), lasting=False)
    assert calls.done == ["write account at 8192", "cut at 12288", "write slot 3 at 4096"]
    assert says(path) == content(SLOT, SMALL)


def test_a_write_that_is_cut_short_goes_on(path: Path, fd: int, calls: Calls) -> None:
    calls.most = 1500
    write(fd, SLOT, LARGE, str(path.parent))
    assert [line for line in calls.done if "at 8192" in line or "account" in line] == [
        f"write account at {8192 + done}" for done in range(0, 8192, 1500)
    ]
    assert says(path) == content(SLOT, LARGE)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_that_reserves_nothing_is_written_to_all_the_same(
    path: Path, fd: int, calls: Calls, number: int
) -> None:
    calls.refuses = number
    write(fd, SLOT, SMALL, str(path.parent))
    assert says(path) == content(SLOT, SMALL)


def test_a_full_disk_spoils_nothing(path: Path, fd: int, calls: Calls) -> None:
    write(fd, LAST, SMALL, str(path.parent))
    calls.done.clear()
    calls.refuses = errno.ENOSPC
    with pytest.raises(OSError, match="No space left") as full:
        write(fd, SLOT, LARGE, str(path.parent))
    assert full.value.errno == errno.ENOSPC
    assert calls.done == ["reserve 16384"]
    assert says(path) == content(LAST, SMALL)


def test_a_file_is_read_as_a_whole_within_bounds_and_with_its_owner(
    path: Path, fd: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"0123456789")
    os.lseek(fd, 5, os.SEEK_SET)
    assert read_all(fd) == b"0123456789"
    opened: list[int] = []
    real = os.open

    def opening(path: str, flags: int) -> int:
        opened.append(flags)
        return real(path, flags)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", opening)
        assert read_file(str(path)) == (b"0123456789", os.stat(path).st_uid)
    assert opened == [os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK]
    monkeypatch.setattr(storage, "MOST_READ", 4)
    assert read_all(fd) == b"0123"
    assert read_file(f"{path}.none") is None


def test_what_cannot_be_read_leaves_no_descriptor(path: Path, fd: int) -> None:
    link = path.parent / "link"
    link.symlink_to(path)
    before = os.listdir("/proc/self/fd")
    for unusable in (link, path.parent):
        with pytest.raises(OSError, match=r"symbolic|directory"):
            read_file(str(unusable))
    assert os.listdir("/proc/self/fd") == before


def test_a_link_is_not_the_file_that_it_names(path: Path, fd: int) -> None:
    link = path.parent / "link"
    link.symlink_to(path)
    found = os.fstat(fd)
    assert inode_at(str(path)) == (found.st_dev, found.st_ino)
    assert inode_at(str(link)) not in (None, inode_at(str(path)))
    assert inode_at(f"{path}.none") is None


def test_a_directory_is_opened_as_one_to_be_synced(
    path: Path, fd: int, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, int]] = []
    real = os.open

    def opening(path: str, flags: int) -> int:
        opened.append((path, flags))
        return real(path, flags)

    monkeypatch.setattr(os, "open", opening)
    write(fd, SLOT, SMALL, str(path.parent))
    assert opened == [(str(path.parent), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    assert calls.done[-1] == "sync directory"
