"""Holding the lock: who has both the flock of the file and the socket named after its path leads.

Each covers for the other: a file that is unlinked or replaced can be locked twice, a socket's name can be bound only
once; and where network namespaces differ, the flock alone decides. Both go when the process dies, in whatever way.
A forked child shares them, so it closes its copies at birth. It never unlocks: the lock is the parent's.
"""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import socket
import threading

from ...errors import SessionFailed
from .place import Place, check_file
from .record import Account, Slot
from .storage import FILE_FLAGS, inode, inode_at, read_all, write

__all__ = ["Lock"]

log = logging.getLogger("aioha")
REPLACED_TRIES = 8
BACKLOG = 4096  # the kernel cuts it down to net.core.somaxconn
MOST_ACCEPTED = 256  # beyond it they wait in the backlog, which serves them as well
ACCEPT_AGAIN = 1.0  # seconds

# A fork between opening a descriptor and noting it down would hand the child a lock that nothing ever closes.
_guard = threading.RLock()
_locks: "set[Lock]" = set()


def _close_in_child() -> None:
    for lock in _locks:
        lock.close_descriptors()
    _locks.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_close_in_child)


class Lock:
    """The lock file and the socket, held or on the way there. All of it is synchronous."""

    def __init__(self, place: Place, name: bytes) -> None:
        self._place = place
        self._name = name
        self._fd = -1
        self._listener: socket.socket | None = None
        self._accepted: set[socket.socket] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pid = os.getpid()
        self._inode = (0, 0)
        self._state: tuple[Slot, Account] | None = None

    @classmethod
    def acquire(cls, place: Place, name: bytes) -> "Lock | None":
        """The lock, or None if somebody else has it. Raises `OSError`, `SessionFailed`. Nothing listens yet."""
        lock = cls(place, name)
        held = False
        try:
            with _guard:
                _locks.add(lock)
                held = lock._take_file() and lock._take_name()
        finally:
            if not held:
                lock.close()
        return lock if held else None

    def _take_file(self) -> bool:
        for _ in range(REPLACED_TRIES):
            self._fd = os.open(self._place.path, FILE_FLAGS, 0o600)
            check_file(self._place, os.fstat(self._fd))
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._inode = inode(os.fstat(self._fd))
            if inode_at(self._place.path) == self._inode:
                return True
            os.close(self._fd)  # replaced between open and flock
            self._fd = -1
        return False

    def _take_name(self) -> bool:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._listener.bind(self._name)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
        self._keep_file_last(self._listener.fileno())
        return True

    def _keep_file_last(self, other: int) -> None:
        """Let the file's descriptor be the highest of ours. A dying process's files are let go highest first (the
        kernel's task work is a stack; measured: 200 of 200 against 180), so who wakes on EOF finds the flock free.
        """
        if other > self._fd:
            with contextlib.suppress(OSError):  # at the limit of descriptors: then the standby tries twice
                moved = fcntl.fcntl(self._fd, fcntl.F_DUPFD_CLOEXEC, other + 1)
                os.close(self._fd)
                self._fd = moved

    def read(self) -> bytes:
        """The file's bytes. Raises `OSError`."""
        return read_all(self._fd)

    def save(self, slot: Slot, account: Account, *, lasting: bool = True) -> None:
        """Write; `lasting`: on the disk, which blocks for about 0.2 ms. Raises `OSError`: nothing that counts changed."""
        write(self._fd, slot, account, self._place.directory, lasting=lasting)
        self._state = (slot, account)

    def announce(self) -> None:
        """Listen, now that the file says who leads: whoever can connect can also read it. Raises `OSError`."""
        assert self._listener is not None
        self._listener.listen(BACKLOG)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Take in one standby. They could stay in the backlog, but those that have gone would fill it in time."""
        assert self._listener is not None
        assert self._loop is not None
        try:
            with _guard:
                guest, _ = self._listener.accept()
                self._accepted.add(guest)
                self._keep_file_last(guest.fileno())
        except BlockingIOError:
            return
        except OSError:  # out of descriptors
            self._pause_accepting()
            return
        self._loop.add_reader(guest, self._see_off, guest)
        if len(self._accepted) >= MOST_ACCEPTED:
            self._pause_accepting()
        self.follow_path()  # a standby that has come upon a new file must find our token in it

    def _see_off(self, guest: socket.socket) -> None:
        assert self._loop is not None
        self._loop.remove_reader(guest)
        with _guard:
            self._accepted.discard(guest)
            guest.close()

    def _pause_accepting(self) -> None:
        assert self._listener is not None
        assert self._loop is not None
        self._loop.remove_reader(self._listener)
        self._timer = self._loop.call_later(ACCEPT_AGAIN, self._accept_again)

    def _accept_again(self) -> None:
        assert self._listener is not None
        assert self._loop is not None
        if len(self._accepted) >= MOST_ACCEPTED:
            self._timer = self._loop.call_later(ACCEPT_AGAIN, self._accept_again)
        else:
            self._loop.add_reader(self._listener, self._accept)

    def follow_path(self) -> None:
        """If the file was unlinked or replaced, move the lock and what we know to the one that its path names now.

        Nobody else can lead meanwhile, or write there: the socket is ours. A failure is logged, and costs no more
        than tokens that start anew should we die.
        """
        if self._state is None or not self.intact() or inode_at(self._place.path) == self._inode:
            return
        fd = -1
        try:
            with _guard:
                fd = os.open(self._place.path, FILE_FLAGS, 0o600)
                check_file(self._place, os.fstat(fd))
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                write(fd, *self._state, self._place.directory, over=True)
                fd, self._fd = self._fd, fd
                self._inode = inode(os.fstat(self._fd))
                self._keep_file_last(max(guest.fileno() for guest in (self._listener, *self._accepted) if guest))
            log.warning("%s: the lock file was removed or replaced while we lead; wrote it anew", self._place.where)
        except (OSError, SessionFailed) as error:
            log.warning("%s: the lock file was removed or replaced while we lead: %s", self._place.where, error)
        finally:
            if fd >= 0:
                os.close(fd)

    @property
    def place(self) -> Place:
        return self._place

    def descriptors(self) -> tuple[int, ...]:
        """Of file and socket: whoever has copies of them holds the lock, too, whatever becomes of us."""
        return () if self._listener is None else (self._fd, self._listener.fileno())

    @property
    def where(self) -> str:
        return self._place.where

    @property
    def in_owner(self) -> bool:
        """Whether this is the process that took the lock, and no child of it."""
        return os.getpid() == self._pid

    def intact(self) -> bool:
        """Whether our descriptors are still ours: a program may close what it does not know (os.closerange)."""
        try:
            return self._fd >= 0 and inode(os.fstat(self._fd)) == self._inode
        except OSError:
            return False

    def close(self) -> None:
        """Let everything go, the flock before the socket: who wakes on its end must find the lock free. Idempotent."""
        with _guard:
            _locks.discard(self)
            if not self.in_owner:
                return
            if self._timer is not None:
                self._timer.cancel()
            if self._loop is not None and not self._loop.is_closed():
                for each in (self._listener, *self._accepted):
                    if each is not None and each.fileno() >= 0:
                        self._loop.remove_reader(each)
            if self.intact():
                with contextlib.suppress(OSError):  # explicitly, in case a child made without our fork hook shares it
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
            elif self._inode != (0, 0):
                self._fd = -1  # somebody closed it, and the number may be theirs now
            self.close_descriptors()

    def close_descriptors(self) -> None:
        """Close, and nothing else: this is what a forked child does."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1
        for each in (self._listener, *self._accepted):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.close()
        self._listener = None
        self._accepted.clear()
