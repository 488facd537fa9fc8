"""What a dead process has left running, and ending it.

Registered children (a process group, a tag in the environment, a control group) are killed. Everything else that
descends from the process may go on doing its work, so it is either killed too (`tree`), or waited for: a session must
not be closed while anything works on it.

A kernel tells of a process's descendants only while every link of the chain lives. So the new processes of the host
are looked at now and then, which costs next to nothing while there are none, and those that descend from ours are
remembered. Who was born and orphaned between two looks has been handed to the same new parent as we are, and *may* be a
descendant if it lies in our parent's session, or was born in the last moment: it is not killed for that, but waited for,
within bounds. Daemons that took themselves out of the session long ago are not followed.
"""

from __future__ import annotations

import os
import time

from .. import descendants as d
from ..cgroup import Cgroup
from . import facts as f

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

__all__ = ["Leftovers"]

DOUBT = 10.0  # seconds on one host that those are waited for of whom it is not certain that they are descendants
FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.1  # seconds between looks at what is being killed


class Leftovers:
    """Of the process `parent`, of that session, born of `grandparent`. `look` now and then while it lives."""

    def __init__(self, parent: int, session: int, grandparent: int) -> None:
        self._parent = parent
        self._newest = d.newest_pid()
        self._looked = _ticks()
        self._session = session
        self._cgroup = _read("/proc/self/cgroup")  # we were born in our parent's
        self._grandparent = grandparent
        self._company: set[d.Process] = set()  # new processes of its session that were not seen to descend from it
        self._known: set[d.Process] = d.descendants(parent)
        if os.getppid() != parent:  # it is dead already: nobody can say any more who descended from it
            self._known.clear()
            self._company = self._members({process for process, _ in d.born_after(0)})

    def look(self) -> set[d.Process]:
        """Take note of new descendants. Returns those new processes that may be some. Cheap while there are no new ones."""
        newest = d.newest_pid()
        if newest == self._newest and newest:
            return set()
        begun = _ticks()
        # When numbers start over all processes are listed, also those that we have judged already.
        strangers = {process: parent for process, parent in d.born_after(self._newest) if process.started >= self._looked}
        self._newest, self._looked = newest, begun
        family = {self._parent, *(process.pid for process in self.descendants())}
        while kin := [process for process, parent in strangers.items() if parent in family]:
            for process in kin:
                del strangers[process]
                family.add(process.pid)
                self._known.add(process)
        self._company = {each for each in self._company if d.runs(each)} | self._members(strangers)
        return {each for each in strangers if _session(each.pid) in (self._session, each.pid) and self._is_near(each)}

    def descendants(self) -> set[d.Process]:
        """Those that are known, and run."""
        self._known = {each for each in self._known if d.runs(each)}
        return self._known - self._spared(self._known)

    def kill_registered(self, facts: dict[Any, Any]) -> set[d.Process]:
        """SIGKILL to all that was registered. Returns what of it may still be running."""
        for cgroup in _family(facts, f.CGROUP):
            Cgroup(cgroup).kill()
        found: set[d.Process] = set()
        for group in _family(facts, f.GROUP):
            found |= d.group(group)
        for tag in _family(facts, f.TAG):
            found |= d.tagged(tag)
        found -= self._spared(found)
        for process in found:
            d.kill(process)
        return found

    def end(self, facts: dict[Any, Any], until: float, clock: Callable[[], float]) -> bool:
        """The parent is dead: end what it left. Blocks until all of it has ended, at most `until`.

        False if something still runs. Processes being killed may fork until they are dead: so the looks are repeated
        until one finds nobody.
        """
        pause = FIRST_PAUSE
        doubt_until = clock() + DOUBT if until == float("inf") else until
        newcomers: set[d.Process] = set()
        while True:
            living = self.kill_registered(facts)
            newcomers |= self.look()
            family = self.descendants()
            if facts.get(f.TREE):
                for process in family:
                    d.kill(process)
            living |= family
            if clock() < doubt_until or doubt_until == until:
                living |= self._orphans(newcomers)
            if not living and not self._populated(facts):
                for cgroup in _family(facts, f.CGROUP):
                    Cgroup(cgroup).remove()
                return True
            if clock() >= until:
                return False
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _members(self, processes: Iterable[d.Process]) -> set[d.Process]:
        return {each for each in processes if _session(each.pid) == self._session and self._is_near(each)}

    def _is_near(self, process: d.Process) -> bool:
        return _read(f"/proc/{process.pid}/cgroup") == self._cgroup

    def _populated(self, facts: dict[Any, Any]) -> bool:
        return any(Cgroup(cgroup).populated() for cgroup in _family(facts, f.CGROUP))

    def _orphans(self, newcomers: set[d.Process]) -> set[d.Process]:
        """Those among the undecided that run and have the parent that orphans of our parent are given to."""
        reaper = os.getppid()
        # Where our parent was that one's child from the first, as in many a container, its siblings look the same.
        undecided = newcomers if reaper == self._grandparent else newcomers | self._company
        orphans = {each for each in undecided if d.runs(each) and d.parent(each) == reaper}
        return orphans - self._spared(orphans)

    def _spared(self, processes: Iterable[d.Process]) -> set[d.Process]:
        """Guardians: we ourselves, and those of other sessions and of other candidates below our parent."""
        return {process for process in processes if process.pid == os.getpid() or _is_guardian(process.pid)}


def _family(facts: dict[Any, Any], family: str) -> list[Any]:
    return [key[1] for key in facts if isinstance(key, tuple) and key[0] == family]


def _is_guardian(pid: int) -> bool:
    """Whether it runs the very program that we run."""
    arguments, ours = (_read(f"/proc/{each}/cmdline").split(b"\0") for each in (pid, "self"))
    return arguments[1:5] == ours[1:5]


def _ticks() -> int:
    """Now, in the unit in which processes tell when they started, rounded down."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
