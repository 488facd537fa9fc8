"""Starting a guardian's process, and talking to it without ever waiting for it.

It must not be a burden to whom it guards: an interpreter without site-packages, that runs none of aioha but the few
files it needs, in a session of its own (a service manager or a terminal that signals our group must not take it
first), and with no descriptor of ours but those that are meant for it: it would keep locks and listening sockets alive.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from .facts import Board

__all__ = ["GuardianProcess", "Impossible"]

# A package of our name whose __init__ is not run: what the guardian needs of us is found, and nothing else loaded.
BOOTSTRAP = (
    "import sys; aioha = sys.modules['aioha'] = type(sys)('aioha'); aioha.__path__ = [sys.argv.pop()]; "
    "from aioha.guardian.process import main; main()"
)
ENVIRONMENT = ("LD_LIBRARY_PATH", "LANG")  # what an interpreter may need; the rest may hold secrets
UNHEARD = 1 << 20  # bytes that a guardian that reads nothing may be behind; it is of no use then


class Impossible(Exception):
    """No guardian can be started here; the message says why."""


class GuardianProcess:
    """One process, from its start to its end. `on_answer`: it has taken in what was told. `on_end`: it has ended.

    Raises `Impossible`.
    """

    def __init__(self, board: Board, on_answer: Callable[[int], None], on_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_answer = on_answer
        self._on_end = on_end
        self._unsent: deque[tuple[bytes, Sequence[int]]] = deque()
        self._link, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs, board)
                self._pidfd = os.pidfd_open(self._process.pid)
            except BaseException:
                self._link.close()
                raise
        self.pid = self._process.pid
        self._link.setblocking(False)
        self._loop.add_reader(self._link, self._hear)
        self._loop.add_reader(self._pidfd, self._ended)
        self.running = True

    @property
    def status(self) -> int | None:
        return self._process.returncode

    def tell(self, message: bytes, fds: Sequence[int] = ()) -> None:
        """Never blocks; in order. What has been told reaches it also if we are killed the moment after."""
        if not self.running:
            return
        self._unsent.append((message, fds))
        if len(self._unsent) == 1:
            self._send()

    def kill(self) -> None:
        if self.running:
            self._process.kill()

    # ------------------------------------------------------------------ inside

    def _send(self) -> None:
        while self._unsent:
            message, fds = self._unsent[0]
            try:
                sent = socket.send_fds(self._link, [message], list(fds)) if fds else self._link.send(message)
            except BlockingIOError:
                self._loop.add_writer(self._link, self._send)
                if sum(len(each) for each, _ in self._unsent) > UNHEARD:
                    self.kill()  # stopped, or worse: one that reads starts from the facts as they are then
                return
            except OSError:
                return  # it has ended; `_ended` comes
            if sent == len(message):
                self._unsent.popleft()
            else:
                self._unsent[0] = (message[sent:], ())
        self._loop.remove_writer(self._link)

    def _hear(self) -> None:
        try:
            answers = self._link.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            answers = b""
        if answers:
            self._on_answer(len(answers))
        else:
            self._loop.remove_reader(self._link)

    def _ended(self) -> None:
        self.running = False
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._link)
        self._loop.remove_writer(self._link)
        os.close(self._pidfd)
        self._link.close()
        self._process.wait()  # it is dead: this reaps it and does not block
        self._on_end()


def _start(link: socket.socket, board: Board) -> "subprocess.Popen[bytes]":
    if not hasattr(os, "pidfd_open"):
        raise Impossible("a guardian needs Linux 5.3 or newer")
    try:
        ourselves = os.pidfd_open(os.getpid())
    except OSError as error:
        raise Impossible(f"a guardian needs pidfd_open (Linux 5.3): {error.strerror}") from None
    package = str(Path(__file__).parent.parent)
    numbers = (ourselves, board.fd, os.getpid(), os.getsid(0), os.getppid())
    arguments = [_interpreter(), "-I", "-S", "-c", BOOTSTRAP, *map(str, numbers), package]
    try:
        return subprocess.Popen(
            arguments,
            stdin=link.fileno(),
            stdout=subprocess.DEVNULL,
            pass_fds=(ourselves, board.fd),
            cwd="/",
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            start_new_session=True,
        )
    except OSError as error:
        raise Impossible(f"{arguments[0]}: {error.strerror}") from None
    finally:
        os.close(ourselves)


def _interpreter() -> str:
    """Of our own version. A program that embeds Python (uWSGI) or froze it calls itself `sys.executable`."""
    if getattr(sys, "frozen", False):
        raise Impossible("a frozen program has no interpreter to run a guardian with")
    if sys.executable and Path(sys.executable).name.startswith(("python", "pypy")):
        return sys.executable
    installed = Path(sys.base_exec_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    if not installed.exists():
        raise Impossible(f"no interpreter to run a guardian with: neither {sys.executable!r} nor {installed} is one")
    return str(installed)
