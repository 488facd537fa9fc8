"""A stand-in for Hadoop's ActiveStandbyElector: `hadoop_candidate.py SERVERS PATH TIMEOUT_MS IDENTITY`.

Written after what its source does: create the lock; who succeeds reads the breadcrumb, has another's owner fenced, writes
its own over it at that version, and works; who does not watches the lock. Fails any of it, it lets the lock go, waits a
second, and takes part again. Who ends in order deletes its breadcrumb, if it is still its own, before the lock goes.
"""

import threading
import time

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState
from on_kazoo import IDENTITY, PATH, Candidate, log

LOCK, BREADCRUMB, DATA = f"{PATH}/ActiveStandbyElectorLock", f"{PATH}/ActiveBreadCrumb", IDENTITY.encode()
AFTER_FAILURE = 1.0  # seconds
OTHERS_FIRST = 0.3  # seconds after a resignation


class ActiveStandby(Candidate):
    """See the head of this file."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Event()
        self._client.ensure_path(PATH)

    def _once(self) -> None:
        self._changed.clear()
        try:
            self._client.create(LOCK, DATA, ephemeral=True)
        except NodeExistsError:
            if self._client.exists(LOCK, watch=lambda _: self._stop_waiting()) is not None and not self._quitting:
                self._changed.wait()
            return
        try:
            self._become_active()
        except (BadVersionError, NodeExistsError, NoNodeError):
            self._client.delete(LOCK)
            time.sleep(AFTER_FAILURE)
            return
        self._work()
        if self._read(BREADCRUMB)[0] == DATA:
            self._client.delete(BREADCRUMB)
        self._client.delete(LOCK)
        if not self._quitting:
            time.sleep(OTHERS_FIRST)

    def _become_active(self) -> None:
        try:
            data, version = self._read(BREADCRUMB)
        except NoNodeError:
            self._client.create(BREADCRUMB, DATA)
            return
        if data != DATA:
            log.info("fencing %r", data)  # those who left one behind in this play are dead
        self._client.set(BREADCRUMB, DATA, version)

    def _members(self) -> str:
        return self._read(LOCK)[0].decode()

    def _stop_waiting(self) -> None:
        self._changed.set()

    def _begin_anew(self) -> None:
        time.sleep(AFTER_FAILURE)

    def _heard(self, state: KazooState) -> None:
        super()._heard(state)
        if state != KazooState.CONNECTED:
            self._stop_waiting()

    def _read(self, path: str) -> tuple[bytes, int]:
        found = self._client.get(path)
        assert found is not None
        return found[0], found[1].version


ActiveStandby().run()
