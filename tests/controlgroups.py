"""Control groups that stop or slow down processes, in either version of the kernel's hierarchy. Needs root."""

import contextlib
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from machine import need

__all__ = ["freezer", "slow"]

_numbers = itertools.count(1)
PERIOD = 100_000  # microseconds


def _mounted(controller: str) -> Path | None:
    """Where the first version's hierarchy of a controller is, or the second's (""), if anywhere."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" if not controller else kind == "cgroup" and controller in options.split(","):
            return Path(place)
    return None


@contextmanager
def _group(top: Path) -> Iterator[Path]:
    """A new group, whose members go back where it was made before it is removed."""
    made = top / f"aioha-test-{os.getpid()}-{next(_numbers)}"
    made.mkdir()
    try:
        yield made
    finally:
        for pid in (made / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):  # it has ended
                (top / "cgroup.procs").write_text(pid)
        for _ in range(500):  # who was killed is a member until its parent has waited for it
            with contextlib.suppress(OSError):
                made.rmdir()
                break
            time.sleep(0.01)


class Freezer:
    def __init__(self, group: Path, switch: str, on: str, off: str, shown: tuple[str, str]) -> None:
        self._group = group
        self._switch, self._on, self._off, self._shown = switch, on, off, shown

    def add(self, pid: int) -> None:
        (self._group / "cgroup.procs").write_text(str(pid))

    def freeze(self) -> None:
        """Returns when all members stand still."""
        (self._group / self._switch).write_text(self._on)
        name, text = self._shown
        while text not in (self._group / name).read_text():
            time.sleep(0.001)

    def thaw(self) -> None:
        (self._group / self._switch).write_text(self._off)


@contextmanager
def freezer() -> Iterator[Freezer]:
    """An empty one. Skips the test where there is none to be had."""
    first, second = _mounted("freezer"), _mounted("")
    with contextlib.ExitStack() as stack:
        found: Freezer | None = None
        with contextlib.suppress(OSError):
            if first is not None:
                group = stack.enter_context(_group(first))
                found = Freezer(group, "freezer.state", "FROZEN", "THAWED", ("freezer.state", "FROZEN"))
            elif second is not None:
                group = stack.enter_context(_group(second))
                found = Freezer(group, "cgroup.freeze", "1", "0", ("cgroup.events", "frozen 1"))
        need(found is not None, "this test needs a control group that can be frozen")
        assert found is not None
        stack.callback(found.thaw)
        yield found


@contextmanager
def slow(share: float, pids: list[int]) -> Iterator[None]:
    """No more than this share of one processor for all of them together. Skips the test where that cannot be had."""
    first, second, quota = _mounted("cpu"), _mounted(""), round(share * PERIOD)
    with contextlib.ExitStack() as stack:
        bound = False
        with contextlib.suppress(OSError):
            group = stack.enter_context(_group(first or second or Path("/nowhere")))
            if first is not None:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {PERIOD}")
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
            bound = True
        need(bound, "this test needs a control group with a quota of processor time")
        yield
