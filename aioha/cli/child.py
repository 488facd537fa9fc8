"""CMD's life: started, ended, destroyed. `end` and `destroy` return when nothing that it started runs any more.

Nothing but that makes them return: a term that was released while anything of CMD works on would have two leaders. Who
belongs to CMD is `family`'s to say. Should we be killed, the kernel kills CMD itself, and the guardian the rest: it is told
here, before CMD starts, how to know it.
"""

import asyncio
import logging
import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from .family import Family
from .spawn import make_cgroup, make_tag, spawn

__all__ = ["Child", "Guard", "Unguarded"]

POLL_FIRST, POLL_MOST = 0.002, 0.05  # seconds between looks at what SIGKILL should have ended
NET = 0.25  # seconds: SIGCHLD tells of the end of the last one, so that is all that looks need to be
SHARE = 4  # looks at a busy family leave the loop this many times as long as they take
STUBBORN = 1.0  # seconds after SIGKILL at which it is time to say so

log = logging.getLogger("aioha.run")


class Guard(Protocol):
    """Who ends what CMD leaves, should we be killed. Told what CMD's processes can be known by."""

    def tag(self, entry: bytes) -> None:
        """`NAME=value` in their environment."""

    def cgroup(self, path: str) -> None:
        """Their control group. Not called where none can be made."""

    def group(self, pgid: int) -> None:
        """CMD's process group."""

    def forget(self) -> None:
        """All of that: nothing of CMD runs any more."""

    def pids(self) -> Collection[int]:
        """Children of ours that are its own."""
        ...


class Unguarded:
    """Nobody does."""

    def tag(self, entry: bytes) -> None:
        pass

    def cgroup(self, path: str) -> None:
        pass

    def group(self, pgid: int) -> None:
        pass

    def forget(self) -> None:
        pass

    def pids(self) -> Collection[int]:
        return ()


class Child:
    """CMD, running. `exited` is set when CMD itself has ended; others that it started may live on."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], guard: Guard) -> None:
        """Start it. Raises `Failure` (127, 126) if it cannot be."""
        self._guard = guard
        self._process, self._family = _start(command, environment, guard)
        self.pid = self._process.pid
        self.exited = asyncio.Event()
        self._changed = asyncio.Event()
        self._buried = self._terminated = False
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:  # no descriptor left: nobody has seen it start yet, so nobody would end it
            while not self._family.gone():
                self._family.kill()
            self._bury()
            raise
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    @property
    def status(self) -> int:
        """The exit status as a shell shows it: 128 + n after signal n. Only once it has exited."""
        code = self._process.returncode
        return 128 - code if code < 0 else code

    def left(self) -> list[int]:
        """The numbers of those that run now."""
        return sorted(one.pid for one in self._family.left())

    async def end(self, patience: float) -> None:
        """SIGTERM to all of it, after `patience` seconds SIGKILL; returns when nothing of it runs any more.

        When cancelled it goes on for no longer than it takes the caller to call it again, or `destroy`.
        """
        self._terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._gone()
        await self.destroy()

    async def destroy(self) -> None:
        """SIGKILL to all of it until nothing of it runs, however often we are cancelled meanwhile.

        Giving in to a cancellation would release the term while CMD works on.
        """
        cancelled: asyncio.CancelledError | None = None
        delay = POLL_FIRST
        begun = asyncio.get_running_loop().time()
        complained = False
        while not self._buried and not self._family.gone():
            self._family.kill()
            try:
                await self._news(delay)
            except asyncio.CancelledError as error:
                cancelled = error
            delay = min(delay * 2, POLL_MOST)
            if not complained and asyncio.get_running_loop().time() - begun > STUBBORN:
                complained = True
                log.error("SIGKILL has not ended %s yet; the term is not released before it has", self.left())
        self._bury()
        if cancelled:
            raise cancelled

    def send(self, number: int) -> None:
        """A signal to CMD itself, as to any program; nothing if it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to all of it, now."""
        if not self._buried:  # a dead group's number may by now be another's
            self._family.kill()

    def on_sigchld(self) -> None:
        """A child of ours has ended: CMD, or one that lost its parent and was given to us."""
        self._family.reap()
        self._changed.set()

    def _terminate(self) -> None:
        if self._terminated or self._buried:  # many programs take a second SIGTERM for "drop everything"
            return
        self._terminated = True
        self._family.terminate()

    async def _gone(self) -> None:
        await self.exited.wait()
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            if self._family.gone():
                return
            await asyncio.sleep((loop.time() - begun) * SHARE)
            await self._news(NET)

    async def _news(self, net: float) -> None:
        """Wait until a child of ours has ended, at most `net` seconds."""
        timer = asyncio.get_running_loop().call_later(net, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()
            self._changed.clear()

    def _bury(self) -> None:
        if not self._buried:
            self._buried = True
            self._family.close()
            self._guard.forget()

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()  # it is dead: this reaps it and does not block
        self._changed.set()
        self.exited.set()


def _start(command: Sequence[str], environment: Mapping[str, str], guard: Guard) -> "tuple[subprocess.Popen[bytes], Family]":
    name, value = make_tag()
    guard.tag(os.fsencode(f"{name}={value}"))
    cgroup = make_cgroup()
    try:
        if cgroup is not None:
            guard.cgroup(cgroup.path)
        process = spawn(command, {**environment, name: value}, cgroup)
    except BaseException:
        if cgroup is not None:
            cgroup.remove()
        guard.forget()
        raise
    guard.group(process.pid)
    return process, Family(process, cgroup, guard.pids)
