"""`aioha run` leaves nothing of CMD behind: not in another session, not as a daemon, not stopped, not deaf, not forking.

The first tests are bugs that other wrappers had, named after where they were reported.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import Running, aioha, alive, running, wait_dead
from kazoo.client import KazooClient  # type: ignore[import-untyped]
from machine import need
from waiting import until

from aioha import cgroup, descendants
from aioha.testing import Ensemble

TIMEOUT = 2.0
PATH = "/cli/descendants"
LOOP = "while :; do sleep 0.02; done"
DEAF = f'trap "" TERM; {LOOP}'  # and so is what it starts
# A daemon, as daemons start: in a session of its own, its parent gone. Says its number.
DAEMON = "(setsid sh -c 'echo daemon $$; {}' &)"
# One that does something on SIGTERM, from before it speaks.
WARY_DAEMON = "(setsid sh -c 'trap \"{}\" TERM; echo daemon $$; while :; do sleep 0.02; done' &)"
WAYS = ["with a control group", "without"]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    """Most users may make no control group; where one can be made, that way is tried as well."""
    if request.param == WAYS[0]:
        probe = cgroup.Cgroup.make(f"aioha-probe-{os.getpid()}")
        need(probe is not None, "this test needs a version 2 control group hierarchy that we may write")
        assert probe is not None
        probe.remove()
    return str(request.param)


@contextmanager
def run(directory: Path, script: str, *options: str, where: str = "local:work", way: str = WAYS[1]) -> Iterator[Running]:
    """`aioha run ... -- sh -c script`. In the end nothing that it started may be there, wherever it went."""
    ours = f"{directory}-{len(os.listdir(directory))}"
    patch = directory / "patch"
    patch.mkdir(exist_ok=True)
    (patch / "sitecustomize.py").write_text("import aioha.cgroup\naioha.cgroup.own_path = lambda: None\n")
    path = {} if way == WAYS[0] else {"PYTHONPATH": f"{patch}:{Path(cgroup.__file__).parents[1]}"}
    arguments = ("run", where, "--identity", ours, *options, "--", "sh", "-c", script)
    with running(directory, *arguments, **path) as process:
        yield process
    assert descendants.tagged(f"AIOHA_IDENTITY={ours}".encode()) == set()


def told(leader: Running, *words: str) -> list[int]:
    """The number behind each word, in a line of its own; they come in any order."""
    for word in words:
        if not any(line.startswith(word) for line in leader.out.seen):
            leader.out.until(word)
    return [int(line.split()[1]) for word in words for line in leader.out.seen if line.startswith(word)]


def overlap(pids: list[int]) -> str:
    """A script for the next leader: says `overlap` if any of these still runs when it starts; a zombie does not."""
    files = " ".join(f"/proc/{pid}/status" for pid in pids)
    return f"grep -qs 'State:.[RSDT]' {files} && echo overlap; echo next"


# ------------------------------------------------------------------ what others got wrong


def test_consul_797_sigterm_reaches_the_command(tmp_path: Path) -> None:
    """`kill` on the wrapper left `sleep 10d` running."""
    with run(tmp_path, "echo cmd $$; exec sleep 10d") as leader:
        (cmd,) = told(leader, "cmd")
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGTERM
        assert not alive(cmd)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_consul_1210_and_2489_other_signals_strand_nobody(tmp_path: Path, number: int) -> None:
    """The wrapper ended on HUP and QUIT, too, but ended its child on TERM only."""
    with run(tmp_path, f"{DAEMON.format(LOOP)}; sleep 1000 & echo child $!; wait") as leader:
        child, daemon = told(leader, "child", "daemon")
        leader.send(number)
        assert leader.exit_code() == 128 + signal.SIGTERM  # CMD's own status: SIGTERM is what it was sent
        assert not alive(child)
        assert not alive(daemon)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_consul_3571_signals_with_a_meaning_to_cmd_are_passed_on(tmp_path: Path, number: signal.Signals) -> None:
    name = number.name.removeprefix("SIG")
    with run(tmp_path, f"trap 'echo got {name}' {name}; echo began; {LOOP}") as leader:
        leader.out.until("began")
        leader.send(number)
        leader.out.until(f"got {name}")
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGTERM


def test_consul_873_and_2022_the_shell_s_child_dies_with_the_shell(tmp_path: Path, zookeeper: Ensemble, way: str) -> None:
    """When the lock was lost the wrapper killed `sh` and left what `sh` had started; and another took the lock."""
    where = zookeeper.where(f"{PATH}/shell", session_timeout=TIMEOUT)
    with run(tmp_path, "sleep 1000 & echo child $!; echo cmd $$; wait", "--once", where=where, way=way) as first:
        pids = told(first, "child", "cmd")
        with run(tmp_path, overlap(pids), where=where) as second:
            second.err.until("standing by")
            delete(zookeeper, f"{PATH}/shell")
            assert second.exit_code() == 0
            assert second.out.rest() == ["next"]
        assert first.exit_code() == 75


def test_consul_9788_all_is_dead_before_the_session_can_expire(tmp_path: Path, zookeeper: Ensemble, way: str) -> None:
    """Cut off from the servers, the wrapper ended its child 90 s after somebody else had been given the lock."""
    timeout = 2 * TIMEOUT  # a busy machine, and the guardian, take a shorter silence of our loop for a frozen process
    where = zookeeper.where(f"{PATH}/silence", session_timeout=timeout, stop_grace=timeout / 8)
    script = f"{DAEMON.format(DEAF)}; ({DEAF}) & echo child $!; echo cmd $$; {DEAF}"
    with run(tmp_path, script, "--once", where=where, way=way) as leader:
        pids = told(leader, "child", "cmd", "daemon")
        zookeeper.servers[0].freeze()
        frozen = time.monotonic()
        for pid in pids:
            wait_dead(pid)
        assert time.monotonic() - frozen < timeout
        zookeeper.servers[0].thaw()
        assert leader.exit_code() == 75


def test_etcd_7983_a_lost_term_ends_the_command(tmp_path: Path, zookeeper: Ensemble) -> None:
    """`etcdctl lock NAME CMD`: "is there a way to run a command if the lock is lost?" There CMD was never told at all."""
    where = zookeeper.where(f"{PATH}/lost", session_timeout=TIMEOUT)
    script = f"trap 'echo told; exit 0' TERM; {DAEMON.format(LOOP)}; echo cmd $AIOHA_TOKEN; {LOOP}"
    with run(tmp_path, script, where=where) as leader:
        first, daemon = told(leader, "cmd", "daemon")
        delete(zookeeper, f"{PATH}/lost")
        assert int(leader.out.until("cmd").split()[1]) > first
        assert "told" in leader.out.seen
        assert not alive(daemon)


def test_consul_947_the_status_is_cmd_s_own_whatever_it_leaves_behind(tmp_path: Path, way: str) -> None:
    os.mkfifo(tmp_path / "up")
    daemon_that_says_so = DAEMON.format(f"echo > {tmp_path}/up; {LOOP}")
    with run(tmp_path, f"{daemon_that_says_so}; read line < {tmp_path}/up; exit 9", way=way) as leader:
        (daemon,) = told(leader, "daemon")
        assert leader.exit_code() == 9
        assert not alive(daemon)


def test_envconsul_317_sigkill_reaches_more_than_the_direct_child(tmp_path: Path) -> None:
    """SIGTERM went to the group, but SIGKILL after it only to the shell."""
    with run(tmp_path, f"({DEAF}) & echo child $!; {LOOP}", "--kill-after", "0.2") as leader:
        (child,) = told(leader, "child")
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGTERM
        assert not alive(child)


# ------------------------------------------------------------------ ways to hide


@pytest.mark.parametrize("deaf", [False, True], ids=["polite", "deaf"])
def test_a_daemon_is_told_to_end_and_killed_if_it_does_not(tmp_path: Path, way: str, deaf: bool) -> None:
    daemon_of_cmd = WARY_DAEMON.format("" if deaf else "echo bye; exit")
    with run(tmp_path, f"{daemon_of_cmd}; {LOOP}", "--kill-after", "0.3" if deaf else "1000", way=way) as leader:
        (daemon,) = told(leader, "daemon")
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGTERM
        assert not alive(daemon)
        assert ("bye" in leader.out.rest()) is not deaf


def test_a_daemon_that_cmd_leaves_is_ended_before_the_release(tmp_path: Path, way: str) -> None:
    """Others would take the lock while it works on."""
    os.mkfifo(tmp_path / "go")
    script = f"{DAEMON.format(DEAF)}; read line < {tmp_path}/go; exit 4"
    with run(tmp_path, script, "--kill-after", "0.3", way=way) as first:
        (daemon,) = told(first, "daemon")
        with run(tmp_path, overlap([daemon])) as second:
            second.err.until("standing by")
            (tmp_path / "go").write_text("go\n")
            assert first.exit_code() == 4
            assert str(daemon) in first.err.until("must stay in the foreground")
            assert second.exit_code() == 0
            assert second.out.rest() == ["next"]


def test_a_stopped_daemon_ends_all_the_same(tmp_path: Path) -> None:
    script = f"{DAEMON.format('kill -STOP $$; sleep 1000')}; {LOOP}"
    with run(tmp_path, script, "--kill-after", "1000") as leader:
        (daemon,) = told(leader, "daemon")
        until(lambda: Path(f"/proc/{daemon}/stat").read_text().split()[2] == "T")
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGTERM
        assert not alive(daemon)


def test_a_second_signal_kills_the_daemons_too(tmp_path: Path, way: str) -> None:
    with run(tmp_path, f"{WARY_DAEMON.format('echo asked')}; {DEAF}", "--kill-after", "1000", way=way) as leader:
        (daemon,) = told(leader, "daemon")
        leader.send(signal.SIGTERM)
        leader.out.until("asked")
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGKILL
        assert not alive(daemon)


def test_an_aioha_run_within_ends_with_all_that_it_runs(tmp_path: Path, way: str) -> None:
    script = tmp_path / "inner"
    script.write_text(f"{DAEMON.format(LOOP)}; echo inner $$; {LOOP}")
    inner = f"{sys.executable} -m aioha run local:inner -- sh {script}"
    with run(tmp_path, f"{inner} & wait", "--kill-after", "1000", way=way) as leader:
        pids = told(leader, "daemon", "inner")
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGTERM
        assert not any(map(alive, pids))


# ------------------------------------------------------------------ what is not CMD's, and what is left of the dead


def test_a_job_that_was_there_before_us_is_not_cmd_s(tmp_path: Path) -> None:
    """A script that starts something and becomes `aioha run` by `exec`: we are its parent, no more."""
    script = f"sleep 1000 & echo job $!; exec {sys.executable} -m aioha run local:work -- true"
    with run(tmp_path, script, where="local:outer") as outer:
        (job,) = told(outer, "job")
        outer.err.until("true ended with status 0")
        assert str(job) in outer.err.until("has ended and left")  # the inner one has spared it, the outer one ends it
        assert outer.exit_code() == 0
        assert not alive(job)


def test_orphans_that_end_are_no_zombies_while_cmd_runs_on(tmp_path: Path, way: str) -> None:
    """They come to us, for we adopt: in a long life there would be no number left for new processes."""
    script = "i=0; while [ $i -lt 200 ]; do (true &); i=$((i+1)); done; echo began; " + LOOP
    with run(tmp_path, script, way=way) as leader:
        leader.out.until("began")

        def zombies() -> set[descendants.Process]:
            return descendants.tree(leader.process.pid)[1]

        # CMD's own child may be one for a moment, too, so let us ask for those that are ours.
        until(lambda: not {one for one in zombies() if descendants.parent(one) == leader.process.pid})
        leader.send(signal.SIGTERM)
        assert leader.exit_code() == 128 + signal.SIGTERM


@pytest.mark.root
def test_the_control_group_of_a_run_that_was_killed_is_taken_away_by_the_next(tmp_path: Path) -> None:
    need(cgroup.own_path() is not None, "this test needs a version 2 control group hierarchy that we may write")
    with subprocess.Popen(["true"]) as past:
        pass
    left = cgroup.Cgroup.make(f"aioha-{past.pid}-0123abcd")
    own = cgroup.Cgroup.make(f"aioha-{os.getpid()}-0123abcd")  # of a run that lives: about to be entered
    assert left is not None
    assert own is not None
    try:
        assert aioha(tmp_path, "run", "local:work", "--", "true").returncode == 0
        assert not os.path.exists(left.path)
        assert os.path.exists(own.path)
    finally:
        left.remove()
        own.remove()


@pytest.mark.root
def test_the_control_group_is_gone_with_cmd(tmp_path: Path) -> None:
    need(cgroup.own_path() is not None, "this test needs a version 2 control group hierarchy that we may write")
    result = aioha(tmp_path, "run", "local:work", "--", "sh", "-c", "grep ^0:: /proc/self/cgroup")
    group = Path(str(cgroup.own_path())) / Path(result.stdout.strip()).name
    assert group.name.startswith("aioha-")
    assert not group.exists()


def delete(zookeeper: Ensemble, path: str) -> None:
    client = KazooClient(zookeeper.connect_string)
    client.start(timeout=20)
    client.delete(path)
    client.stop()
    client.close()
