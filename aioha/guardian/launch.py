"""Starting a guardian's process, and talking to it without ever waiting for it.

It must not be a burden to whom it guards: an interpreter without site-packages, that runs none of aioha but the few
files it needs, in a session of its own (a service manager or a terminal that signals our group must not take it
first), and with no descriptor of ours but those that are meant for it: it would keep locks and listening sockets alive.
"""

import asyncio
import errno
import fcntl
import os
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from .facts import Board

__all__ = ["PASSING", "GuardianProcess", "Impossible"]

# A package of our name whose __init__ is not run: what the guardian needs of us is found, and nothing else loaded.
BOOTSTRAP = (
    "import sys; aioha = sys.modules['aioha'] = type(sys)('aioha'); aioha.__path__ = [sys.argv.pop()]; "
    "from aioha.guardian.process import main; main()"
)
ENVIRONMENT = ("LD_LIBRARY_PATH", "LANG")  # what an interpreter may need; the rest may hold secrets
UNHEARD = 1 << 20  # bytes that a guardian may be behind
DEAF = 1.0  # seconds without a byte read after which one that far behind is of no use
PASSING = (errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # reasons not to start that may be gone in a moment
FIRST_FREE = 3  # descriptors below it get a new meaning in the guardian


class Impossible(Exception):
    """No guardian can be started here, now or later; the message says why."""


class GuardianProcess:
    """One process, from its start to its end. `on_answer`: it has taken in what was told. `on_end`: it has ended.

    Raises `Impossible`; `OSError` for what may be `PASSING`.
    """

    def __init__(self, board: Board, on_answer: Callable[[int], None], on_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_answer = on_answer
        self._on_end = on_end
        self._unsent: deque[tuple[bytes, Sequence[int]]] = deque()
        self._behind = 0  # bytes
        self._read_at = self._loop.time()  # when it was last seen to read
        self._link, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _start(theirs, board)
                self._pidfd = _open_pidfd(self._process)
            except BaseException:
                self._link.close()
                raise
        _running.add(self)
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
        self._behind += len(message)
        if len(self._unsent) == 1:
            self._send()
        elif self._behind > UNHEARD and self._loop.time() - self._read_at > DEAF:
            self.kill()  # stopped, or worse: one that reads starts from the facts as they are then

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
                return
            except OSError:
                self.kill()  # it has ended, and `_ended` comes; or what it was to hold is gone, and it hears no more
                return
            self._behind -= sent
            self._read_at = self._loop.time()
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
        _running.discard(self)
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._link)
        self._loop.remove_writer(self._link)
        os.close(self._pidfd)
        self._link.close()
        self._process.wait()  # it is dead: this reaps it and does not block
        self._on_end()

    def close_in_child(self) -> None:
        """We are a fork of the process whose guardian it is: it must neither hear us nor take us for its candidate."""
        self.running = False
        self._link.close()
        os.close(self._pidfd)


_running: "weakref.WeakSet[GuardianProcess]" = weakref.WeakSet()


def _close_in_child() -> None:
    for process in tuple(_running):
        process.close_in_child()
    _running.clear()


os.register_at_fork(after_in_child=_close_in_child)


def _start(link: socket.socket, board: Board) -> "subprocess.Popen[bytes]":
    if not hasattr(os, "pidfd_open"):
        raise Impossible("a guardian needs Linux 5.3 or newer")
    package = str(Path(__file__).parent.parent)
    interpreter = _interpreter()
    passed: list[int] = []
    try:
        _pass(passed, _open_ourselves())
        _pass(passed, os.dup(board.fd))
        numbers = (*passed, os.getpid(), os.getsid(0), os.getppid())
        return subprocess.Popen(
            [interpreter, "-I", "-S", "-c", BOOTSTRAP, *map(str, numbers), package],
            stdin=link.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=None if _has_stderr() else subprocess.DEVNULL,
            pass_fds=passed,
            cwd="/",
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            start_new_session=True,
        )
    except OSError as error:
        if error.errno in PASSING:
            raise
        raise Impossible(f"{interpreter}: {error.strerror}") from None
    finally:
        for descriptor in passed:
            os.close(descriptor)


def _pass(passed: list[int], descriptor: int) -> None:
    """Give it a number that the guardian can use too: where our own 0, 1 or 2 were closed it may have got one of them."""
    try:
        passed.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE))
    finally:
        os.close(descriptor)


def _open_ourselves() -> int:
    try:
        return os.pidfd_open(os.getpid())
    except OSError as error:
        if error.errno in PASSING:
            raise
        raise Impossible(f"a guardian needs pidfd_open (Linux 5.3): {error.strerror}") from None


def _open_pidfd(process: "subprocess.Popen[bytes]") -> int:
    try:
        return os.pidfd_open(process.pid)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _has_stderr() -> bool:
    """Whether 2 is what a child of ours may write to. Else it is closed, or has become a file of ours."""
    try:
        return os.get_inheritable(2)
    except OSError:
        return False


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
