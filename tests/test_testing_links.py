"""Cutting the links among real servers: the ghost follower, the isolated leader."""

import contextlib
import time

import pytest
from rawzk import Raw
from waiting import until

from aioha.testing import Ensemble

pytestmark = pytest.mark.usefixtures("session_zookeeper")  # skips or fails them all where there is no ZooKeeper


@pytest.mark.slow
def test_ghost_follower_answers_pings_of_an_expired_session() -> None:
    """A follower that is cut from the leader alone answers for tick * sync_limit, whatever has expired meanwhile."""
    ensemble = Ensemble(3, tick=0.5, sync_limit=10, cuttable=True)
    ensemble.start()
    try:
        leader, ghost = ensemble.leader(), ensemble.followers()[0]
        with Raw(ghost.address, 2.0) as client, Raw(leader.address, 20.0) as witness:
            assert client.create("/ghost", ephemeral=True) == 0
            ensemble.cut(ghost, leader)

            def expired_while_pinging() -> bool:
                client.ping()
                return not witness.exists("/ghost")

            expired = until(expired_while_pinging)
            assert expired < 2.0 + 4 * 0.5
            client.ping()  # the ghost still says that all is well
            answered = expired + _pings_answered(client)
            assert expired + 0.5 < answered < 5.0 + 1.5
        ensemble.heal()
        ensemble.wait_ready()
        assert ghost.mode() == "follower"
    finally:
        ensemble.stop()


def _pings_answered(client: Raw) -> float:
    begin = time.monotonic()
    with contextlib.suppress(EOFError, OSError):
        while True:
            client.ping()
            time.sleep(0.05)
    return time.monotonic() - begin


@pytest.mark.slow
def test_an_isolated_leader_is_deposed_and_follows_after_healing() -> None:
    ensemble = Ensemble(3, cuttable=True)
    ensemble.start()
    try:
        old = ensemble.leader()
        ensemble.isolate(old)
        until(lambda: old.mode() is None)
        new = ensemble.leader()
        assert new is not old
        ensemble.heal()
        ensemble.wait_ready()
        assert old.mode() == "follower"
        new.kill()
        assert ensemble.leader() is not new
    finally:
        ensemble.stop()


def test_only_cuttable_links_can_be_cut(ensemble: Ensemble) -> None:
    a, b, _ = ensemble.servers
    with pytest.raises(RuntimeError, match="cuttable=True"):
        ensemble.cut(a, b)
    with pytest.raises(ValueError, match="at least 1"):
        Ensemble(0)
