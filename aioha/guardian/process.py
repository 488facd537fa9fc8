"""The guardian's life: watch one process until it dies, hangs past its deadline, or needs us no longer.

Whether the parent is dead is told by its pidfd alone: a pipe's end may be held open by its forks, and is closed a
moment before the process has ended. While the parent lives its session is never touched: attaching would cut it off.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from . import facts as f
from .closing import close_session
from .facts import Board, Reader
from .leftovers import Leftovers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["main"]

LOOK = 0.2  # seconds between looks at the times on the board, and at what the parent has started
SHORTEST_LOOK = 0.001
LONG_SILENCE = 1 / 16  # of the session timeout: a loop that has been silent for as long at the lease's end is frozen
BUSY_SILENCE = 1 / 4  # the same for one that was seen to turn after the work had been told to end
LONGEST_MEASURE = 32.0  # seconds: of a longer session timeout, these two are parts of so much
MARGIN = 1 / 5  # of the work's time to end: how long before the lease's end a frozen process is killed
SHORTEST_MARGIN, LONGEST_MARGIN = 0.02, 0.2  # seconds
PLAIN_LINE = "aioha guardian: %(message)s"
PARTING = 1.0  # seconds that a process may take to end after its sockets are closed
SPACE_FOR_FDS = 8
LONGEST_SPEECH = 0.1  # seconds that stderr may take to have room for a line


def clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main() -> None:
    """Arguments: descriptors of the parent and of the board; number, session and parent of the parent.

    Standard input is the socket to the parent.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)  # who stops everything must not stop us first; we end with our parent
    pidfd, board, parent, session, grandparent = map(int, sys.argv[1:])
    try:
        Guardian(pidfd, Board(board), socket.socket(fileno=0), parent, Leftovers(parent, session, grandparent)).run()
    except Exception as error:  # noqa: BLE001 - one line in a log that is not ours; the parent, if it lives, starts another
        say(PLAIN_LINE, f"the guardian of process {parent} failed: {error!r}")
        os._exit(1)


def say(look: str, text: str) -> None:
    """A line on stderr, if that has room for it: nobody may read there, which may well be what our parent hangs in."""
    line = look % {"message": text, "clock": time.strftime("%T"), "at": time.time()}
    room = select.poll()
    room.register(2, select.POLLOUT)
    try:
        if room.poll(LONGEST_SPEECH * 1000):
            os.write(2, f"{line}\n".encode())
    except OSError:
        pass  # nobody listens


class Guardian:
    """See the head of this file."""

    def __init__(self, pidfd: int, board: Board, link: socket.socket, parent: int, leftovers: Leftovers) -> None:
        self._pidfd = pidfd
        self._board = board
        self._link = link
        link.setblocking(False)
        self._reader = Reader()
        self._facts: dict[Any, Any] = {}
        self._arrived: list[int] = []  # descriptors, a little ahead of what is said of them
        self._held: list[int] = []
        self._parent = parent  # its number is for messages, never to tell whether it lives
        self._leftovers = leftovers
        self._poll = select.poll()
        self._poll.register(pidfd, select.POLLIN)
        self._poll.register(link, select.POLLIN)
        self._mercy_until = 0.0
        self._parted: float | None = None  # when the link was closed without a word

    def run(self) -> None:
        while True:
            asked = clock()
            pause = self._pause(asked)
            ready = {fd for fd, event in self._poll.poll(pause * 1000) if not event & select.POLLNVAL}
            now = clock()
            if self._link.fileno() in ready and not self._listen():
                return
            if self._pidfd in ready:
                break
            if self._parted is not None:
                if now - self._parted > PARTING:
                    return  # it lives and has let go of us: another program runs in it now
                continue
            self._leftovers.look()
            if self._is_overdue(now):
                self._leftovers.kill_registered(self._facts)
            if self._is_frozen(now, late=now - asked - pause) and self._kill():
                self._say(f"process {self._parent} hangs and its lease ends: killed before another can lead")
                self._wait_for_death()
                break
        self._bury()

    # ------------------------------------------------------------------ while the parent lives

    def _pause(self, now: float) -> float:
        """Seconds until there is something to look at."""
        deadline, grace, _, timeout = self._board.read()
        ahead = deadline - _margin(grace) - now
        return max(SHORTEST_LOOK, min(LOOK, timeout * LONG_SILENCE or LOOK, ahead if ahead > 0 else LOOK))

    def _is_overdue(self, now: float) -> bool:
        """The lease ends, and not all work has ended: what was registered must be gone by then, whoever kills it."""
        deadline, grace, _, _ = self._board.read()
        return now >= deadline - _margin(grace)

    def _is_frozen(self, now: float, late: float) -> bool:
        deadline, grace, pulse, timeout = self._board.read()
        # A loop that has turned since the work was told to end was not frozen then; it may be busy with ending it.
        silence = min(timeout, LONGEST_MEASURE) * (BUSY_SILENCE if pulse >= deadline - grace else LONG_SILENCE)
        if late > silence:
            # We did not run either (the host slept, or all of us were frozen). The parent's next step asks its clock
            # first; let us see whether it takes one.
            self._mercy_until = now + silence
        return self._is_overdue(now) and now - pulse > silence and now >= self._mercy_until

    def _kill(self) -> bool:
        """The parent. Whether it is dead, or will be in a moment."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except PermissionError:  # it is another user's now
            return False
        except ProcessLookupError:  # somebody was faster
            pass
        return True

    def _listen(self) -> bool:
        """Take in what the parent says. False: it needs us no longer."""
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._link, 65536, SPACE_FOR_FDS)
            except BlockingIOError:
                return True
            except OSError:
                data, fds = b"", []
            if not data:
                self._poll.unregister(self._link)
                self._parted = clock()
                return True
            self._arrived += fds
            for key, value, answer in self._reader.feed(data):
                if key == f.BYE:
                    return False
                self._take(key, value)
                if answer:
                    self._answer()

    def _take(self, key: Any, value: Any) -> None:
        if key == f.HELD:
            self._let_go()
        if value is None:
            self._facts.pop(key, None)
            return
        self._facts[key] = value
        if key == f.HELD:
            self._held, self._arrived = self._arrived, []

    def _answer(self) -> None:
        try:  # noqa: SIM105 - contextlib would cost memory
            self._link.send(b".")
        except OSError:
            pass  # it has just died, or has never read what we said: nothing that we can mend

    def _let_go(self) -> None:
        for fd in self._held:
            os.close(fd)
        self._held.clear()

    # ------------------------------------------------------------------ when it is dead

    def _wait_for_death(self) -> None:
        """SIGKILL works when the process is scheduled the next time; nothing keeps that from happening."""
        death = select.poll()
        death.register(self._pidfd, select.POLLIN)
        death.poll()

    def _bury(self) -> None:
        died = clock()
        if self._parted is None:
            self._listen()  # what it said last
        session = self._facts.get(f.SESSION)
        until = died + session[2] if session is not None else float("inf")
        ended = self._leftovers.end(self._facts, until, clock)
        self._let_go()
        if not ended:
            self._say(f"process {self._parent} died and left children at work: its session is left to expire")
        elif session is not None and self._facts.get(f.SERVERS):
            told = close_session(session, self._facts[f.SERVERS], self._terms(), until, clock)
            self._say(f"process {self._parent} died: {told} ({(clock() - died) * 1000:.0f} ms)")

    def _terms(self) -> list[Any]:
        return [value for key, value in self._facts.items() if isinstance(key, tuple) and key[0] == f.TERM]

    def _say(self, text: str) -> None:
        say(self._facts.get(f.LINE, PLAIN_LINE), text)


def _margin(grace: float) -> float:
    """Less than the work's time to end, so that who is told to end is not killed before; then it has most of that time."""
    return max(SHORTEST_MARGIN, min(grace * MARGIN, LONGEST_MARGIN))
