"""One ZooKeeper server: a Java process that can be killed, frozen and asked how it does."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .ports import HOST

__all__ = ["Server"]

ANSWER_TIMEOUT = 1.0  # seconds for a four-letter word on loopback; a frozen server takes for ever
FIRST_PATIENCE = 0.05  # a question asked while the server begins is never answered
POLL = 0.02


class Server:
    """A server of an `Ensemble`. Its methods are synchronous and return once they have taken effect."""

    def __init__(
        self,
        number: int,
        port: int,
        home: Path,
        command: Sequence[str],
        started: Callable[[int], None],
        *,
        host: str = HOST,
    ) -> None:
        self.number = number
        self.host = host
        self.port = port
        self.log = home / "log"
        self._home = home
        self._command = command
        self._started = started
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<Server {self.number} {self.address} {'alive' if self.alive else 'down'}>"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The server's process id. Raises `RuntimeError` while it is down."""
        if self._process is None:
            raise RuntimeError(f"server {self.number} is not running")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process exists; also true while it is frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, on the data it has. Does not wait until it serves: see `wait_ready`."""
        if self.alive:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                start_new_session=True,  # Ctrl-C in a terminal is for the tests, which then stop us in order
            )
        self._started(self._process.pid)

    def kill(self) -> None:
        """SIGKILL; returns when the process is gone and its connections are closed. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and are silent. Returns when the process has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        while self.alive and self._state() not in "Tt":
            time.sleep(0.001)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def four_letter(self, word: str, timeout: float = ANSWER_TIMEOUT) -> str:
        """The answer to a four-letter word such as "mntr". Blocks for at most `timeout` seconds; raises `OSError`."""
        due = time.monotonic() + timeout
        answer = bytearray()
        with socket.create_connection((self.host, self.port), timeout) as connection:
            connection.sendall(word.encode("ascii"))
            while chunk := connection.recv(65536):
                answer += chunk
                connection.settimeout(max(0.001, due - time.monotonic()))
        return answer.decode("utf-8", "replace")

    def mode(self, timeout: float = ANSWER_TIMEOUT) -> str | None:
        """ "leader", "follower", "observer" or "standalone"; None while it does not serve. Blocks up to `timeout` s."""
        try:
            lines = self.four_letter("srvr", timeout).splitlines()
        except OSError:
            return None
        return next((line.partition(":")[2].strip() for line in lines if line.startswith("Mode:")), None)

    def wait_ready(self, timeout: float = 30.0) -> str:
        """Block until it serves, for at most `timeout` seconds; its mode. Raises `TimeoutError` with the log's end."""
        due = time.monotonic() + timeout
        patience = FIRST_PATIENCE
        while (mode := self.mode(patience)) is None:
            if time.monotonic() > due or not self.alive:
                state = "does not serve" if self.alive else "has died"
                raise TimeoutError(f"ZooKeeper server {self.number} ({self.address}) {state}; its log ends:\n{self.tail()}")
            time.sleep(POLL)
            patience = min(ANSWER_TIMEOUT, 2 * patience)
        return mode

    def tail(self, lines: int = 15) -> str:
        """The last lines of the server's log."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _state(self) -> str:
        return Path(f"/proc/{self.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
