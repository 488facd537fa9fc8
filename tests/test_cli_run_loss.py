"""`aioha run` on ZooKeeper when the term is lost: CMD's whole group is gone before the lease is, and we stand again."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import aioha, alive, running, wait_dead
from kazoo.client import KazooClient  # type: ignore[import-untyped]

from aioha.testing import Ensemble

PATH = "/cli/billing"
TIMEOUT = 2.0
# CMD and a second member of its group, both deaf to SIGTERM, as what they start is.
LOOP = "while :; do sleep 0.02; done"
STUBBORN = f"trap '' TERM; ({LOOP}) & echo began $AIOHA_TOKEN $$ $!; {LOOP}"
POLITE = f"trap 'echo polite; exit 0' TERM; ({LOOP}) & echo began $AIOHA_TOKEN $$ $!; {LOOP}"


@pytest.fixture
def kazoo(zookeeper: Ensemble) -> Iterator[KazooClient]:
    client = KazooClient(zookeeper.connect_string)
    client.start(timeout=20)
    yield client
    client.stop()
    client.close()


def began(line: str) -> tuple[int, int, int]:
    """The token of a CMD, its pid, and that of another member of its group."""
    _, token, pid, member = line.split()
    return int(token), int(pid), int(member)


def test_a_term_that_somebody_ended_restarts_cmd_with_a_higher_token(
    tmp_path: Path, zookeeper: Ensemble, kazoo: KazooClient
) -> None:
    where = zookeeper.where(f"{PATH}/again", session_timeout=TIMEOUT)
    with running(tmp_path, "run", where, "--", "sh", "-c", POLITE) as run:
        first, *killed = began(run.out.until("began"))
        kazoo.delete(f"{PATH}/again")
        second, *started = began(run.out.until("began"))
        assert "polite" in run.out.seen
        assert second > first
        assert not any(map(alive, killed))
        assert all(map(alive, started))


def test_once_is_75(tmp_path: Path, zookeeper: Ensemble, kazoo: KazooClient) -> None:
    where = zookeeper.where(f"{PATH}/once", session_timeout=TIMEOUT)
    with running(tmp_path, "run", where, "--once", "--log-json", "--", "sh", "-c", f"exec 2> /dev/null; {POLITE}") as run:
        run.out.until("began")
        kazoo.delete(f"{PATH}/once")
        assert run.exit_code() == 75
        assert run.out.rest()[-1] == "polite"
        assert all(json.loads(line) for line in run.err.rest())


def test_a_stubborn_group_is_dead_before_the_session_could_expire(tmp_path: Path, zookeeper: Ensemble) -> None:
    """The server falls silent: nobody tells us anything, the lease alone does."""
    where = zookeeper.where(f"{PATH}/stubborn", session_timeout=TIMEOUT, stop_grace=TIMEOUT / 4)
    with running(tmp_path, "run", where, "--once", "--", "sh", "-c", STUBBORN) as run:
        _, cmd, member = began(run.out.until("began"))
        zookeeper.servers[0].freeze()
        frozen = time.monotonic()
        wait_dead(cmd)
        wait_dead(member)
        assert time.monotonic() - frozen < TIMEOUT
        zookeeper.servers[0].thaw()
        assert run.exit_code() == 75


def test_a_signal_while_a_lost_term_s_cmd_is_ending_ends_the_run(
    tmp_path: Path, zookeeper: Ensemble, kazoo: KazooClient
) -> None:
    where = zookeeper.where(f"{PATH}/both", session_timeout=8, stop_grace=2)
    with running(tmp_path, "run", where, "--", "sh", "-c", STUBBORN) as run:
        run.out.until("began")
        kazoo.delete(f"{PATH}/both")
        run.err.until("the term is over")
        run.send(signal.SIGTERM)
        assert run.exit_code() == 128 + signal.SIGKILL


def test_a_standby_on_another_session_starts_cmd_after_ours_is_gone(
    tmp_path: Path, zookeeper: Ensemble, kazoo: KazooClient
) -> None:
    where = zookeeper.where(f"{PATH}/next", session_timeout=TIMEOUT)
    with running(tmp_path, "run", where, "--once", "--", "sh", "-c", STUBBORN) as first:
        _, cmd, member = began(first.out.until("began"))
        look = f"grep -qs 'State:.[RSDT]' /proc/{member}/status /proc/{cmd}/status && echo overlap; echo began"
        with running(tmp_path, "run", where, "--", "sh", "-c", look) as second:
            second.err.until("standing by")
            kazoo.delete(f"{PATH}/next")
            assert second.exit_code() == 0
            assert second.out.rest() == ["began"]


def test_status_and_watch_on_zookeeper(tmp_path: Path, zookeeper: Ensemble) -> None:
    where = zookeeper.where(f"{PATH}/status")
    with running(tmp_path, "watch", where, "--json") as watch:
        watch.out.until("vacant")
        with running(tmp_path, "run", where, "--identity", "ann", "--", "sh", "-c", POLITE) as run:
            token, *_ = began(run.out.until("began"))
            event = json.loads(watch.out.until('"leader"'))
            assert (event["identity"], event["token"]) == ("ann", token)
            result = aioha(tmp_path, "status", where.replace("zk://", "zk://me:hunter2@"), "--json")
    assert result.returncode == 0
    found = json.loads(result.stdout)
    assert found["where"] == where
    assert found["leader"]["identity"] == "ann"
    assert found["leader"]["token"] == token


def test_a_layout_that_is_not_what_is_there_is_78(tmp_path: Path, zookeeper: Ensemble, kazoo: KazooClient) -> None:
    kazoo.create(f"{PATH}/queue/_c_x-latch-0000000001", b"", makepath=True)
    result = aioha(tmp_path, "run", zookeeper.where(f"{PATH}/queue"), "--", "true")
    assert result.returncode == 78
    assert f"{PATH}/queue" in result.stderr
    assert "Traceback" not in result.stderr
