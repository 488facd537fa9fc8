"""Which election a `where` names, and that what it says and all settings reach it."""

from pathlib import Path
from typing import Any

import pytest

from aioha.elections import from_where
from aioha.elections.local import LocalElection
from aioha.elections.zookeeper.dialects import DIALECTS
from aioha.elections.zookeeper.ephemeral import EphemeralElection
from aioha.elections.zookeeper.queue import QueueElection
from aioha.settings import LAYOUTS, Settings
from aioha.where import parse


def test_an_election_on_this_host_has_no_sessions(tmp_path: Path) -> None:
    settings, path = Settings(), f"{tmp_path.resolve()}/billing"
    election = from_where(parse(f"local:{path}"), settings)
    assert isinstance(election, LocalElection)
    assert (election._place.where, election._place.path) == (f"local:{path}", path)
    assert election._settings is settings
    assert election.session is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_election_in_zookeeper_is_the_one_of_its_layout_on_sessions_of_its_own(layout: Any) -> None:
    settings = Settings(layout=layout, session_timeout=7.0)
    election = from_where(parse("zk://me:secret@zk1,zk2/billing"), settings)
    assert type(election) is (QueueElection if layout in DIALECTS else EphemeralElection)
    assert (election.path, election._settings) == ("/billing", settings)
    sessions = election._sessions
    assert election.session is sessions
    assert (list(map(str, sessions._servers)), sessions._credentials) == (["zk1:2181", "zk2:2181"], ("me", "secret"))
    assert (sessions.timeout, sessions._clock) == (7.0, settings.clock)
