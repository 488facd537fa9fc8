"""What candidates on kazoo share: a session, a thread that takes part as often as it can, and obedience. For what they say
and obey see __init__.py.
"""

import logging
import os
import sys
import threading
import time
from abc import ABC, abstractmethod

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.protocol.states import KazooState

SERVERS, PATH, TIMEOUT, IDENTITY = sys.argv[1:]

log = logging.getLogger("foreign")


def say(event: str, *text: str) -> None:
    os.write(1, f"{' '.join((event, IDENTITY, *text))} {time.monotonic_ns()}\n".encode())


class Candidate(ABC):
    """Takes part in a thread of its own until `quit`."""

    def __init__(self) -> None:
        self._client = KazooClient(SERVERS, timeout=int(TIMEOUT) / 1000)
        self._client.start(timeout=20)
        assert self._client.client_id is not None
        session, password = self._client.client_id
        assert session is not None
        say("UP", f"{session & (2**64 - 1):x}:{password.hex()}")
        self._enough = threading.Event()
        self._quitting = False

    def run(self) -> None:
        """Take part, and obey, until told to quit."""
        self._client.add_listener(self._heard)
        thread = threading.Thread(target=self._take_part)
        thread.start()
        while (order := sys.stdin.readline().strip()) and order != "quit":
            if order == "resign":
                self._enough.set()
            elif order == "members":
                say("MEMBERS", self._said() or "?")
        self._quitting = True
        self._enough.set()
        self._stop_waiting()
        thread.join()
        self._client.stop()

    @abstractmethod
    def _once(self) -> None:
        """Take part until a term is over, or something has changed. What it raises of kazoo's makes it begin anew."""

    @abstractmethod
    def _members(self) -> str:
        """Whom its system lists."""

    @abstractmethod
    def _stop_waiting(self) -> None:
        """Whoever waits in `_once` is to look again, from any thread."""

    @abstractmethod
    def _begin_anew(self) -> None:
        """After an error."""

    def _said(self) -> str:
        try:
            return self._members()
        except KazooException:
            return ""

    def _take_part(self) -> None:
        while not self._quitting:
            try:
                self._once()
            except KazooException as error:
                log.warning("taking part again: %r", error)
                self._begin_anew()

    def _work(self) -> None:
        self._enough.clear()
        if self._quitting:
            return
        say("LEAD")
        self._enough.wait()
        say("STOP")

    def _heard(self, state: KazooState) -> None:
        """Nothing of kazoo's ends the work when the connection is lost: this is left to its users."""
        if state != KazooState.CONNECTED:
            self._enough.set()
