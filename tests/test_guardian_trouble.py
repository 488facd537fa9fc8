"""Guardians in trouble: descriptors that run out or are not what they seem, and a candidate that talks a lot, forks,
becomes another program, or hangs in its own log.
"""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from candidates import until
from commands import alive, wait_dead
from oldterms import Hook, crash, once
from stores import zookeeper_store
from test_interleavings_election import path_of

from aioha.clock import boottime
from aioha.guardian import facts
from aioha.guardian.facts import pack
from aioha.guardian.guarded import Guardian
from aioha.guardian.launch import BOOTSTRAP
from aioha.testing import Ensemble

ROOT = Path(__file__).parent.parent
PATIENCE = 20.0  # seconds; what takes longer has failed

CANDIDATE = """
import asyncio, os, sys, time
from aioha.clock import boottime
from aioha.guardian import facts
from aioha.guardian.guarded import Guardian
from aioha.lease import Lease

def lease(timeout):
    lease = Lease()
    lease.attached(boottime(), timeout, created=True)
    return lease

async def main():
    guardian = Guardian(boottime)
{body}

asyncio.run(main())
"""


def candidate(body: str, stderr: int | None = None) -> "subprocess.Popen[bytes]":
    code = CANDIDATE.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


# ---------------------------------------------------------------------- descriptors


@pytest.mark.parametrize("closed", ["0", "1", "2", "0, 1", "0, 1, 2"])
def test_standard_streams_that_are_closed_are_not_mixed_up_with_its_own(closed: str) -> None:
    """The pidfd as its stdout would show a dead parent; the board, or a lock, as its stderr would be written over."""
    body = f"""
    said = os.dup(1)
    for fd in ({closed},):
        os.close(fd)
    guardian.start()
    await guardian.heard(10)
    first = guardian.pid
    os.kill(first, 9)
    while guardian.pid in (None, first):
        await asyncio.sleep(0.01)
    await guardian.heard(10)  # the second one gets other numbers
    names = [os.readlink(f"/proc/{{guardian.pid}}/fd/{{fd}}") for fd in (0, 1, 2)]
    os.write(said, "\\n".join(names).encode())
    await guardian.stop()
    """
    with candidate(body) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    link, stdout, stderr = output.decode().split("\n")
    assert link.startswith("socket:")
    assert stdout == "/dev/null"
    assert stderr == "/dev/null" or "2" not in closed


async def test_out_of_descriptors_it_comes_later(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    real, refused = os.pidfd_open, []

    def once_refused(pid: int, flags: int = 0) -> int:
        if pid != os.getpid() and not refused:
            refused.append(pid)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(pid, flags)

    monkeypatch.setattr(os, "pidfd_open", once_refused)
    guardian = Guardian(boottime)
    guardian.start()
    assert guardian.pid is None
    with pytest.raises(ChildProcessError):  # nor is it left behind half started
        os.waitpid(refused[0], os.WNOHANG)
    await until(lambda: guardian.pid is not None)
    await guardian.heard()
    assert guardian.pid is not None
    assert caplog.text.count("no guardian for this process") == 1
    await guardian.stop()


async def test_what_cannot_be_handed_over_does_not_make_it_deaf() -> None:
    guardian = Guardian(boottime)
    guardian.start()
    await guardian.heard()
    first, gone = guardian.pid, [os.dup(0)]
    os.close(gone[0])
    guardian.know(facts.HELD, True, lambda: tuple(gone))
    gone.clear()
    await until(lambda: guardian.pid not in (None, first))
    await guardian.heard()
    assert guardian.pid is not None
    await guardian.stop()


# ---------------------------------------------------------------------- what it says, and hears


def test_a_candidate_that_hangs_in_its_own_log_is_killed() -> None:
    """Nobody reads its stderr, which is the guardian's too."""
    near, far = os.pipe()
    try:
        os.set_blocking(far, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(far, bytes(4096))
        os.set_blocking(far, True)
        body = """
        guardian.start()
        await guardian.heard()
        guardian.begin(lease(1.0), 0.1)
        print(guardian.pid, flush=True)
        os.write(2, b"!")
        """
        with candidate(body, stderr=far) as process:
            assert process.stdout is not None
            pid = int(process.stdout.readline())
            try:
                assert process.wait(PATIENCE) == -signal.SIGKILL
                wait_dead(pid)
            finally:
                process.kill()
    finally:
        os.close(near)
        os.close(far)


def test_what_goes_wrong_inside_is_said_in_one_line() -> None:
    pidfd, board = os.pidfd_open(os.getpid()), os.open("/dev/null", os.O_RDWR)  # which can be no board
    numbers = map(str, (pidfd, board, os.getpid(), os.getsid(0), os.getppid()))
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-S", "-c", BOOTSTRAP, *numbers, str(ROOT / "aioha")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            pass_fds=(pidfd, board),
            check=False,
            timeout=PATIENCE,
        )
    finally:
        os.close(pidfd)
        os.close(board)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"aioha guardian: the guardian of process {os.getpid()} failed: OSError")
    assert ended.stderr.count("\n") == 1


async def test_the_next_one_takes_in_ten_thousand_terms(caplog: pytest.LogCaptureFixture) -> None:
    guardian = Guardian(boottime)
    guardian.start()
    for number in range(10_000):
        path = f"/a/rather/long/path/of/an/election/{number}"
        checks, deletes = ((f"{path}.aioha", 7),), ((path, 1), (f"{path}.aioha/seat", -1))
        guardian.know((facts.TERM, path), (checks, deletes, ((f"{path}.aioha/ended", b"12345678901234567890"),)))
    await guardian.heard(PATIENCE)
    first = guardian.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: guardian.pid not in (None, first))
    await guardian.heard(PATIENCE)
    assert guardian.pid is not None
    assert caplog.text.count("has ended") == 1, "it was killed for what it had not been able to read yet"
    await guardian.stop()


async def test_a_fence_hook_is_guarded_against_hanging_but_its_term_is_not_ended(zookeeper: Ensemble) -> None:
    """Should we die in it, who comes next must know that nobody has fenced the old term."""
    store, hook = zookeeper_store(zookeeper), Hook(free=False)
    await crash(store, "dead")
    async with store.elector(fence=hook, guardian=True) as elector:
        task = asyncio.create_task(once(elector))
        async with asyncio.timeout(PATIENCE):
            await hook.called.wait()
        guardian = elector.election.guardian
        assert guardian is not None
        assert guardian._board is not None
        assert guardian._board.read()[0] < boottime() + 4.0
        assert (facts.TERM, path_of(store)) not in guardian._facts
        hook.free.set()
        await task
        assert guardian._board.read()[0] == float("inf")


# ---------------------------------------------------------------------- forks, other programs, other loops


def test_a_program_that_the_candidate_has_become_is_left_alone_although_a_fork_lives() -> None:
    body = """
    guardian.start()
    await guardian.heard()
    guardian.begin(lease(1.0), 0.1)
    fork = os.fork()
    if not fork:
        os.closerange(0, 3)
        time.sleep(3)
        os._exit(0)
    print(guardian.pid, fork, flush=True)
    os.execvp("sleep", ["sleep", "2"])
    """
    with candidate(body) as process:
        assert process.stdout is not None
        guardian, fork = map(int, process.stdout.readline().split())
        assert process.wait(PATIENCE) == 0
    assert not alive(guardian)
    os.kill(fork, signal.SIGKILL)


async def test_a_fork_of_the_candidate_cannot_send_it_away() -> None:
    guardian = Guardian(boottime)
    guardian.start()
    await guardian.heard()
    pid = guardian.pid
    assert guardian._process is not None
    child = os.fork()
    if not child:
        guardian._process.tell(pack(facts.BYE, True, answer=False))
        guardian._process.kill()
        os._exit(0)
    os.waitpid(child, 0)
    await guardian.heard()
    assert guardian.pid == pid
    await guardian.stop()


def test_in_one_loop_after_another() -> None:
    guardian = Guardian(boottime)

    async def life() -> int | None:
        guardian.start()
        await guardian.heard()
        return guardian.pid

    async def first() -> None:
        await life()
        guardian.serve([("127.0.0.1", 1)], None)
        await guardian.stop()

    async def second() -> None:
        pid = await life()
        await guardian.stop()
        assert pid is not None
        assert not alive(pid)

    asyncio.run(first())
    asyncio.run(second())


async def test_when_nobody_waits_for_its_end_it_ends_all_the_same() -> None:
    guardian = Guardian(boottime)
    guardian.start()
    await guardian.heard()
    pid = guardian.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    stopping = asyncio.create_task(guardian.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait({stopping})
    os.kill(pid, signal.SIGCONT)
    await until(lambda: guardian.pid is None)
    assert not alive(pid)
