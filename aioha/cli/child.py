"""CMD and what it starts: one process group, of which nothing may run once the term has been released.

Wrappers that signal only the direct child leave its children working beside the next leader's. Here `end` and `destroy`
return when no member of the group runs any more, and nothing but that makes them return. Not followed: processes that
leave the group (`setsid`, daemons); and if we are killed with SIGKILL the kernel kills the direct child alone.
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .report import Failure

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "Child"]

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # the shell's codes
POLL_FIRST, POLL_MOST = 0.002, 0.05  # the kernel tells of no group's end; a member other than CMD itself is rare
PR_SET_PDEATHSIG = 1

_prctl = ctypes.CDLL(None).prctl  # resolved here: nothing may be imported or loaded between fork and exec


class Child:
    """CMD, running. `exited` is set when CMD itself has ended; others of its group may live on."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises `Failure` (127, 126) if it cannot be."""
        self._process = _spawn(command, environment)
        self.pid = self._process.pid
        self.exited = asyncio.Event()
        self._terminated = False
        self._pidfd = os.pidfd_open(self.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    @property
    def status(self) -> int:
        """The exit status as a shell shows it: 128 + n after signal n. Only once it has exited."""
        code = self._process.returncode
        return 128 - code if code < 0 else code

    async def end(self, patience: float) -> None:
        """SIGTERM to the group, after `patience` seconds SIGKILL; returns when nothing of it runs any more.

        When cancelled it goes on for no longer than it takes the caller to call it again, or `destroy`.
        """
        self._terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._gone()
        await self.destroy()

    async def destroy(self) -> None:
        """SIGKILL to the group until nothing of it runs, however often we are cancelled meanwhile.

        Giving in to a cancellation would release the term while CMD works on.
        """
        cancelled: asyncio.CancelledError | None = None
        delay = POLL_FIRST
        while self._lives():
            self.kill()
            try:
                await asyncio.sleep(delay)
            except asyncio.CancelledError as error:
                cancelled = error
            delay = min(delay * 2, POLL_MOST)
        if cancelled:
            raise cancelled

    def kill(self) -> None:
        """SIGKILL to the group, now."""
        self._signal(signal.SIGKILL)

    def _terminate(self) -> None:
        if self._terminated:  # many programs take a second SIGTERM for "drop everything"
            return
        self._terminated = True
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped member would not see the SIGTERM

    def _signal(self, number: int) -> None:
        # The group's number cannot be another's while a member lives; after that there is nobody to signal.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def _gone(self) -> None:
        await self.exited.wait()
        delay = POLL_FIRST
        while self._lives():
            await asyncio.sleep(delay)
            delay = min(delay * 2, POLL_MOST)

    def _lives(self) -> bool:
        """Whether any member of the group runs."""
        if self._process.poll() is None:
            return True
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # a member under another user: it runs, and we cannot end it
            return True
        return _runs_in_group(self.pid)

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()  # it is dead: this reaps it and does not block
        self.exited.set()


def _spawn(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A group of its own is in the background of our terminal: reading from that would stop CMD (SIGTTIN) for good.
    stdin = subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None
    parent = os.getpid()

    def die_with_parent() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=stdin,
            process_group=0,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - two system calls, no lock, nothing imported
        )
    except FileNotFoundError:
        raise Failure(NOT_FOUND, f"{command[0]}: command not found, or its interpreter is missing") from None
    except (OSError, ValueError) as error:
        raise Failure(NOT_EXECUTABLE, f"{command[0]}: cannot be run: {error}") from None


def _runs_in_group(group: int) -> bool:
    """Whether a member is more than a zombie: an init that reaps no orphans, as in many containers, leaves those."""
    try:
        names = os.listdir("/proc")
    except OSError:
        return True
    return any(name.isdigit() and _runs(name, group) for name in names)


def _runs(process: str, group: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            state, _parent, its_group = file.read().rpartition(b") ")[2].split()[:3]
    except (OSError, ValueError):  # it ended meanwhile
        return False
    return int(its_group) == group and state not in (b"Z", b"X")
