"""Starting CMD: a process group, a mark in its environment and, where we may, a control group that are its own.

Decides what happens between fork and exec. All of it is there before CMD runs, so nothing that CMD starts is without it.
"""

import ctypes
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from .. import descendants
from ..cgroup import Cgroup
from .report import Failure

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "make_cgroup", "make_tag", "spawn"]

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # the shell's codes
PR_SET_PDEATHSIG = 1

_prctl = ctypes.CDLL(None).prctl  # resolved here: nothing may be imported or loaded between fork and exec


def make_tag() -> tuple[str, str]:
    """A name and a value for CMD's environment, by which all that it starts can be told, however it is related to us.

    A name of its own for every CMD: an identity may be given to two candidates, and a value would be overwritten by an
    `aioha run` that CMD starts. So what an inner CMD starts has both marks.
    """
    return f"AIOHA_RUN_{secrets.token_hex(8)}", str(os.getpid())


def make_cgroup() -> Cgroup | None:
    made = Cgroup.make(f"aioha-{os.getpid()}-{secrets.token_hex(4)}")
    if made is not None:
        with suppress(OSError):  # of no importance
            _sweep(os.path.dirname(made.path))
    return made


def spawn(command: Sequence[str], environment: Mapping[str, str], cgroup: Cgroup | None) -> "subprocess.Popen[bytes]":
    """Start CMD, the first of its process group. Raises `Failure` (127, 126) if it cannot be."""
    # A group of its own is in the background of our terminal: reading from that would stop CMD (SIGTTIN) for good.
    stdin = subprocess.DEVNULL if sys.stdin is None or sys.stdin.isatty() else None
    parent = os.getpid()
    door = _open(cgroup)
    caught = [number for number in signal.valid_signals() if callable(signal.getsignal(number))]
    # Between fork and exec the child is still of our group, with our handlers and the pipe on which they tell our loop:
    # one Ctrl-C would be heard twice, and the second kills CMD.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, caught)

    def prepare() -> None:
        for number in caught:
            signal.signal(number, signal.SIG_IGN)  # forgets what came until now: it was for us
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if door >= 0:
            try:  # noqa: SIM105 - as little as can be between fork and exec
                os.write(door, b"0")
            except OSError:  # forbidden by something that we could not see: CMD does without
                pass
        # The kernel sends it when the *thread* that forked ends. Ours is the main thread, which runs the loop, and so
        # ends with the process; from a worker thread CMD would be killed as soon as that thread had no more to do.
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    try:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=stdin,
            process_group=0,
            preexec_fn=prepare,  # noqa: PLW1509 - a few system calls, no lock, nothing imported
        )
    except FileNotFoundError:
        raise Failure(NOT_FOUND, f"{command[0]}: command not found, or its interpreter is missing") from None
    except (OSError, ValueError) as error:
        raise Failure(NOT_EXECUTABLE, f"{command[0]}: cannot be run: {error}") from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if door >= 0:
            os.close(door)


def _sweep(directory: str) -> None:
    """Remove the groups of those that were killed, if nothing is left in them. A name begins with its owner's number."""
    for name in os.listdir(directory):
        kind, _, rest = name.partition("-")
        owner = rest.partition("-")[0]
        if kind == "aioha" and owner.isdecimal() and descendants.process(int(owner)) is None:
            Cgroup(os.path.join(directory, name)).remove()


def _open(cgroup: Cgroup | None) -> int:
    if cgroup is not None:
        with suppress(OSError):
            return cgroup.procs_fd()
    return -1
