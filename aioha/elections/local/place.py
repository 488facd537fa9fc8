"""Where a lock file lies, and whether it may lie there. Every refusal is one line: what, where, why, what to do.

A file that others may write could have its tokens turned back; a file that several hosts see is locked on one of
them only. Looking creates nothing: only a candidate makes the directory of `local:name`.
"""

import errno
import os
import platform
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import SessionFailed

__all__ = ["PASSING", "Place", "check_file", "file_system_type", "locate", "prepare", "refusal", "shared_file_system"]

PASSING = (
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOBUFS,
)  # the host's troubles, which no candidate is to blame for
_OPEN_TO_OTHERS = stat.S_IWGRP | stat.S_IWOTH

# f_type of statfs(2). On these a flock is emulated, kept per host, or made by a program that may not care.
_SHARED = {
    0x6969: "NFS",
    0x517B: "SMB",
    0xFF534D42: "CIFS",
    0xFE534D42: "SMB2",
    0x65735546: "FUSE",
    0x01021997: "9P",
    0x00C36400: "Ceph",
    0x5346414F: "AFS",
    0x6B414653: "AFS",
    0x73757245: "Coda",
    0x0BD00BD0: "Lustre",
    0x01161970: "GFS2",
    0x7461636F: "OCFS2",
    0x786F4256: "VirtualBox shared folder",
}


@dataclass(frozen=True, slots=True)
class Place:
    """`where`: as the user wrote it. `path`: the lock file, its directory free of links. `named`: the directory is
    ours to make and to keep closed.
    """

    where: str
    path: str
    named: bool

    @property
    def directory(self) -> str:
        return os.path.dirname(self.path)


def locate(path_or_name: str, environ: Mapping[str, str] | None = None) -> Place:
    """The lock file of `local:path_or_name`. Raises `ValueError`; `SessionFailed` for an unusable `$AIOHA_DIR`."""
    environ = os.environ if environ is None else environ
    where = f"local:{path_or_name}"
    if path_or_name.startswith("/"):
        directory, name = os.path.split(path_or_name)
        if not name:
            raise ValueError(f"where: {where} must name a lock file, not a directory")
        # Two spellings of one file must meet at one socket; the file itself may not be a link.
        return Place(where, os.path.join(os.path.realpath(directory), name), named=False)
    if not path_or_name or "/" in path_or_name or "\0" in path_or_name:
        raise ValueError(f"where: {where}: a name has no '/'; or give an absolute path")
    # World-writable, but kept over a reboot and the same for ssh, cron and systemd; `prepare` checks what lies there.
    directory = environ.get("AIOHA_DIR") or f"/var/tmp/aioha-{os.geteuid()}"  # noqa: S108
    if not os.path.isabs(directory):
        raise SessionFailed(
            f"{where}: $AIOHA_DIR is {directory!r}, which means another place in each directory; make it absolute"
        )
    parent, last = os.path.split(os.path.normpath(directory))
    return Place(where, os.path.join(os.path.realpath(parent), last, f"{path_or_name}.lock"), named=True)


def prepare(place: Place, *, create: bool) -> None:
    """Check the directory, and make it if `create` and it is ours to make. Raises `SessionFailed`."""
    if sys.platform != "linux":
        raise SessionFailed(f"{place.where}: elections on one host need Linux (abstract sockets); use zk:// here")
    found = _find_directory(place, create)
    if found is None:
        return
    if place.named:
        _check_directory(place, found)
    kind = shared_file_system(file_system_type(place.directory))
    if kind is not None:
        raise SessionFailed(
            f"{place.where}: {place.directory} lies on {kind}, where a lock does not hold for every host that sees it; "
            f"use a local disk, or zk:// for several hosts"
        )
    if not os.access(place.directory, os.X_OK | (0 if os.path.lexists(place.path) else os.W_OK)):
        raise refusal(place, "create", PermissionError(0, "Permission denied"))


def _find_directory(place: Place, create: bool) -> os.stat_result | None:
    """None: it is not there, and is made when it is needed."""
    try:
        if place.named and create:
            os.makedirs(place.directory, mode=0o700, exist_ok=True)
        return os.lstat(place.directory)
    except FileExistsError:
        raise SessionFailed(f"{place.where}: {place.directory} is not a directory; remove it or set AIOHA_DIR") from None
    except FileNotFoundError as error:
        if not place.named:
            raise SessionFailed(f"{place.where}: directory {place.directory} does not exist; create it first") from None
        if create:
            raise refusal(place, "create the directory of", error) from None
        return None
    except OSError as error:
        raise refusal(place, "use the directory of", error) from None


def _check_directory(place: Place, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(found.st_mode) else "not a directory"
        raise SessionFailed(f"{place.where}: {place.directory} is {kind}; remove it or set AIOHA_DIR to a real directory")
    if found.st_uid != os.geteuid():
        raise SessionFailed(
            f"{place.where}: {place.directory} belongs to uid {found.st_uid} and we are uid {os.geteuid()}; "
            f"set AIOHA_DIR to a directory of your own"
        )
    if found.st_mode & _OPEN_TO_OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise SessionFailed(f"{place.where}: {place.directory} may be written by others (mode {mode:04o}); chmod 700 it")


def check_file(place: Place, found: os.stat_result) -> None:
    """Whether a file that was opened may be our lock file. Raises `SessionFailed`."""
    if not stat.S_ISREG(found.st_mode):
        raise SessionFailed(f"{place.where}: {place.path} is not a regular file; name another one")
    if found.st_uid != os.geteuid():
        raise SessionFailed(
            f"{place.where}: {place.path} belongs to uid {found.st_uid} and we are uid {os.geteuid()}; "
            f"all candidates of a local election run as one user"
        )
    if found.st_mode & _OPEN_TO_OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise SessionFailed(f"{place.where}: {place.path} may be written by others (mode {mode:04o}); chmod 600 it")


def refusal(place: Place, doing: str, error: OSError) -> SessionFailed:
    """What to tell the user when the kernel says no."""
    why = error.strerror or str(error)
    if isinstance(error, PermissionError):
        advice = "run as the user it belongs to, or name a file in a directory of your own"
    elif os.path.islink(place.path):
        why, advice = "it is a symbolic link", "name the file itself"
    elif isinstance(error, IsADirectoryError):
        advice = "name a file"
    else:
        advice = "make room or repair the disk" if doing == "write" else "see to that"
    return SessionFailed(f"{place.where}: cannot {doing} {place.path}: {why}; {advice}")


def shared_file_system(f_type: int | None) -> str | None:
    """The name of a file system on which a lock file would not do; None if it would, or if nobody knows."""
    return None if f_type is None else _SHARED.get(f_type & 0xFFFFFFFF)


def file_system_type(path: str) -> int | None:
    """statfs's f_type of `path`, or None where it cannot be had. `os.statvfs` leaves it out; /proc may be missing."""
    try:
        import ctypes

        buffer = ctypes.create_string_buffer(512)  # no struct statfs is longer, and f_type comes first in all of them
        if ctypes.CDLL(None).statfs(os.fsencode(path), buffer) != 0:
            return None
    except (ImportError, OSError, AttributeError, ValueError):
        return None
    kind = ctypes.c_uint32 if platform.machine().startswith("s390") else ctypes.c_ulong
    return kind.from_buffer(buffer).value & 0xFFFFFFFF
