"""Reading and writing the lock file's bytes on disk: in which order, and made to last.

Knows no lock. Who writes must hold it; who reads without it may find the file in the writing.
"""

import errno
import os

from . import record
from .record import Account, Slot

__all__ = ["FILE_FLAGS", "Inode", "inode", "inode_at", "read_all", "read_file", "write"]

Inode = tuple[int, int]
MOST_READ = 32 * 1024 * 1024
# O_NONBLOCK: a fifo in the file's place must be refused, not waited for.
FILE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def read_file(path: str) -> tuple[bytes, int] | None:
    """The bytes and the owner's uid of the lock file, without any lock, or None if there is none. Raises `OSError`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        return read_all(fd), os.fstat(fd).st_uid
    finally:
        os.close(fd)


def read_all(fd: int) -> bytes:
    return os.pread(fd, min(os.fstat(fd).st_size, MOST_READ), 0)


def inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino


def inode_at(path: str) -> Inode | None:
    try:
        return inode(os.stat(path, follow_symlinks=False))
    except OSError:
        return None


def write(fd: int, slot: Slot, account: Account, directory: str, *, over: bool = False, lasting: bool = True) -> None:
    """Account, then slot, then the disk. A new file gets a slot first of all, so that one without any is damaged.

    `over`: whatever the file says is not ours and is overwritten, both slots. `lasting`: return when it is on disk.
    """
    packed = record.pack_account(account)
    size = os.fstat(fd).st_size
    if size == 0 or over:
        _write_at(fd, record.pack_slot(record.before(slot)), record.slot_offset(record.before(slot)))
    needed = record.ACCOUNT_AT + len(packed)
    if size < needed:
        _reserve(fd, needed)  # a full disk shows here, before anything old is overwritten
    _write_at(fd, packed, record.ACCOUNT_AT)
    if size > needed:
        os.ftruncate(fd, needed)
    _write_at(fd, record.pack_slot(slot), record.slot_offset(slot))
    if lasting:
        os.fdatasync(fd)
    if size == 0:
        _sync_directory(directory)  # a file that a power cut takes away would take its tokens along


def _write_at(fd: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written


def _reserve(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _sync_directory(directory: str) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
