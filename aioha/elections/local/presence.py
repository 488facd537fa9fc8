"""Who leads, seen from outside, and when it is worth trying again. Decides nothing: the lock does.

A leader listens on an abstract socket named after its file. A standby connects and waits for the end of the
connection, which the kernel brings within a millisecond of the leader's death; a pidfd tells the same where the socket
cannot be reached. A slow poll runs beside both, and what comes to nothing is repeated ever more slowly.
"""

import asyncio
import errno
import hashlib
import logging
import os
import random
import socket
import struct
from collections.abc import Callable, Iterable

from .record import Process

__all__ = ["POLL", "Watch", "connect", "first_readable", "open_pidfd", "socket_name", "this_process"]

log = logging.getLogger("aioha")
POLL = 0.5  # seconds; the net below all events
FIRST_PAUSE = 0.001
SETTLED = 0.02  # seconds; an end that comes sooner after looking was no new event


def socket_name(path: str, uid: int) -> bytes:
    """The abstract socket that stands for a lock file. Abstract names are per network namespace, not per directory."""
    digest = hashlib.sha256(b"%d:%s" % (uid, os.fsencode(path))).hexdigest()
    return b"\0aioha/%d/%s" % (uid, digest[:40].encode())


def connect(name: bytes) -> tuple[bool, socket.socket | None]:
    """Whether a leader listens there, and a connection to it; (True, None) if it has no room for another one.

    Never blocks: a unix socket connects at once or not at all. Raises `OSError` when out of descriptors.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connection.connect(name)
    except OSError as error:
        connection.close()
        if error.errno in (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET):
            return False, None
        if error.errno == errno.EAGAIN:
            return True, None
        raise
    return True, connection


def owner_of(connection: socket.socket) -> int:
    """The uid of the process that listens at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return int(struct.unpack("iII", credentials)[1])


def this_process() -> Process | None:
    """How others can tell this process; None without /proc."""
    pid = os.getpid()
    started = _started(pid)
    namespace = _pid_namespace()
    return None if started is None or namespace is None else Process(pid, started, namespace)


def open_pidfd(process: Process | None) -> int | None:
    """A descriptor that becomes readable when `process` has died; None if that cannot be known from here, or if it
    is ourselves.
    """
    if process is None or process.pid == os.getpid() or process.namespace != _pid_namespace():
        return None
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:
        return None
    if _started(process.pid) == process.started:  # looked at after the pidfd was opened: it is this one for good
        return fd
    os.close(fd)
    return None


def _started(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _pid_namespace() -> int | None:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


async def first_readable(fds: Iterable[int], seconds: float) -> bool:
    """Wait until one of `fds` is readable, at most `seconds`; whether one was."""
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[bool] = loop.create_future()

    def wake(result: bool) -> None:
        if not woken.done():
            woken.set_result(result)

    timer = loop.call_later(seconds, wake, False)
    watched: list[int] = []
    try:
        for fd in fds:
            loop.add_reader(fd, wake, True)
            watched.append(fd)
        return await woken
    finally:
        timer.cancel()
        for fd in watched:
            loop.remove_reader(fd)


class Watch:
    """A standby's eye on the leader. Holds two descriptors at most; `close` lets them go."""

    def __init__(self, where: str, name: bytes) -> None:
        self._where = where
        self._name = name
        self._connection: socket.socket | None = None
        self._pidfd: int | None = None
        self._watched: Process | None = None
        self._pause = FIRST_PAUSE
        self._warned = False

    async def wait(self, holder: Callable[[], Process | None], most: float = POLL) -> None:
        """Return when the leader may have gone, and at the latest after about `most` seconds.

        `holder`: who leads according to the file, asked once we are connected, since a leader that listens has
        written it.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._look(holder)
        connected = self._connection is not None
        wanted = most * random.uniform(0.75, 1.0) if connected else min(self._pause, most)
        fds = [self._connection.fileno()] if self._connection is not None else []
        fds += [self._pidfd] if self._pidfd is not None else []
        woken = await first_readable(fds, wanted)
        waited = loop.time() - began
        if woken:
            self.close()
        if (connected and not woken) or (woken and waited >= SETTLED):
            self._pause = FIRST_PAUSE
            return
        # The last leader's lock is not free yet, or the next one not listening yet, or our own view is blocked:
        # look again soon, then less and less often.
        if waited < self._pause:
            await asyncio.sleep(self._pause - waited)
        self._pause = min(self._pause * 2 * random.uniform(0.8, 1.0), POLL)

    def _look(self, holder: Callable[[], Process | None]) -> None:
        try:
            if self._connection is None:
                _, self._connection = connect(self._name)
                if self._connection is not None:
                    self._check_owner(self._connection)
            process = holder()
            if process != self._watched or self._pidfd is None:
                self._close_pidfd()
                self._pidfd, self._watched = open_pidfd(process), process
        except OSError as error:  # out of descriptors: the poll goes on
            if not self._warned:
                log.warning("%s: cannot watch the leader, polling instead: %s", self._where, error.strerror)
            self._warned = True

    def _check_owner(self, connection: socket.socket) -> None:
        uid = owner_of(connection)
        if uid != os.geteuid() and not self._warned:
            log.warning("%s: a process of uid %d holds our socket's name; nobody can lead until it ends", self._where, uid)
            self._warned = True

    def _close_pidfd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
        self._pidfd = self._watched = None

    def close(self) -> None:
        """Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._close_pidfd()
