"""Control groups of candidates: freezing them with all that they have started, and giving them next to no CPU.

Named after the process that runs the show, so that those of one that was killed can be told and removed. Freezing needs
version 2; a CPU quota is taken from whichever version has the controller.
"""

import contextlib
from pathlib import Path

from aioha.cgroup import own_path

__all__ = ["Group", "remove_stale"]

PREFIX = "aioha-chaos-"
PERIOD = 100_000  # microseconds


class Group:
    """Of one candidate. `can_freeze`, `can_throttle`: what this machine has."""

    def __init__(self, owner: int, name: str) -> None:
        found = {kind: root / f"{PREFIX}{owner}-{name}" for kind, root in _roots().items()}
        self.paths = tuple(found.values())
        for path in self.paths:
            path.mkdir(exist_ok=True)
        freeze = [path / "cgroup.freeze" for path in self.paths]
        self._freeze = next((file for file in freeze if file.exists()), None)
        whole = [path / "cpu.max" for path in self.paths]
        self._max = next((file for file in whole if file.exists()), None)
        split = [path / "cpu.cfs_quota_us" for path in self.paths]
        self._quota = next((file for file in split if file.exists()), None)

    @property
    def procs(self) -> list[str]:
        """For who enters: a process writes 0 to each."""
        return [str(path / "cgroup.procs") for path in self.paths]

    @property
    def can_freeze(self) -> bool:
        return self._freeze is not None

    @property
    def can_throttle(self) -> bool:
        return self._max is not None or self._quota is not None

    def freeze(self, frozen: bool) -> None:
        if self._freeze is not None:
            self._freeze.write_text("1" if frozen else "0", "ascii")

    def throttle(self, share: float | None) -> None:
        """Of one core; None: no limit."""
        if self._max is not None:
            self._max.write_text(f"{'max' if share is None else round(share * PERIOD)} {PERIOD}", "ascii")
        elif self._quota is not None:
            self._quota.write_text("-1" if share is None else str(round(share * PERIOD)), "ascii")

    def remove(self) -> None:
        """Nobody may be in it any more."""
        for path in self.paths:
            with contextlib.suppress(OSError):
                path.rmdir()


def remove_stale() -> None:
    """Groups whose owner is gone. To be called outside, where owners are known by their numbers."""
    for root in _roots().values():
        for path in root.glob(f"{PREFIX}*-*"):
            owner = path.name.removeprefix(PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists():
                with contextlib.suppress(OSError):
                    path.rmdir()


def _roots() -> dict[str, Path]:
    """Where groups can be made: in our own group of version 2, and in that of version 1 for the CPU."""
    roots = dict[str, Path]()
    ours = own_path()
    if ours is not None:
        roots["unified"] = Path(ours)
    split = Path("/sys/fs/cgroup/cpu")
    if (split / "cpu.cfs_period_us").exists() or (split / "cpu.shares").exists():
        roots["cpu"] = split
    return roots
