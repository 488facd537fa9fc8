"""Which processes run, whose they are, and how to kill exactly those. Nothing of aioha is imported, and no asyncio: the
guardian, a process of a few megabytes that outlives us, loads this file too (`typing` alone would cost another one).

Decides when a process counts as running, and how one is told from a later one with its number. All answers come from
/proc/<pid>/stat, and a look at them all is no snapshot: processes fork and end while we read. Who must know that nothing is
left looks again (see `tree`). /proc/<pid>/task/<tid>/children would save the scan, but passes over children while others
of them end, which is when we ask; and many kernels have no such file.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False  # as type checkers know it, without loading typing
if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "Process",
    "become_subreaper",
    "born_after",
    "descendants",
    "group",
    "identify",
    "kill",
    "newest_pid",
    "parent",
    "process",
    "runs",
    "send",
    "tagged",
    "tree",
]

PR_SET_CHILD_SUBREAPER = 36
DEAD = (b"Z", b"X")
PROBE_MOST = 512  # numbers to try one by one; beyond, listing /proc costs less
CHUNK = 1 << 16


class Process(tuple[int, int]):
    """One process, told by `started` (ticks since boot) from a later one that got the same number."""

    __slots__ = ()

    def __new__(cls, pid: int, started: int) -> Process:  # noqa: PYI034 - `Self` would load typing
        return super().__new__(cls, (pid, started))

    @property
    def pid(self) -> int:
        return self[0]

    @property
    def started(self) -> int:
        return self[1]


class _Seen:
    """What one look at a process showed."""

    __slots__ = ("group", "parent", "process", "runs")

    def __init__(self, pid: int, stat: bytes) -> None:
        # The name, in parentheses, may itself hold ") "; behind the last one there are only numbers.
        fields = stat.rpartition(b") ")[2].split()
        self.process = Process(pid, int(fields[19]))
        self.parent = int(fields[1])
        self.group = int(fields[2])
        # The first thread may have ended, which shows as a zombie, while others work on: then there is more than one.
        self.runs = fields[0] not in DEAD or int(fields[17]) > 1


def process(pid: int) -> Process | None:
    """The process that has this number now, or None if it does not run (gone, or a zombie)."""
    seen = _look(pid)
    return seen.process if seen is not None and seen.runs else None


def identify(pid: int) -> Process | None:
    """The same for a zombie, too: until it is reaped its number is nobody else's."""
    seen = _look(pid)
    return None if seen is None else seen.process


def runs(one: Process) -> bool:
    return process(one.pid) == one


def parent(one: Process) -> int:
    """The number of its parent; 0 if it is gone."""
    seen = _look(one.pid)
    return seen.parent if seen is not None and seen.process == one else 0


def descendants(pid: int) -> set[Process]:
    """All that run below `pid`, itself left out; zombies in between do not hide what they started."""
    return tree(pid)[0]


def tree(pid: int, spare: Collection[int] = (), since: int = 0) -> tuple[set[Process], set[Process]]:
    """Those below `pid` that run, and those that have ended and wait to be reaped.

    Neither `spare` nor those that began before the tick `since` are counted, nor what is below them.

    Exact only if nobody forked while it looked. But a process that it missed was started by one that ran when it began to
    look, and that one is found, running or as a zombie, unless `pid` itself reaps it meanwhile. So, for a subreaper `pid`
    that reaps nothing while it looks: nothing is left as soon as none runs and all the zombies were zombies last time, too.
    """
    table = _table()
    _complete(table)
    below: dict[int, list[_Seen]] = {}
    for seen in table.values():
        below.setdefault(seen.parent, []).append(seen)
    living: set[Process] = set()
    dead: set[Process] = set()
    rest, visited = [pid], {pid}
    while rest:
        for seen in below.get(rest.pop(), ()):
            number = seen.process.pid
            if number in visited or number in spare or seen.process.started < since:
                continue  # visited: parents read at different times could form a circle
            visited.add(number)
            rest.append(number)
            (living if seen.runs else dead).add(seen.process)
    return living, dead


def group(pgid: int) -> set[Process]:
    """The members of a process group that run."""
    return {seen.process for seen in _table().values() if seen.runs and seen.group == pgid}


def tagged(tag: bytes) -> set[Process]:
    """All that run and were started with `tag` (b"NAME=value") in their environment; those we may not look into excepted.

    A process just forked has not changed its environment yet: it shows its parent's, tag included.
    """
    entry = b"\0" + tag + b"\0"
    found: set[Process] = set()
    for pid in _pids():
        # The process first: should the number change hands in between, the pair found is of one that is gone already.
        one = process(pid)
        if one is not None and entry in b"\0" + _read(f"/proc/{pid}/environ") + b"\0":
            found.add(one)
    return found


def newest_pid() -> int:
    """The number that was handed out last to a process or a thread of our pid namespace; 0 if unknown."""
    try:
        return int(_read("/proc/loadavg").split()[-1])
    except (IndexError, ValueError):
        return 0


def born_after(pid: int) -> list[tuple[Process, int]]:
    """All that run and have a number handed out after `pid`, each with its parent's number.

    When the numbers have wrapped round since, or none is known, all that run: the caller has to tell them apart anyway.
    """
    newest = newest_pid()
    if not 0 < pid <= newest:
        numbers = _pids()
    elif newest - pid > PROBE_MOST:
        numbers = [number for number in _pids() if number > pid]
    else:  # /proc/<number> is there for a thread's number too, though it is not listed
        numbers = [number for number in range(pid + 1, newest + 1) if _leads_threads(number)]
    looks = map(_look, numbers)
    return [(seen.process, seen.parent) for seen in looks if seen is not None and seen.runs]


def kill(one: Process) -> None:
    """SIGKILL to exactly this process, if it is still there and we may."""
    send(one, signal.SIGKILL)


def send(one: Process, number: int) -> None:
    """A signal to exactly this process, if it is still there and we may; never to init or to ourselves."""
    if one.pid <= 1 or one.pid == os.getpid():
        return
    try:
        descriptor = os.pidfd_open(one.pid)
    except ProcessLookupError:
        return
    except OSError:  # no descriptor left, or a kernel before 5.3: then there is a moment between the check and the signal
        _send_by_number(one, number)
        return
    try:
        # Checked after opening: whatever happens to the number from here on, the descriptor stays with that process.
        if _is(one):
            signal.pidfd_send_signal(descriptor, number)
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        os.close(descriptor)


def become_subreaper() -> None:
    """Have orphans below us become our children, not init's; quietly nothing where the system knows no such thing."""
    try:
        import ctypes  # only here: the guardian does without

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass


def _send_by_number(one: Process, number: int) -> None:
    try:
        if _is(one):
            os.kill(one.pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _is(one: Process) -> bool:
    seen = _look(one.pid)
    return seen is not None and seen.process == one


def _table() -> dict[int, _Seen]:
    looks = map(_look, _pids())
    return {seen.process.pid: seen for seen in looks if seen is not None}


def _complete(table: dict[int, _Seen]) -> None:
    """Look again at those whose parent is not in the table: it ended after they were read, or began after the listing.

    Without this an orphan would hang below a number that leads nowhere, and be missed.
    """
    for one in list(table.values()):
        seen: _Seen | None = one
        while seen is not None and seen.parent and seen.parent not in table:
            known, seen = seen, _look(seen.parent)
            if seen is None:  # the parent is gone: by now the child has another
                seen = _look(known.process.pid)
                if seen is None:
                    table.pop(known.process.pid)
                elif seen.parent == known.parent:  # not gone but hidden from us (mount option hidepid)
                    break
            if seen is not None:
                table[seen.process.pid] = seen


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def _look(pid: int) -> _Seen | None:
    try:
        return _Seen(pid, _read(f"/proc/{pid}/stat"))
    except (IndexError, ValueError):
        return None


def _leads_threads(number: int) -> bool:
    return b"\nTgid:\t%d\n" % number in _read(f"/proc/{number}/status")


def _read(path: str) -> bytes:
    """The whole file, or nothing if it cannot be read; a process may end between the opening and the reading."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts: list[bytes] = []
        while part := os.read(descriptor, CHUNK):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(descriptor)
