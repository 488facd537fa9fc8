"""A control group (version 2) of its own for CMD, where there may be one: membership that no double fork and no `setsid`
sheds, and one write that kills all members at once, also those that are just being forked.

Decides where it lies and what makes it usable. Most users may make none, and then everything works without: nothing here
raises because of that. Nothing of aioha is imported, and no asyncio: the guardian loads this file too.

It is made below the group that we are in. Where systemd owns the tree and has delegated nothing, only root can do that,
and systemd asks that nobody does. It does no harm here: the name is ours alone, no controller is enabled, so the limits and
the accounting of the service go on to hold for all of it; who belongs to the service is decided by the path's beginning,
and stopping it kills what is further down as well; an empty group left by a crash goes with the service's own.
"""

from __future__ import annotations

import os

__all__ = ["Cgroup"]

EVENTS, KILL, PROCS = "cgroup.events", "cgroup.kill", "cgroup.procs"
ESCAPES = ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\"))  # as in /proc/self/mountinfo


class Cgroup:
    """A directory of the cgroup2 file system."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        """One that exists, or did: that it is gone is no error anywhere, and means that nothing runs in it."""
        self.path = path

    @classmethod
    def make(cls, name: str) -> Cgroup | None:
        """A new one below our own; None if we may not, or the kernel cannot kill one (before 5.14), or it exists."""
        ours = own_path()
        if ours is None:
            return None
        made = cls(os.path.join(ours, name))
        try:
            os.mkdir(made.path, 0o755)
        except OSError:
            return None
        if all(os.access(os.path.join(made.path, file), os.W_OK) for file in (PROCS, KILL)):
            return made
        made.remove()
        return None

    def procs_fd(self) -> int:
        """For a child that is to enter: it writes b"0" here before it becomes CMD, and so do all that it starts."""
        return os.open(os.path.join(self.path, PROCS), os.O_WRONLY | os.O_CLOEXEC)

    def kill(self) -> None:
        """SIGKILL to all members and those of groups further down; one that is just being forked gets it, too."""
        try:
            descriptor = os.open(os.path.join(self.path, KILL), os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.write(descriptor, b"1")
        except OSError:  # removed meanwhile
            pass
        finally:
            os.close(descriptor)

    def populated(self) -> bool:
        """Whether anything runs in it or further down; zombies do not count."""
        return b"populated 1" in _read(os.path.join(self.path, EVENTS)).split(b"\n")

    def remove(self) -> None:
        """Take it away with all groups below it (CMD may have made some); what is populated stays."""
        for directory, _, _ in os.walk(self.path, topdown=False):
            try:  # noqa: SIM105 - contextlib would cost the guardian memory
                os.rmdir(directory)
            except OSError:
                pass


def own_path() -> str | None:
    """The directory of the group that we are in, as far as it can be seen from here."""
    ours = _own_name(_read("/proc/self/cgroup"))
    return None if ours is None else _in_file_system(ours, _read("/proc/self/mountinfo"))


def _own_name(cgroups: bytes) -> bytes | None:
    """From /proc/self/cgroup: lines `0::/path` for version 2, `n:controllers:/path` for version 1."""
    for line in cgroups.split(b"\n"):
        if line.startswith(b"0::/"):
            return line[3:]
    return None


def _in_file_system(name: bytes, mounts: bytes) -> str | None:
    """Its directory, from /proc/self/mountinfo: lines `id parent device root point options... - type source options`."""
    for line in mounts.split(b"\n"):
        fields, _, kind = line.partition(b" - ")
        if not kind.startswith(b"cgroup2 "):
            continue
        root, point = map(_unescaped, fields.split()[3:5])
        if root == b"/":
            return os.fsdecode(point + name.rstrip(b"/"))
        if name == root or name.startswith(root + b"/"):  # a container that sees but a part of the tree
            return os.fsdecode(point + name[len(root) :])
    return None


def _unescaped(field: bytes) -> bytes:
    for escaped, plain in ESCAPES:
        field = field.replace(escaped, plain)
    return field


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
