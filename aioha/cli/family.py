"""All that CMD started, however it hides: the rest of its group, what left the group (`setsid`), orphans (daemons).

Decides who belongs to CMD, and when nothing of it is left. `aioha run` is a subreaper: whatever loses its parent below us
becomes our child. So everything that CMD ever started is below us, and the last of it that runs is our own child, whose
end the kernel tells us (SIGCHLD). What else may be below us is not CMD's: the guardian, and what was there before CMD
(a shell's background jobs, when it has become `aioha run` by `exec`).

Not followed: what CMD has others start for it (systemd, a container engine, cron); the term's token is for that.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from .. import descendants
from ..cgroup import Cgroup
from ..descendants import Process

__all__ = ["Family", "reap"]

BUSY = 0.02  # seconds of looking at all processes again and again, before the loop gets a turn


class Family:
    """Of a CMD that has been started and not yet been waited for. `spare`: children of ours that are not CMD's."""

    def __init__(
        self, cmd: "subprocess.Popen[bytes]", cgroup: Cgroup | None = None, spare: Callable[[], Collection[int]] = tuple
    ) -> None:
        self._cmd = cmd
        self._cgroup = cgroup
        self._spare = spare
        itself = descendants.identify(cmd.pid)
        self._since = itself.started if itself is not None else 0
        self._visible = itself is not None  # without /proc only the group is known; let us not wait for what we cannot see

    def left(self) -> set[Process]:
        """Those that run now, CMD itself included."""
        return self._look()[0]

    def gone(self) -> bool:
        """Whether nothing of it runs any more; exact, whatever forks and ends while we look (see `descendants.tree`)."""
        zombies: set[Process] = set()
        until = time.monotonic() + BUSY
        while time.monotonic() < until:
            self.reap()
            if self._cmd.poll() is None:
                return False
            if _childless():
                return True
            if not self._visible:
                return not self._signal_group(0)
            if self._is_foreign():
                return False
            living, dead = self._look()
            if living:
                return False
            if dead <= zombies:
                return True
            zombies = dead
        return False

    def terminate(self) -> None:
        """SIGTERM to all of it, once each, and SIGCONT, as a stopped one would not see the SIGTERM."""
        outside = [one for one in self.left() if not self._in_group(one)]  # before the signal: nobody shall get two
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._signal_group(number)
            for one in outside:
                descendants.send(one, number)

    def kill(self) -> None:
        """SIGKILL to all of it, now. What is forked meanwhile may be missed: call it again until it is `gone`."""
        self._signal_group(signal.SIGKILL)
        if self._cgroup is not None:
            self._cgroup.kill()
        killed: set[Process] = set()
        until = time.monotonic() + BUSY
        while time.monotonic() < until:
            living, dead = self._look()
            # At once, so that no member can fork ahead of us; the dead show where one may be that we have just missed.
            for group in self._own_groups(living | dead):
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
            for one in living:
                descendants.kill(one)
            if living <= killed:
                return
            killed |= living

    def reap(self) -> None:
        """Take in orphans that have ended. CMD's status is kept for whoever asks for it."""
        reap(self._spare(), self._cmd)

    def close(self) -> None:
        """It is gone: take its control group away."""
        if self._cgroup is not None:
            self._cgroup.remove()

    def _look(self) -> tuple[set[Process], set[Process]]:
        return descendants.tree(os.getpid(), self._spare(), self._since)

    def _in_group(self, one: Process) -> bool:
        try:
            return os.getpgid(one.pid) == self._cmd.pid
        except ProcessLookupError:
            return True

    def _own_groups(self, members: set[Process]) -> set[int]:
        """Groups that hold nothing but descendants of CMD: those in a session that one of them has opened."""
        groups: set[int] = set()
        for one in members:
            with suppress(ProcessLookupError, PermissionError):
                session, group = os.getsid(one.pid), os.getpgid(one.pid)
                # Asked last: what was read was this process's own, and not that of a later one with its number.
                if session != os.getsid(0) and group > 1 and descendants.identify(one.pid) == one:
                    groups.add(group)
        return groups

    def _is_foreign(self) -> bool:
        """Whether the group has only members of another user: they run, and we can neither end nor perhaps see them."""
        try:
            os.killpg(self._cmd.pid, 0)
        except PermissionError:
            return True
        except ProcessLookupError:
            pass
        return False

    def _signal_group(self, number: int) -> bool:
        """Whether there is a member. The group's number is nobody else's while there is; after that nobody is there."""
        try:
            os.killpg(self._cmd.pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def reap(spare: Collection[int], cmd: "subprocess.Popen[bytes] | None" = None) -> None:
    """Take in children of ours that have ended: adopted ones, of which nobody else knows, and CMD, which keeps its status.

    Those in `spare` are left for whoever started them.
    """
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # a look only: it may be one to spare
        except ChildProcessError:
            return
        if ended is None:
            return
        if ended.si_pid in spare:  # it stands before the others; they can be found all the same
            for one in descendants.tree(os.getpid(), spare)[1]:
                _wait_for(one.pid, cmd)
            return
        _wait_for(ended.si_pid, cmd)


def _wait_for(pid: int, cmd: "subprocess.Popen[bytes] | None") -> None:
    if cmd is not None and pid == cmd.pid:
        cmd.poll()
        return
    with suppress(ChildProcessError):  # not ours but a descendant's
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG)


def _childless() -> bool:
    """Whether we have no child at all: then, as a subreaper, no descendants. The kernel's own word, in one step."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False
