"""A control group for CMD: where it would lie, and on a real hierarchy that nothing leaves it and one write ends it."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import PATIENCE, ROOT, wait_dead
from machine import need

from aioha import cgroup
from aioha.cgroup import Cgroup

WHOLE = b"30 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
    b"37 31 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
    b"41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n"
)
CONTAINER = b"99 1 0:30 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
ODD = rb"99 1 0:30 /a\040b /mnt/with\040space\134 rw - cgroup2 cgroup rw" + b"\n"


@pytest.mark.parametrize(
    ("name", "mounts", "path"),
    [
        (b"/", WHOLE, "/sys/fs/cgroup"),
        (b"/system.slice/app.service", WHOLE, "/sys/fs/cgroup/system.slice/app.service"),
        (b"/", HYBRID, "/sys/fs/cgroup/unified"),
        (b"/docker/abc", CONTAINER, "/sys/fs/cgroup"),
        (b"/docker/abc/deep", CONTAINER, "/sys/fs/cgroup/deep"),
        (b"/docker/abcdef", CONTAINER, None),
        (b"/docker", CONTAINER, None),
        (b"/a b/c", ODD, "/mnt/with space\\/c"),
        (b"/", b"37 31 0:34 / /sys/fs/cgroup rw - cgroup cgroup rw,pids\n", None),
        (b"/", b"", None),
    ],
)
def test_where_our_group_is_mounted(name: bytes, mounts: bytes, path: str | None) -> None:
    assert cgroup._in_file_system(name, mounts) == path


@pytest.mark.parametrize(
    ("cgroups", "name"),
    [
        (b"0::/user.slice/session-1.scope\n", b"/user.slice/session-1.scope"),
        (b"9:name=systemd:/\n4:memory:/x\n0::/\n", b"/"),
        (b"9:name=systemd:/\n", None),
        (b"0::/../..\n", b"/../.."),
        (b"", None),
    ],
)
def test_the_name_of_our_group(cgroups: bytes, name: bytes | None) -> None:
    assert cgroup._own_name(cgroups) == name


def test_none_is_made_where_we_may_not_or_the_kernel_cannot_kill_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ordinary directory: a group without its files, as it looks on a kernel too old for `cgroup.kill`."""
    monkeypatch.setattr(cgroup, "own_path", lambda: str(tmp_path))
    assert Cgroup.make("aioha-test") is None
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(cgroup, "own_path", lambda: "/proc/self")
    assert Cgroup.make("aioha-test") is None
    monkeypatch.setattr(cgroup, "own_path", lambda: None)
    assert Cgroup.make("aioha-test") is None


def test_one_that_is_gone_is_empty_and_can_be_killed_and_removed(tmp_path: Path) -> None:
    gone = Cgroup(str(tmp_path / "gone"))
    gone.kill()
    gone.remove()
    assert not gone.populated()
    with pytest.raises(FileNotFoundError):
        gone.procs_fd()


@pytest.fixture
def group() -> Iterator[Cgroup]:
    made = Cgroup.make(f"aioha-test-{os.getpid()}")
    need(made is not None, "this test needs a version 2 control group hierarchy that we may write")
    assert made is not None
    yield made
    made.kill()
    made.remove()
    assert not os.path.exists(made.path)


def member(group: Cgroup, script: str) -> "subprocess.Popen[str]":
    door = group.procs_fd()
    try:
        return subprocess.Popen(
            ["sh", "-c", script],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.write(door, b"0") and None,  # noqa: PLW1509 - one system call
        )
    finally:
        os.close(door)


@pytest.mark.root
def test_what_a_member_starts_is_killed_with_it_wherever_it_went(group: Cgroup) -> None:
    assert not group.populated()
    with member(
        group, "(setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done' &); exec sleep 1000"
    ) as process:
        assert process.stdout is not None
        daemon = int(process.stdout.readline())
        assert group.populated()
        group.kill()
        wait_dead(daemon)
        assert process.wait(PATIENCE) == -signal.SIGKILL
        assert process.stdout.read() == ""
    assert not group.populated()


@pytest.mark.root
def test_a_zombie_keeps_it_neither_populated_nor_there(group: Cgroup) -> None:
    with member(group, "exit 0") as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not group.populated()
        group.remove()
        assert not os.path.exists(group.path)


@pytest.mark.root
def test_a_populated_one_stays_and_groups_below_it_go_with_it(group: Cgroup) -> None:
    """An `aioha run` started by CMD makes its own group below CMD's; killed, it leaves it there."""
    os.makedirs(os.path.join(group.path, "inner", "most"))
    with member(Cgroup(os.path.join(group.path, "inner")), "exec sleep 1000") as process:
        assert group.populated()
        group.remove()
        assert os.listdir(os.path.join(group.path, "inner"))
        assert not os.path.exists(os.path.join(group.path, "inner", "most"))
        group.kill()
        assert process.wait(PATIENCE) == -signal.SIGKILL
    group.remove()
    assert not os.path.exists(group.path)


@pytest.mark.root
def test_a_name_that_is_taken_is_not_taken_over(group: Cgroup) -> None:
    assert Cgroup.make(os.path.basename(group.path)) is None


@pytest.mark.root
def test_it_is_made_below_our_own(group: Cgroup) -> None:
    assert os.path.dirname(group.path) == cgroup.own_path()
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from aioha import cgroup; print(cgroup.own_path())"
    with member(group, shlex.join([sys.executable, "-c", script])) as process:
        assert process.communicate(timeout=PATIENCE)[0].strip() == group.path
