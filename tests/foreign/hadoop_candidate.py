"""A stand-in for Hadoop's ActiveStandbyElector, on kazoo: `hadoop_candidate.py SERVERS PATH TIMEOUT_MS IDENTITY`.
For what it says and obeys see __init__.py.

Written after what its source does: create the lock; who succeeds reads the breadcrumb, has another's owner fenced, writes
its own over it at that version, and works; who does not watches the lock. Fails any of it, it lets the lock go, waits a
second, and takes part again. Who ends in order deletes its breadcrumb, if it is still its own, before the lock goes.
"""

import logging
import os
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState

SERVERS, PATH, TIMEOUT, IDENTITY = sys.argv[1:]
LOCK, BREADCRUMB, DATA = f"{PATH}/ActiveStandbyElectorLock", f"{PATH}/ActiveBreadCrumb", IDENTITY.encode()
AFTER_FAILURE = 1.0  # seconds
OTHERS_FIRST = 0.3  # seconds after a resignation

log = logging.getLogger("hadoop_candidate")


def say(event: str, *text: str) -> None:
    os.write(1, f"{' '.join((event, IDENTITY, *text))} {time.monotonic_ns()}\n".encode())


class Candidate:
    """Takes part in a thread of its own."""

    def __init__(self) -> None:
        self._client = KazooClient(SERVERS, timeout=int(TIMEOUT) / 1000)
        self._client.start(timeout=20)
        assert self._client.client_id is not None
        session, password = self._client.client_id
        assert session is not None
        say("UP", f"{session & (2**64 - 1):x}:{password.hex()}")
        self._client.ensure_path(PATH)
        self._changed, self._enough = threading.Event(), threading.Event()
        self._quitting = False
        self._client.add_listener(self._heard)
        self._thread = threading.Thread(target=self._take_part)
        self._thread.start()

    def obey(self, order: str) -> None:
        if order == "resign":
            self._enough.set()
        elif order == "members":
            try:
                said = self._read(LOCK)[0].decode()
            except KazooException:
                said = ""
            say("MEMBERS", said or "?")

    def quit(self) -> None:
        self._quitting = True
        self._enough.set()
        self._changed.set()
        self._thread.join()
        self._client.stop()

    def _take_part(self) -> None:
        while not self._quitting:
            try:
                self._once()
            except KazooException as error:
                log.warning("taking part again: %r", error)
                time.sleep(AFTER_FAILURE)

    def _once(self) -> None:
        self._changed.clear()
        try:
            self._client.create(LOCK, DATA, ephemeral=True)
        except NodeExistsError:
            if self._client.exists(LOCK, watch=lambda _: self._changed.set()) is not None and not self._quitting:
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

    def _read(self, path: str) -> tuple[bytes, int]:
        found = self._client.get(path)
        assert found is not None
        return found[0], found[1].version

    def _work(self) -> None:
        self._enough.clear()
        if self._quitting:
            return
        say("LEAD")
        self._enough.wait()
        say("STOP")

    def _heard(self, state: KazooState) -> None:
        """Without a connection it neither works nor knows who does."""
        if state != KazooState.CONNECTED:
            self._enough.set()
            self._changed.set()


candidate = Candidate()
while (order := sys.stdin.readline().strip()) and order != "quit":
    candidate.obey(order)
candidate.quit()
