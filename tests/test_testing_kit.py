"""Ensembles of the testing kit: quick to start, easy to break, and gone when the tests are."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rawzk import Raw
from waiting import until

from aioha.testing import Ensemble, Server, ZooKeeperMissing, java, no_leaks
from aioha.testing import ensemble as ensemble_module
from aioha.testing.fixtures import require
from aioha.testing.ports import bound_socket, free_ports

pytestmark = pytest.mark.usefixtures("session_zookeeper")  # skips or fails them all where there is no ZooKeeper


def gone(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] == "Z"
    return True


async def test_three_servers_start_quickly_and_leave_nothing() -> None:
    begin = time.monotonic()
    async with no_leaks():
        async with Ensemble(3) as ensemble:
            assert time.monotonic() - begin < 10  # 1.2 s on 2 idle cores
            assert sorted(str(server.mode()) for server in ensemble.servers) == ["follower", "follower", "leader"]
            home = ensemble.servers[0].log.parent.parent
            assert home.is_dir()
        assert not home.exists()


def test_a_lone_server_for_synchronous_code() -> None:
    with no_leaks():
        ensemble = Ensemble()
        ensemble.start()
        try:
            (server,) = ensemble.servers
            assert server.mode() == "standalone"
            assert ensemble.leader() is server
            assert ensemble.followers() == []
        finally:
            ensemble.stop()
            ensemble.stop()


def test_addresses(ensemble: Ensemble) -> None:
    assert ensemble.connect_string == ",".join(f"127.0.0.1:{server.port}" for server in ensemble.servers)
    assert ensemble.where("/a/b") == f"zk://{ensemble.connect_string}/a/b"
    assert ensemble.where("a", session_timeout=4.0).endswith("/a?session_timeout=4.0")


def test_four_letter_words(ensemble: Ensemble) -> None:
    leader = ensemble.leader()
    assert leader.four_letter("ruok") == "imok"
    assert "zk_server_state\tleader" in leader.four_letter("mntr")


def test_a_killed_leader_is_replaced_and_comes_back(ensemble: Ensemble) -> None:
    old = ensemble.leader()
    old.kill()
    assert not old.alive
    assert old.mode() is None
    with pytest.raises(ConnectionRefusedError):
        old.four_letter("ruok")
    assert ensemble.leader() is not old
    old.start()
    ensemble.wait_ready()
    assert old.mode() == "follower"


def test_data_outlives_a_restart(zookeeper: Ensemble) -> None:
    (server,) = zookeeper.servers
    with Raw(server.address) as client:
        assert client.create("/outlives") == 0
    server.kill()
    server.start()
    server.wait_ready()
    with Raw(server.address) as client:
        assert client.exists("/outlives")


def test_a_frozen_server_accepts_and_says_nothing(zookeeper: Ensemble) -> None:
    (server,) = zookeeper.servers
    server.freeze()
    assert server.alive
    with pytest.raises(TimeoutError):
        server.four_letter("ruok", timeout=0.2)
    server.thaw()
    assert server.four_letter("ruok") == "imok"


def test_session_timeouts_are_clamped_as_asked() -> None:
    ensemble = Ensemble(min_session_timeout=3.0, max_session_timeout=5.0, extra=["maxClientCnxns=2"])
    ensemble.start()
    try:
        (server,) = ensemble.servers
        with Raw(server.address, 1.0) as low, Raw(server.address, 9.0) as high:
            assert (low.negotiated, high.negotiated) == (3.0, 5.0)
            with pytest.raises((EOFError, OSError)):
                Raw(server.address)  # a later line of zoo.cfg wins
    finally:
        ensemble.stop()


def test_data_in_a_given_directory_stays(tmp_path: Path) -> None:
    ensemble = Ensemble(directory=tmp_path, fsync=True)
    ensemble.start()
    ensemble.stop()
    assert (tmp_path / "1" / "zoo.cfg").exists()


def test_servers_outlive_the_thread_that_started_them() -> None:
    ensemble = Ensemble()
    thread = threading.Thread(target=ensemble.start)
    thread.start()
    thread.join()
    try:
        time.sleep(0.2)
        assert ensemble.servers[0].mode() == "standalone"
    finally:
        ensemble.stop()


@pytest.mark.parametrize("fork", [False, True], ids=["alone", "with a forked child that keeps our pipe open"])
def test_servers_die_with_a_killed_test_process(fork: bool) -> None:
    program = f"""
import os, time
from aioha.testing import Ensemble
ensemble = Ensemble()
ensemble.start()
child = {fork} and os.fork()
if {fork} and not child:
    time.sleep(60)
print(ensemble.servers[0].pid, int(child), ensemble.servers[0].log.parent.parent, flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, child, home = process.stdout.readline().split()
    assert not gone(int(pid))
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        until(lambda: gone(int(pid)) and not Path(home).exists())
    finally:
        if int(child):
            os.kill(int(child), signal.SIGKILL)


def test_a_port_that_was_stolen_meanwhile_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with bound_socket() as thief:
        thief.listen()
        taken = int(thief.getsockname()[1])
        answers = iter([[taken, *free_ports(2)], free_ports(3)])
        monkeypatch.setattr(ensemble_module, "free_ports", lambda _: next(answers))
        ensemble = Ensemble()
        ensemble.start()
        try:
            assert ensemble.servers[0].port != taken
        finally:
            ensemble.stop()


def test_a_server_that_cannot_start_shows_its_log() -> None:
    with no_leaks(), pytest.raises(TimeoutError, match="has died") as caught:
        Ensemble(extra=["tickTime=nonsense"]).start()
    assert "NumberFormatException" in str(caught.value)


def test_without_zookeeper_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(java, "JARS", tmp_path)
    with no_leaks(), pytest.raises(ZooKeeperMissing, match="apt-get install zookeeper") as caught:
        Ensemble(3).start()
    assert "\n" not in str(caught.value)


def test_what_is_required_fails_instead_of_being_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    require(True, "nothing")
    monkeypatch.setenv("AIOHA_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="apt-get install x"):
        require(False, "apt-get install x")
    monkeypatch.delenv("AIOHA_REQUIRE_ALL")
    with pytest.raises(pytest.skip.Exception, match="apt-get install x"):
        require(False, "apt-get install x")


def test_restore_undoes_the_damage(ensemble: Ensemble) -> None:
    dead, frozen, _ = ensemble.servers
    dead.kill()
    frozen.freeze()
    ensemble.restore()
    assert all(server.mode() for server in ensemble.servers)


def test_a_server_that_is_down_has_no_pid(tmp_path: Path) -> None:
    server = Server(1, 1, tmp_path, [], lambda _: None)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.pid
