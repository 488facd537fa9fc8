"""`aioha demo` tells its story in plain lines without a terminal, measures its gaps, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import ROOT, alive, environment, wait_dead

from aioha.cli.demo.account import Account
from aioha.cli.demo.drawing import BLOCKS, lane, milliseconds
from aioha.testing.fixtures import require
from aioha.testing.java import missing

PATIENCE = 90.0
MS = 1_000_000


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The demo, its temporary files below `directory`, its output to a pipe."""
    with subprocess.Popen(
        [sys.executable, "-m", "aioha", "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(directory, TMPDIR=str(directory)),
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def candidates(directory: Path) -> list[int]:
    """The candidates' processes of the demo that runs in `directory`."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"AIOHA_DIR={directory}/aioha-demo-".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if alive(pid)]


def assert_nothing_left(directory: Path) -> None:
    assert list(directory.iterdir()) == []
    assert candidates(directory) == []


def check_story(text: str) -> list[float]:
    """The story is all there; returns the gaps in ms: after the kill, after the resignation."""
    assert "\x1b" not in text
    assert "\r" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert len(re.findall(r"kill -9 \d+: \w+, the leader", text)) == 1
    assert "resigns" in text
    assert "is started again" in text
    lanes = re.findall(r"^ (ann|bob|cyd) .*[█░]", text.partition("Who led when")[2], re.MULTILINE)
    assert set(lanes) == {"ann", "bob", "cyd"}
    assert BLOCKS.killed in text
    assert re.search(r"never two at once \([\d,]+ moments of work compared\): ok", text)
    assert re.search(r"tokens only grow: \d+ < \d+ < \d+: ok", text)
    gaps = re.findall(r"([\d.,]+) ms after the (kill -9|resignation)", " ".join(text.split()))
    assert [cause for _, cause in gaps] == ["kill -9", "resignation"]
    return [float(gap.replace(",", "")) for gap, _ in gaps]


def test_the_story_on_one_host(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert all(0 < gap < 1000 for gap in check_story(out))
    assert_nothing_left(tmp_path)


def test_the_story_on_three_servers(tmp_path: Path) -> None:
    hint = missing()
    require(hint is None, hint or "")
    with demo(tmp_path, "--zookeeper") as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert "its session must expire first: 3 s" in out
    after_kill, after_resignation = check_story(out)
    assert 1500 < after_kill < 10_000
    assert after_resignation < 1000
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("three candidates", signal.SIGINT),
        ("the others stand by", signal.SIGTERM),
        ("kill -9", signal.SIGINT),
        ("is started again", signal.SIGINT),
    ],
)
def test_interrupted_it_leaves_nothing(tmp_path: Path, moment: str, number: int) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(moment in line for line in process.stdout)
        start = time.monotonic()
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        assert time.monotonic() - start < 5.0
        assert process.stderr.read() == ""
    assert_nothing_left(tmp_path)


def test_killed_it_takes_its_candidates_along(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        assert any("the others stand by" in line for line in process.stdout)
        pids = candidates(tmp_path)
        assert len(pids) == 3
        process.kill()
    for pid in pids:
        wait_dead(pid)


def test_a_reader_that_goes_ends_it_quietly(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == ""
    assert_nothing_left(tmp_path)


def test_without_zookeeper_it_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, aioha.testing.java as java; java.JARS = pathlib.Path('/nowhere'); "
        "from aioha.__main__ import main; sys.argv[1:] = ['demo', '--zookeeper']; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        cwd=ROOT,
        env=environment(tmp_path, TMPDIR=str(tmp_path)),
    )
    assert result.returncode == 69
    assert result.stderr.count("\n") == 1
    assert "install zookeeper" in result.stderr
    assert os.listdir(tmp_path) == []


def two_terms(second_start: int, *, last_tick: int) -> Account:
    """ann works from 0, is killed at 100 ms and was last seen at `last_tick`; bob starts at `second_start`. In ms."""
    account = Account()
    account.joined("ann", 0)
    account.began("ann", 1, 0)
    account.killed("ann", 100 * MS)
    account.ticked("ann", last_tick * MS)
    account.joined("bob", 0)
    account.began("bob", 2, second_start * MS)
    return account


def test_the_account_measures_from_the_blow_to_the_next_work() -> None:
    account = two_terms(103, last_tick=99)
    assert [handover.gap for handover in account.handovers()] == [pytest.approx(0.003)]
    assert account.overlaps() == []
    assert account.tokens_grow()


def test_work_seen_after_the_next_began_is_two_at_once() -> None:
    account = two_terms(103, last_tick=104)
    assert [handover.after.name for handover in account.overlaps()] == ["bob"]


def test_a_leader_that_never_ended_is_two_at_once() -> None:
    account = Account()
    account.began("ann", 2, 0)
    account.began("bob", 1, 5 * MS)
    account.ticked("ann", 6 * MS)
    assert len(account.overlaps()) == 1
    assert not account.tokens_grow()


def test_a_lane_shows_standing_by_working_and_the_blow() -> None:
    account = two_terms(103, last_tick=99)
    rows = [lane(account, name, "", 0, 10 * MS, 20, 200 * MS, BLOCKS).plain for name in ("ann", "bob")]
    assert rows == ["██████████" + BLOCKS.killed + " " * 9, "░░░░░░░░░░██████████"]


@pytest.mark.parametrize(("seconds", "text"), [(0.00231, "2.31 ms"), (0.0264, "26.4 ms"), (3.4119, "3,412 ms")])
def test_gaps_are_readable(seconds: float, text: str) -> None:
    assert milliseconds(seconds) == text
