"""Where a lock file may lie: each refusal word for word, with what is wrong and what to do."""

import ctypes
import errno
import os
import platform
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aioha.elections.local import place as places
from aioha.elections.local.place import (
    Place,
    check_file,
    file_system_type,
    locate,
    prepare,
    refusal,
    shared_file_system,
)
from aioha.errors import SessionFailed

MY_UID = 1000
FILE = Place("local:/d/x.lock", "/d/x.lock", named=False)
NAMED = Place("local:x", "/d/aioha/x.lock", named=True)
DENIED = "Permission denied; run as the user it belongs to, or name a file in a directory of your own"


@pytest.fixture(autouse=True)
def me(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: MY_UID)


def found(mode: int, uid: int = MY_UID) -> Any:
    return SimpleNamespace(st_mode=mode, st_uid=uid)


def why(call: Callable[..., Any], *args: Any, **named: Any) -> str:
    with pytest.raises(SessionFailed) as refused:
        call(*args, **named)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return str(refused.value)


# ---------------------------------------------------------------------- names


def test_an_absolute_path_is_the_file_in_its_real_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "x").symlink_to("y")
    where = f"{tmp_path}/link/x"
    place = locate(where)
    assert place == Place(f"local:{where}", f"{tmp_path.resolve()}/real/x", named=False)
    assert place.directory == f"{tmp_path.resolve()}/real"


def test_a_name_is_a_file_in_a_directory_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(".")
    base = tmp_path.resolve()
    environ = {"AIOHA_DIR": f"{tmp_path}/link/./mine/"}
    assert locate("x", environ) == Place("local:x", f"{base}/mine/x.lock", named=True)
    for without in ({}, {"AIOHA_DIR": ""}):
        assert locate("x", without).path == f"{os.path.realpath('/var/tmp')}/aioha-1000/x.lock"  # noqa: S108
    monkeypatch.setenv("AIOHA_DIR", str(base))
    assert locate("x").path == f"{base}/x.lock"
    (base / "mine").symlink_to(base)  # which is seen to when it is used
    assert locate("x", environ).path == f"{base}/mine/x.lock"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("/run/lock/", "where: local:/run/lock/ must name a lock file, not a directory"),
        ("", "where: local:: a name has no '/'; or give an absolute path"),
        ("a/b", "where: local:a/b: a name has no '/'; or give an absolute path"),
        ("a\0b", "where: local:a\0b: a name has no '/'; or give an absolute path"),
    ],
)
def test_what_is_no_name_is_a_value_error(name: str, said: str) -> None:
    with pytest.raises(ValueError, match="^where: ") as refused:
        locate(name, {})
    assert str(refused.value) == said


def test_a_directory_must_mean_the_same_place_everywhere() -> None:
    said = "local:x: $AIOHA_DIR is 'mine', which means another place in each directory; make it absolute"
    assert why(locate, "x", {"AIOHA_DIR": "mine"}) == said


# ---------------------------------------------------------------------- directories


def directory(monkeypatch: pytest.MonkeyPatch, result: Any = None, *, exists: bool = False, may: bool = True) -> list[Any]:
    """The calls that are made of the kernel, which answers so."""
    asked = list[Any]()

    def answer(*question: Any, answer: Any = None) -> Any:
        asked.append(question)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kernel = {
        "lstat": lambda path: answer("lstat", path, answer=result),
        "makedirs": lambda path, **named: answer("makedirs", path, named),
        "access": lambda path, mode: answer("access", path, mode, answer=may),
        "path": SimpleNamespace(
            **{**vars(os.path), "lexists": lambda path: answer("exists", path, answer=exists)},
        ),
    }
    monkeypatch.setattr(places, "os", SimpleNamespace(**{**vars(os), **kernel}))
    monkeypatch.setattr(places, "file_system_type", lambda path: answer("type", path))
    return asked


OPEN = found(stat.S_IFDIR | 0o700)


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("place", [FILE, NAMED])
def test_only_a_candidate_makes_a_directory_and_only_its_own(
    monkeypatch: pytest.MonkeyPatch, place: Place, create: bool
) -> None:
    asked = directory(monkeypatch, OPEN)
    prepare(place, create=create)
    made = [("makedirs", place.directory, {"mode": 0o700, "exist_ok": True})] if create and place.named else []
    looked = [("lstat", place.directory), ("type", place.directory), ("exists", place.path)]
    assert asked == [*made, *looked, ("access", place.directory, os.X_OK | os.W_OK)]


def test_to_use_a_file_that_is_there_its_directory_need_not_be_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = directory(monkeypatch, OPEN, exists=True)
    prepare(FILE, create=True)
    assert asked[-1] == ("access", "/d", os.X_OK)
    directory(monkeypatch, OPEN, exists=True, may=False)
    assert why(prepare, FILE, create=True) == f"local:/d/x.lock: cannot create /d/x.lock: {DENIED}"


def test_who_looks_needs_no_directory_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = directory(monkeypatch, FileNotFoundError(errno.ENOENT, "No such file or directory"))
    prepare(NAMED, create=False)
    assert asked == [("lstat", "/d/aioha")]


@pytest.mark.parametrize(
    ("place", "create", "error", "said"),
    [
        (NAMED, True, FileExistsError(), "/d/aioha is not a directory; remove it or set AIOHA_DIR"),
        (FILE, True, FileNotFoundError(), "directory /d does not exist; create it first"),
        (FILE, False, FileNotFoundError(), "directory /d does not exist; create it first"),
        (
            NAMED,
            True,
            FileNotFoundError(errno.ENOENT, "No such file or directory"),
            "cannot create the directory of /d/aioha/x.lock: No such file or directory; see to that",
        ),
        (
            FILE,
            True,
            NotADirectoryError(errno.ENOTDIR, "Not a directory"),
            "cannot use the directory of /d/x.lock: Not a directory; see to that",
        ),
    ],
)
def test_a_directory_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, place: Place, create: bool, error: OSError, said: str
) -> None:
    directory(monkeypatch, error)
    assert why(prepare, place, create=create) == f"{place.where}: {said}"


@pytest.mark.parametrize(
    ("mode", "uid", "said"),
    [
        (stat.S_IFLNK | 0o777, MY_UID, "is a symbolic link; remove it or set AIOHA_DIR to a real directory"),
        (stat.S_IFREG | 0o600, MY_UID, "is not a directory; remove it or set AIOHA_DIR to a real directory"),
        (stat.S_IFDIR | 0o700, 7, "belongs to uid 7 and we are uid 1000; set AIOHA_DIR to a directory of your own"),
        (stat.S_IFDIR | 0o720, MY_UID, "may be written by others (mode 0720); chmod 700 it"),
        (stat.S_IFDIR | stat.S_ISVTX | 0o702, MY_UID, "may be written by others (mode 1702); chmod 700 it"),
        (stat.S_IFDIR | 0o755, MY_UID, None),
    ],
)
def test_a_directory_of_names_is_ours_and_closed(
    monkeypatch: pytest.MonkeyPatch, mode: int, uid: int, said: str | None
) -> None:
    directory(monkeypatch, found(mode, uid))
    prepare(FILE, create=True)  # what somebody names in full is their own choice
    if said is None:
        prepare(NAMED, create=True)
    else:
        assert why(prepare, NAMED, create=True) == f"local:x: /d/aioha {said}"


def test_there_are_no_abstract_sockets_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = directory(monkeypatch, OPEN)
    monkeypatch.setattr(sys, "platform", "darwin")
    said = "local:x: elections on one host need Linux (abstract sockets); use zk:// here"
    assert why(prepare, NAMED, create=True) == said
    assert asked == []


# ---------------------------------------------------------------------- file systems


@pytest.mark.parametrize(
    ("kind", "name"),
    [(0x6969, "NFS"), (0x65735546, "FUSE"), (-11317950, "CIFS"), (0xFE534D42, "SMB2"), (0xEF53, None), (None, None)],
)
def test_a_lock_that_does_not_hold_for_all_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: int | None, name: str | None
) -> None:
    assert shared_file_system(kind) == name
    directory(monkeypatch, OPEN)
    monkeypatch.setattr(places, "file_system_type", lambda path: kind if path == "/d" else None)
    if name is None:
        prepare(FILE, create=True)
        return
    said = f"local:/d/x.lock: /d lies on {name}, where a lock does not hold for every host that sees it; "
    assert why(prepare, FILE, create=True) == said + "use a local disk, or zk:// for several hosts"


@pytest.mark.parametrize(("machine", "kind"), [("x86_64", 0x16969), ("s390x", 0x26969), ("s390", 0x26969)])
def test_the_kind_is_the_first_field_of_what_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch, machine: str, kind: int
) -> None:
    """Which is shorter on some machines. Where the kernel says nothing, nothing is known."""
    answers = [0, -1]

    def statfs(path: bytes, buffer: Any) -> int:
        assert (path, len(buffer)) == (b"/d\xe9", 512)
        return answers.pop(0)

    for name, value in (("c_ulong", 0x7_0001_6969), ("c_uint32", 0x2_6969)):
        read = SimpleNamespace(from_buffer=lambda _, value=value: SimpleNamespace(value=value))
        monkeypatch.setattr(ctypes, name, read)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(statfs=statfs) if name is None else None)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert file_system_type("/d\udce9") == kind
    assert file_system_type("/d\udce9") is None
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert file_system_type("/d") is None


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("mode", "uid", "said"),
    [
        (stat.S_IFIFO | 0o600, MY_UID, "is not a regular file; name another one"),
        (
            stat.S_IFREG | 0o600,
            7,
            "belongs to uid 7 and we are uid 1000; all candidates of a local election run as one user",
        ),
        (stat.S_IFREG | 0o620, MY_UID, "may be written by others (mode 0620); chmod 600 it"),
        (stat.S_IFREG | 0o602, MY_UID, "may be written by others (mode 0602); chmod 600 it"),
        (stat.S_IFREG | 0o644, MY_UID, None),
    ],
)
def test_a_lock_file_is_a_file_of_ours_that_nobody_else_can_write(mode: int, uid: int, said: str | None) -> None:
    if said is None:
        check_file(FILE, found(mode, uid))
    else:
        assert why(check_file, FILE, found(mode, uid)) == f"local:/d/x.lock: /d/x.lock {said}"


@pytest.mark.parametrize(
    ("doing", "error", "said"),
    [
        ("open", OSError(errno.ENXIO, "No such device"), "No such device; see to that"),
        ("write", OSError(errno.ENOSPC, "No space left"), "No space left; make room or repair the disk"),
        ("open", OSError("odd"), "odd; see to that"),
        ("open", IsADirectoryError(errno.EISDIR, "Is a directory"), "Is a directory; name a file"),
        ("write", PermissionError(errno.EACCES, "Permission denied"), DENIED),
    ],
)
def test_what_the_kernel_refuses_is_said_with_advice(doing: str, error: OSError, said: str) -> None:
    assert str(refusal(FILE, doing, error)) == f"local:/d/x.lock: cannot {doing} /d/x.lock: {said}"


def test_a_link_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("nowhere")
    place = Place("local:x", f"{tmp_path}/x", named=False)
    said = f"local:x: cannot open {tmp_path}/x: it is a symbolic link; name the file itself"
    assert str(refusal(place, "open", OSError(errno.ELOOP, "Too many levels"))) == said
