"""A candidate of kazoo's Election: `kazoo_candidate.py SERVERS PATH TIMEOUT_MS IDENTITY`. For what it says and obeys see
__init__.py.
"""

import logging
import os
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.protocol.states import KazooState

SERVERS, PATH, TIMEOUT, IDENTITY = sys.argv[1:]

log = logging.getLogger("kazoo_candidate")


def say(event: str, *text: str) -> None:
    os.write(1, f"{' '.join((event, IDENTITY, *text))} {time.monotonic_ns()}\n".encode())


class Candidate:
    """Takes part in a thread of its own, as often as it can."""

    def __init__(self) -> None:
        self._client = KazooClient(SERVERS, timeout=int(TIMEOUT) / 1000)
        self._client.start(timeout=20)
        assert self._client.client_id is not None
        session, password = self._client.client_id
        assert session is not None
        say("UP", f"{session & (2**64 - 1):x}:{password.hex()}")
        self._election = self._client.Election(PATH, IDENTITY)
        self._enough = threading.Event()
        self._quitting = False
        self._client.add_listener(self._heard)
        self._thread = threading.Thread(target=self._take_part)
        self._thread.start()

    def obey(self, order: str) -> None:
        if order == "resign":
            self._enough.set()
        elif order == "members":
            try:
                said = ",".join(self._election.contenders())
            except KazooException:
                said = ""
            say("MEMBERS", said or "?")

    def quit(self) -> None:
        self._quitting = True
        self._enough.set()
        self._election.cancel()
        self._thread.join()
        self._client.stop()

    def _take_part(self) -> None:
        while not self._quitting:
            try:
                self._election.run(self._work)
            except KazooException as error:
                log.warning("taking part again: %r", error)
                self._election = self._client.Election(PATH, IDENTITY)

    def _work(self) -> None:
        self._enough.clear()
        if self._quitting:
            return
        say("LEAD")
        self._enough.wait()
        say("STOP")

    def _heard(self, state: KazooState) -> None:
        """The election itself does not end the work when the connection is lost: this is left to its users."""
        if state != KazooState.CONNECTED:
            self._enough.set()


candidate = Candidate()
while (order := sys.stdin.readline().strip()) and order != "quit":
    candidate.obey(order)
candidate.quit()
