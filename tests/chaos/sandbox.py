"""A place of its own for a whole run, which the kernel clears away when the run ends, however it ends.

Processes, network and mounts get namespaces of their own. When the first process of a process namespace dies, the kernel
kills all others in it; with the last one go the networks, their rules, and the mounts (`ip netns` keeps names below /run,
servers their data, and /run is a file system in memory here). The first process dies with the one that was started from
outside, by SIGKILL too.
"""

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys

__all__ = ["HOME", "enter", "obstacle"]

TOOLS = ("ip", "ss", "iptables", "iptables-restore", "nsenter", "unshare")
HOME = "/run/chaos"  # inside: for what is not to be kept

_NEW_MOUNTS, _NEW_NET, _NEW_PROCESSES = 0x00020000, 0x40000000, 0x20000000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000
_DEATH_SIGNAL = 1
_libc = ctypes.CDLL(None, use_errno=True)


def obstacle() -> str | None:
    """Why there can be none on this machine; None if there can."""
    if os.geteuid() != 0:
        return "chaos needs root, for network namespaces, control groups and firewall rules"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"chaos needs {', '.join(absent)}: apt-get install iproute2 iptables util-linux"
    made = subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if made.returncode == 0 else "no namespaces can be made here (a container without CAP_SYS_ADMIN?)"


def enter() -> None:
    """Returns inside, in a new process; this one waits for its end, passes SIGINT and SIGTERM on to it as SIGTERM, and
    ends with its status.
    """
    _call("unshare", _NEW_MOUNTS | _NEW_NET | _NEW_PROCESSES)
    ours, theirs = os.pipe()
    first = os.fork()
    if first:
        os.close(ours)
        _wait_for(first, (signal.SIGINT, signal.SIGTERM))
    os.close(theirs)
    _call("prctl", _DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if select.select([ours], [], [], 0)[0]:  # it died before we asked to be told
        os._exit(1)
    os.close(ours)
    _call("mount", b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
    _call("mount", b"proc", b"/proc", b"proc", 0, None)
    _call("mount", b"tmpfs", b"/run", b"tmpfs", 0, b"mode=755")
    os.mkdir(HOME)
    child = os.fork()
    if child:  # as the first process we wait for those that nobody else waits for
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal tells everybody
        _wait_for(child, (signal.SIGTERM,))


def _wait_for(child: int, passed: tuple[signal.Signals, ...]) -> None:
    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    for number in passed:
        signal.signal(number, pass_on)
    while True:
        pid, status = os.wait()
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            sys.stdout.flush()
            os._exit(code if code >= 0 else 128 - code)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
