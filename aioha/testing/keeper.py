"""Kills the servers of an ensemble when the process that started them is gone. A program of its own, stdlib only.

    python -I -S keeper.py PARENT [DIRECTORY] < "PID\\n" ...

A test process that is killed runs no `finally`. PR_SET_PDEATHSIG would not do: it fires when the *thread* that started
the child ends, and servers are started from worker threads. So this process holds a pidfd of its parent (a forked
child of the parent may keep our pipe open) and one of each server (so that no reused pid is ever killed).
DIRECTORY, the ensemble's temporary directory, is removed with them.
"""

import contextlib
import os
import select
import shutil
import signal
import sys


def main(parent: int, directory: str | None) -> None:
    """Wait until the parent has died or closed our stdin; then kill every server whose pid was written to us."""
    servers: list[int] = []
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(parent)
        if os.getppid() == parent:  # else it died before we looked, and the pid may be somebody else's
            _collect(watched, servers)
    for pidfd in servers:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    if directory:
        shutil.rmtree(directory, ignore_errors=True)


def _collect(parent: int, servers: list[int]) -> None:
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.register(0, select.POLLIN)
    rest = b""
    while parent not in [fd for fd, _ in poll.poll()]:
        data = os.read(0, 4096)
        if not data:
            return
        *pids, rest = (rest + data).split(b"\n")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                servers.append(os.pidfd_open(int(pid)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
