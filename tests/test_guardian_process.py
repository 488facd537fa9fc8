"""The guardian's process by itself: what it holds, what it tells nobody, when it ends, and whom it kills."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from candidates import until
from commands import alive

from aioha.clock import boottime
from aioha.guardian import facts
from aioha.guardian.facts import Board, Reader, pack
from aioha.guardian.guarded import Guardian
from aioha.guardian.leftovers import Leftovers
from aioha.guardian.process import Guardian as Process
from aioha.lease import Lease

MOST_MEMORY = 15 * 1024 * 1024


@pytest.fixture
async def guardian() -> AsyncIterator[Guardian]:
    guardian = Guardian(boottime)
    guardian.start()
    await guardian.heard()
    yield guardian
    await guardian.stop()


def memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


async def test_it_is_small_and_in_a_session_of_its_own(guardian: Guardian) -> None:
    assert guardian.pid is not None
    guardian.know(facts.SESSION, (1, b"p" * 16, 10.0, None))
    guardian.know(facts.SERVERS, [("127.0.0.1", 1)])
    await guardian.heard()
    assert memory(guardian.pid) < MOST_MEMORY
    assert os.getsid(guardian.pid) == os.getpgid(guardian.pid) == guardian.pid


async def test_it_loads_nothing_of_us_but_what_it_needs() -> None:
    """What one heavy import would do to its memory and its start, once for every candidate."""
    package = Path(facts.__file__).parent.parent
    code = (
        "import sys; a = sys.modules['aioha'] = type(sys)('aioha'); a.__path__ = [sys.argv.pop()]; "
        "from aioha.guardian.process import main; print(*sys.modules)"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", code, str(package), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    loaded = set(output.decode().split())
    ours = {name for name in loaded if name.partition(".")[0] == "aioha"}
    assert ours == {
        "aioha",
        "aioha.cgroup",
        "aioha.descendants",
        "aioha.guardian",
        *(f"aioha.guardian.{name}" for name in ("closing", "facts", "leftovers", "process")),
    }
    assert not loaded & {"asyncio", "ctypes", "dataclasses", "json", "logging", "subprocess", "typing"}


async def test_it_has_no_descriptor_of_ours_and_no_secret_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    ours, theirs = socket.socketpair()
    ours.set_inheritable(True)
    guardian = Guardian(boottime)
    guardian.start()
    guardian.know(facts.SESSION, (1, b"hunter2", 10.0, ("user", "hunter2")))
    await guardian.heard()
    try:
        files = [os.readlink(f"/proc/{guardian.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{guardian.pid}/fd")]
        assert f"socket:[{os.fstat(ours.fileno()).st_ino}]" not in files
        assert len(files) == 6, files  # link, /dev/null, stderr, pidfd, and the board twice, as its memory keeps one, too
        for name in ("environ", "cmdline"):
            assert b"hunter2" not in Path(f"/proc/{guardian.pid}/{name}").read_bytes()
    finally:
        await guardian.stop()
        ours.close()
        theirs.close()


async def test_it_ends_when_told(guardian: Guardian) -> None:
    pid = guardian.pid
    assert pid is not None
    begun = boottime()
    await guardian.stop()
    assert not alive(pid)
    assert boottime() - begun < 0.5


async def test_a_signal_to_everybody_does_not_take_it_first(guardian: Guardian) -> None:
    assert guardian.pid is not None
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(guardian.pid, number)
    await guardian.heard()
    assert alive(guardian.pid)


async def test_another_one_takes_over_with_all_that_was_known(guardian: Guardian, caplog: pytest.LogCaptureFixture) -> None:
    first = guardian.pid
    assert first is not None
    guardian.know(facts.TREE, True)
    os.kill(first, signal.SIGKILL)
    await until(lambda: guardian.pid not in (None, first))
    await guardian.heard()
    assert f"the guardian of this process (pid {first}) has ended with status -9" in caplog.text


async def test_a_frozen_one_holds_nobody_up(guardian: Guardian) -> None:
    assert guardian.pid is not None
    os.kill(guardian.pid, signal.SIGSTOP)
    begun, pid = boottime(), guardian.pid
    for number in range(20_000):  # more than any socket holds
        guardian.know((facts.TERM, str(number)), ((("/x", 1),), (("/x", 1), ("/x", -1)), (("/x", b"1"),)))
    await guardian.stop()
    assert boottime() - begun < 3
    assert not alive(pid)


async def test_where_there_can_be_none_it_is_said_and_that_is_all(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    monkeypatch.setattr(sys, "base_exec_prefix", "/nowhere")
    guardian = Guardian(boottime)
    guardian.start()
    guardian.know(facts.TREE, True)
    await guardian.heard()
    await guardian.stop()
    assert "no guardian for this process: no interpreter to run a guardian with" in caplog.text


async def test_a_program_that_embeds_python_has_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/uwsgi")
    guardian = Guardian(boottime)
    guardian.start()
    await guardian.heard()
    assert guardian.pid is not None
    await guardian.stop()


# ---------------------------------------------------------------------- frozen, or not


class Parent:
    """A guardian's view of one, without either process."""

    def __init__(self) -> None:
        self.board = Board()
        self.pidfd = os.pidfd_open(os.getpid())
        self.link, theirs = socket.socketpair()
        self.process = Process(self.pidfd, self.board, theirs, os.getpid(), Leftovers(os.getpid(), 0, 0))
        self._theirs = theirs

    def close(self) -> None:
        self.board.close()
        os.close(self.pidfd)
        self.link.close()
        self._theirs.close()


@pytest.mark.parametrize(
    ("deadline", "pulse", "late", "frozen"),
    [
        (float("inf"), 0.0, 0.0, False),  # nothing works
        (100.0, 99.9, 0.0, False),  # the loop turns: it is ending its work, or tells that it cannot
        (100.0, 98.0, 0.0, True),
        (101.0, 98.0, 0.0, False),  # there is time yet
        (100.1, 98.0, 0.0, True),  # there is, but killing takes some
        (100.0, 99.1, 0.0, False),  # it has told its work to end, at 99.0, and may be busy with that
        (101.5, 98.0, 0.0, False),
        (97.0, 96.5, 0.0, True),  # but not for so long
        (100.0, 90.0, 5.0, False),  # we were frozen just as long: first let it look at its clock
    ],
)
async def test_who_is_frozen(deadline: float, pulse: float, late: float, frozen: bool) -> None:
    parent = Parent()
    try:
        parent.board.write(deadline, 1.0, pulse, 10.0)
        assert parent.process._is_frozen(100.0, late) is frozen
        if late:
            assert parent.process._is_frozen(102.0, 0.0), "and then no longer"
    finally:
        parent.close()


@pytest.mark.parametrize("timeout", [2.0, 10.0, 60.0, 600.0])
@pytest.mark.parametrize("grace", [0.2, 1.0, 5.0])
async def test_nobody_is_killed_before_being_told_to_end(timeout: float, grace: float) -> None:
    """Of a long session timeout a small part may be more than all of the work's time to end."""
    parent = Parent()
    try:
        parent.board.write(100.0, grace, 100.0 - grace, timeout)
        assert not parent.process._is_overdue(100.0 - grace * 0.7)
        assert parent.process._is_overdue(99.99)
    finally:
        parent.close()


async def test_a_freeze_is_not_noticed_the_later_the_longer_the_session() -> None:
    parent = Parent()
    try:
        parent.board.write(1000.0, 5.0, 994.0, 600.0)  # its loop last turned a second before it was to end its work
        assert parent.process._is_frozen(999.9, 0.0)
    finally:
        parent.close()


def test_the_board_never_shows_times_that_nobody_wrote() -> None:
    """A candidate stopped in the middle of writing would look long overdue."""
    board = Board()
    board.write(2e6, 0.2, 1e6, 2.0)
    child = os.fork()
    if not child:
        until = boottime() + 0.5
        while boottime() < until:
            board.write(2e6, 0.2, 1e6, 2.0)
        os._exit(0)
    seen: set[bytes] = set()
    until = boottime() + 0.5
    while boottime() < until:
        seen.add(board._memory[:32])  # one glance; `read` looks twice
    os.waitpid(child, 0)
    board.close()
    assert len(seen) == 1


async def test_the_board_shows_the_loop_turning_while_work_runs() -> None:
    lease = Lease()
    lease.attached(boottime(), 2.0, created=True)
    guardian = Guardian(boottime)
    guardian.start()
    assert guardian._board is not None
    assert guardian._board.read()[0] == float("inf")
    guardian.begin(lease, 0.2)
    first = guardian._board.read()
    assert first[0] == pytest.approx(lease.deadline, abs=0.01)
    assert first[1] == 0.2
    await until(lambda: guardian._board is not None and guardian._board.read()[2] > first[2] + 0.1)
    guardian.end(lease)
    assert guardian._board.read()[0] == float("inf")
    await guardian.stop()


def test_messages_in_pieces() -> None:
    messages: list[tuple[Any, Any, bool]] = [("session", (1, b"\0" * 16, 2.5, None), False), (("term", "/x"), None, True)]
    stream = b"".join(pack(key, value, answer=answer) for key, value, answer in messages)
    reader = Reader()
    assert [message for byte in stream for message in reader.feed(bytes([byte]))] == messages
    assert list(reader.feed(stream)) == messages


async def test_what_it_is_to_hold_may_arrive_with_word_of_what_was_before() -> None:
    """A lock released and taken again: the descriptors of the second come along with the bytes that end the first."""
    parent = Parent()
    first, second = os.dup(0), os.dup(0)
    try:
        socket.send_fds(parent.link, [pack(facts.HELD, True, answer=False)], [first])
        parent.process._listen()
        parent.link.send(pack(facts.HELD, None, answer=False))
        socket.send_fds(parent.link, [pack(facts.HELD, True, answer=False)], [second])
        parent.process._listen()
        (held,) = parent.process._held
        os.fstat(held)  # raises if it has let go of the wrong one
        parent.process._let_go()
    finally:
        parent.close()
        os.close(first)
        os.close(second)
