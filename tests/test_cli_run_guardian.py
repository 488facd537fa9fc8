"""`aioha run` killed with -9, stopped or cut off: nothing of CMD runs when the next command starts.

The second CMD looks for the first one's processes itself, as its very first act.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Running, alive, running, wait_dead
from waiting import until

from aioha.testing import Ensemble, Proxy

TIMEOUT = 2.0
# Children in the group, out of it, and orphaned before anybody could look.
FAMILY = "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sleep 1000 &' &); echo began $$; wait"
DEAF = f"trap '' TERM; {FAMILY}"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


def members(tag: bytes) -> list[int]:
    """Who runs with this in the environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if tag in Path(f"/proc/{name}/environ").read_bytes().split(b"\0") and alive(int(name)):
                found.append(int(name))
        except OSError:
            continue
    return found


def identity_of(pid: int) -> bytes | None:
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((entry for entry in entries if entry.startswith(b"AIOHA_IDENTITY=")), None)


class First:
    """The leader's `aioha run`, and its CMD."""

    def __init__(self, run: Running) -> None:
        self.run = run
        self.cmd = int(run.out.until("began").split()[1])
        # Within an `exec` a process has no environment for a moment.
        until(lambda: identity_of(self.cmd) is not None)
        self.tag = identity_of(self.cmd) or b""
        self.all = members(self.tag)


@contextmanager
def two(
    directory: Path, where: str, script: str = FAMILY, first_where: str = "", *options: str
) -> Iterator[tuple[First, Running]]:
    """A leader with its family, and a second candidate whose CMD says who of that family it finds."""
    with running(directory, "run", first_where or where, "--identity", "first", *options, "--", "sh", "-c", script) as run:
        first = First(run)
        find = f"tr '\\0' '\\n' < $p/environ 2>&- | grep -qx {first.tag.decode()}"
        look = f"for p in /proc/[0-9]*; do {find} && echo found $p; done"
        with running(
            directory, "run", where, "--identity", "second", "--", "sh", "-c", f"({look}) 2>&-; echo looked; sleep 1000"
        ) as second:
            second.err.until("standing by")
            time.sleep(0.5)  # it stands by with all that it needs; nothing tells of that
            yield first, second


def assert_nothing_was_left(second: Running) -> None:
    second.out.until("looked")
    assert not [line for line in second.out.seen if line.startswith("found")]


def test_killed_on_one_host(directory: Path) -> None:
    with two(directory, "local:x") as (first, second):
        until(lambda: len(members(first.tag)) >= 4)
        first.run.send(signal.SIGKILL)
        assert_nothing_was_left(second)


def test_killed_on_zookeeper(directory: Path, zookeeper: Ensemble) -> None:
    with two(directory, zookeeper.where("/killed")) as (first, second):
        killed = time.monotonic()
        first.run.send(signal.SIGKILL)
        assert_nothing_was_left(second)
        assert time.monotonic() - killed < 5.0, "at once, and not after the session timeout of 10 s"


def test_together_with_its_guardian(directory: Path, zookeeper: Ensemble) -> None:
    """A last resort: the kernel kills CMD itself, and the session's end is waited for. What CMD started may live on."""
    where = zookeeper.where("/both", session_timeout=TIMEOUT)
    with two(directory, where, "echo began $$; exec sleep 1000") as (first, second):
        guardian = guardian_of(first.run.process.pid)
        os.kill(guardian, signal.SIGKILL)
        first.run.send(signal.SIGKILL)
        wait_dead(first.cmd)
        assert_nothing_was_left(second)


def guardian_of(pid: int) -> int:
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(") ")[2].split()[1])
            if parent == pid and b"aioha.guardian" in Path(f"/proc/{name}/cmdline").read_bytes():
                return int(name)
        except (OSError, ValueError):
            continue
    raise AssertionError("it has no guardian")


def test_stopped(directory: Path, zookeeper: Ensemble) -> None:
    """CMD itself goes on working: so it is killed, with what it started, before the lease ends."""
    where = zookeeper.where("/stopped", session_timeout=TIMEOUT)
    with two(directory, where, DEAF, "", "--log-json") as (first, second):
        stopped = time.monotonic()
        first.run.send(signal.SIGSTOP)
        wait_dead(first.cmd)
        assert time.monotonic() - stopped < TIMEOUT
        assert_nothing_was_left(second)
        said = [json.loads(line) for line in first.run.err.rest()]
        assert any("killed before another can lead" in line["message"] for line in said)


def test_cut_off(directory: Path, zookeeper: Ensemble) -> None:
    where = zookeeper.where("/cut", session_timeout=TIMEOUT)
    with Proxy(zookeeper.servers[0].address) as proxy:
        through = where.replace(zookeeper.servers[0].address, proxy.address)
        with two(directory, where, DEAF, through) as (first, second):
            proxy.silence()
            assert_nothing_was_left(second)
            assert not any(map(alive, first.all))


def test_without_one_nothing_is_promised_but_cmd_itself_dies(directory: Path) -> None:
    with two(directory, "local:x", "echo began $$; exec sleep 1000", "", "--no-guardian") as (first, second):
        first.run.send(signal.SIGKILL)
        wait_dead(first.cmd)
        assert_nothing_was_left(second)


def test_its_end_leaves_no_guardian(directory: Path) -> None:
    with running(directory, "run", "local:x", "--", "sh", "-c", "echo began $$; sleep 1000") as run:
        run.out.until("began")
        guardian = guardian_of(run.process.pid)
        run.send(signal.SIGTERM)
        assert run.exit_code() == 143
        assert not alive(guardian)
