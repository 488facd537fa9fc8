"""Seeing that a leader on this host is there, and that it has died: sockets, processes, and what waits for their ends."""

import asyncio
import errno
import io
import os
import socket
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aioha.elections.local import presence
from aioha.elections.local.presence import connect, first_readable, open_pidfd, owner_of, socket_name, this_process
from aioha.elections.local.record import Process

NOBODY = 2**22 + 1  # no process has this number


def test_a_file_has_one_name_for_each_user() -> None:
    """The same for all versions and whatever its path is made of: who binds another name leads beside the others."""
    assert socket_name("/run/lock/billing", 0) == b"\0aioha/0/3edf2c6591747f243d8dd4835d70516d2d961f95"
    assert socket_name("/d/\udcff", 1000) == b"\0aioha/1000/4405b1106d0e1263daeab30be08896ecc4679c35"


class Socket:
    """As the kernel's, but for what `connect` says."""

    made: list["Socket"]
    says: int

    def __init__(self, *kind: int) -> None:
        self.kind = kind
        self.asked: bytes | None = None
        self.closed = False
        Socket.made.append(self)

    def connect(self, name: bytes) -> None:
        self.asked = name
        if Socket.says:
            raise OSError(Socket.says, os.strerror(Socket.says))

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("number", "result"),
    [
        (0, True),
        (errno.ECONNREFUSED, False),
        (errno.ENOENT, False),
        (errno.ECONNRESET, False),
        (errno.EAGAIN, None),
        (errno.EMFILE, OSError),
    ],
)
def test_whether_a_leader_listens_is_known_at_once(monkeypatch: pytest.MonkeyPatch, number: int, result: Any) -> None:
    """None: it does, but has no room for another one."""
    Socket.made, Socket.says = [], number
    monkeypatch.setattr(socket, "socket", Socket)
    if result is OSError:
        with pytest.raises(OSError, match="Too many open files"):
            connect(b"\0name")
    else:
        alive, connection = connect(b"\0name")
        assert alive is (result is not False)
        assert connection is (Socket.made[0] if result else None)
    (made,) = Socket.made
    assert (made.kind, made.asked) == ((socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK), b"\0name")
    assert made.closed is (number != 0)


def test_the_owner_of_a_socket_is_the_user_behind_it() -> None:
    def getsockopt(*asked: int) -> bytes:
        assert asked == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return struct.pack("iII", 11, 2**31 + 22, 33)

    connection: Any = SimpleNamespace(getsockopt=getsockopt)
    assert owner_of(connection) == 2**31 + 22


# ---------------------------------------------------------------------- processes


def test_a_process_is_told_from_all_others_by_when_and_where_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    comm = Path(f"/proc/self/task/{os.getpid()}/comm")
    before = comm.read_text()
    comm.write_text("a) 1 (b")  # a name may look like anything
    try:
        process = this_process()
    finally:
        comm.write_text(before)
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    assert process == Process(os.getpid(), started, os.stat("/proc/self/ns/pid").st_ino)
    assert presence._started(NOBODY) is None
    for unknown in ("_started", "_pid_namespace"):
        with monkeypatch.context() as patched:
            patched.setattr(presence, unknown, lambda *_: None)
            assert this_process() is None


@pytest.mark.parametrize(
    ("stat", "started"),
    [(b"7 (x) " + b"1 " * 19 + b"20 21", 20), (b"7 (x) " + b"1 " * 19, None), (b"7 (x) " + b"1 " * 19 + b"x", None)],
)
def test_what_proc_says_of_a_process_is_read_or_not_known(
    monkeypatch: pytest.MonkeyPatch, stat: bytes, started: int | None
) -> None:
    asked: list[tuple[str, str]] = []

    def opening(path: str, mode: str) -> Any:
        asked.append((path, mode))
        return io.BytesIO(stat)

    monkeypatch.setattr(presence, "open", opening, raising=False)
    assert presence._started(7) == started
    assert asked == [("/proc/7/stat", "rb")]


def test_without_proc_no_process_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def stat(path: str) -> Any:
        asked.append(path)
        raise FileNotFoundError

    monkeypatch.setattr(presence, "os", SimpleNamespace(stat=stat))
    assert presence._pid_namespace() is None
    assert asked == ["/proc/self/ns/pid"]


class Kernel:
    """Process 8 began at 5, in namespace 3; its descriptor is a real one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[int] = []
        self.closed: list[int] = []
        monkeypatch.setattr(presence, "_started", {8: 5}.get)
        monkeypatch.setattr(presence, "_pid_namespace", lambda: 3)
        kernel = {"getpid": lambda: 7, "pidfd_open": self._open, "close": self.closed.append}
        monkeypatch.setattr(presence, "os", SimpleNamespace(**kernel))

    def _open(self, pid: int) -> int:
        if pid != 8:
            raise ProcessLookupError
        self.opened.append(pid)
        return 88


@pytest.mark.parametrize(
    ("process", "fd", "closed"),
    [
        (Process(8, 5, 3), 88, []),
        (Process(8, 6, 3), None, [88]),  # the number is another one's by now
        (Process(9, 5, 3), None, []),  # gone
    ],
)
def test_the_end_of_a_process_can_be_waited_for_if_it_is_the_one(
    monkeypatch: pytest.MonkeyPatch, process: Process, fd: int | None, closed: list[int]
) -> None:
    kernel = Kernel(monkeypatch)
    assert open_pidfd(process) == fd
    assert kernel.closed == closed


@pytest.mark.parametrize("process", [None, Process(7, 5, 3), Process(8, 5, 4), Process(7, 5, 4)])
def test_nobodys_end_is_waited_for_nor_ones_own_nor_where_numbers_mean_others(
    monkeypatch: pytest.MonkeyPatch, process: Process | None
) -> None:
    kernel = Kernel(monkeypatch)
    assert open_pidfd(process) is None
    assert kernel.opened == []


# ---------------------------------------------------------------------- waiting


async def test_whichever_becomes_readable_first_ends_the_wait_and_none_is_watched_any_more() -> None:
    loop = asyncio.get_running_loop()
    pipes = [os.pipe() for _ in range(2)]
    readers = [read for read, _ in pipes]
    try:
        assert await first_readable(readers, 0.001) is False
        assert await first_readable([], 0.001) is False
        for _, write in pipes:
            os.write(write, b"x")  # both, in one turn of the loop
        assert await first_readable(readers, 20.0) is True
        assert not any(loop.remove_reader(read) for read in readers)
    finally:
        for read, write in pipes:
            os.close(read)
            os.close(write)


async def test_a_descriptor_that_cannot_be_watched_leaves_no_other_watched() -> None:
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    try:
        with pytest.raises((OSError, ValueError)):
            await first_readable([read, -1], 20.0)
        assert not loop.remove_reader(read)
    finally:
        os.close(read)
        os.close(write)
