"""Virtual time: an asyncio event loop that jumps to its next timer instead of sleeping, and never meets the real world.

Decides what "the same run" means. Callbacks run in the order in which they were scheduled, timers in the order of their
times, and work takes no time at all. `asyncio.AbstractEventLoop` is the base because it refuses whatever is not written
here: sockets, processes, threads, signals. The only way out is `create_connection`, to the simulated network.
"""

import asyncio
import contextvars
import math
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from heapq import heappop, heappush
from typing import Any, NoReturn, TypeVar

from .actors import Actors
from .handles import ACTOR, Alarm, Future, Handle, Post, Task

__all__ = ["Stalled", "VirtualLoop"]

T = TypeVar("T")
Connect = Callable[..., Coroutine[Any, Any, Any]]

# To the type checkers anything: their stubs insist on the methods that this loop exists to refuse.
_Loop: Any = asyncio.AbstractEventLoop
START = 1000.0  # of virtual time: a zero that was forgotten somewhere shall not look like a time
LONGEST_STANDSTILL = 100_000  # turns without a step of time: something runs in circles


class Stalled(RuntimeError):
    """The simulation cannot go on: everybody waits for what will never come, or somebody runs in circles."""


class VirtualLoop(Actors, _Loop):  # type: ignore[misc]  # see there
    """See the head of this file. `now` is true virtual time, in seconds. `connect` serves `create_connection`."""

    def __init__(self) -> None:
        super().__init__(START)
        self.connect: Connect | None = None
        self.resolve: Callable[[str], str] | None = None
        self.failures: list[BaseException] = []  # that nobody caught; `run` raises the first
        self.number = 0
        self._stopping = self._running = self._closed = False
        self._thread = threading.get_ident()
        self._handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()

    # ------------------------------------------------------------------ scheduling

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Handle:
        handle = Handle(callback, args, context, self.now)
        self.ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Handle:
        """`when`: by the clock of the actor that is called."""
        timer = Handle(callback, args, context, when)
        if self.clocks:
            clock = self.clocks.get(timer.context.get(ACTOR))
            if clock is not None:
                when = clock.when_monotonic(when, self.now)
        self.number += 1
        heappush(self.timers, (when, self.number, timer))
        return timer

    def call_later(self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Handle:
        if self.clocks:
            actor = ACTOR.get() if context is None else context.get(ACTOR)
            return self.call_at(self.time_of(actor) + delay, callback, *args, context=context)
        when = self.now + delay  # from here on as `call_at`, whose call would cost as much again
        timer = Handle(callback, args, context, when)
        self.number = number = self.number + 1
        heappush(self.timers, (when, number, timer))
        return timer

    def call_at_boottime(self, when: float, callback: Any, context: contextvars.Context) -> Handle:
        """`when`: by the clock, of the actor that is called, which goes on while its host is suspended."""
        timer = Alarm(callback, (), context, when)
        clock = self.clocks.get(context.get(ACTOR))
        self.number += 1
        due = max(when, self.now) if clock is None else clock.when_alarm(when, self.now)
        heappush(self.timers, (due, self.number, timer))
        return timer

    def post(self, when: float, context: contextvars.Context, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        """`call_at` for the network: see `Post`."""
        self.number = number = self.number + 1
        heappush(self.timers, (when, number, Post(context, callback, args)))

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> Handle:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a thread calls into virtual time: when that happens, no seed can tell")
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        self.number += 1
        future = Future(loop=self)
        future.number = self.number
        return future

    def create_task(  # newer releases pass more options than this one
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: object = None, **options: Any
    ) -> "asyncio.Task[T]":
        self.number += 1
        return Task(self.number, coro, loop=self, name=f"task {self.number}" if name is None else str(name), **options)

    def get_task_factory(self) -> Any:
        """None: `create_task` is what it is."""

    def tasks_of(self, actor: str) -> list[Task]:
        """What the actor has started and what has not ended, oldest first."""
        found = [task for task in asyncio.all_tasks(self) if isinstance(task, Task) and task.actor == actor]
        return sorted(found, key=lambda task: task.number)

    # ------------------------------------------------------------------ running

    def run_until_complete(self, future: Any) -> Any:
        task = asyncio.ensure_future(future, loop=self)
        task.add_done_callback(self._stop_for)
        try:
            self.run_forever()
        finally:
            task.remove_done_callback(self._stop_for)
        if not task.done():
            raise RuntimeError("the loop was stopped before its main task had ended")
        return task.result()

    def run_forever(self) -> None:
        if self._running or self._closed:
            raise RuntimeError("this loop is running already, or closed")
        before = asyncio._get_running_loop()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - documented for loops
        hooks = sys.get_asyncgen_hooks()
        if before is not None:
            raise RuntimeError("a simulation cannot run inside another event loop")
        self._running, self._stopping = True, False
        asyncio._set_running_loop(self)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as above
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._finalize)
        try:
            self._turn_until_stopped()
        finally:
            self._running = False
            asyncio._set_running_loop(None)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as above
            sys.set_asyncgen_hooks(*hooks)

    def _turn_until_stopped(self) -> None:  # noqa: C901 - all goes through here; split, 3% more work
        ready, timers, frozen = self.ready, self.timers, self.frozen
        standing = 0
        while not self._stopping:
            standing += 1
            if not ready:
                while timers and timers[0][2].is_cancelled:
                    heappop(timers)
                if not timers or timers[0][0] == math.inf:
                    raise Stalled(f"at {self.now:g} s nothing will ever happen again: {self._waiting()}")
                if timers[0][0] > self.now:
                    self.now, standing = timers[0][0], 0
            now = self.now
            while timers and timers[0][0] <= now:
                ready.append(heappop(timers)[2])
            if standing > LONGEST_STANDSTILL:
                raise Stalled(f"at {now:g} s time stands still; next: {ready[0] if ready else None!r}")
            for _ in range(len(ready)):
                item = ready.popleft()
                if item.is_cancelled:
                    continue
                context = item.context
                if frozen and (kept := frozen.get(context.get(ACTOR, ""))) is not None:
                    kept.append(item)
                    continue
                try:
                    context.run(item.callback, *item.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    if type(item) is Post:
                        raise
                    self.call_exception_handler({"message": f"failed: {item}", "exception": error, "handle": item})

    def _waiting(self) -> str:
        return "; ".join(sorted(repr(task) for task in asyncio.all_tasks(self)))

    def stop(self) -> None:
        self._stopping = True

    def _stop_for(self, task: object) -> None:
        self._stopping = True

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self.ready.clear()
        self.timers.clear()

    async def shutdown_asyncgens(self) -> None:
        for generator in list(self._generators):
            await generator.aclose()

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    def _finalize(self, generator: AsyncGenerator[Any, Any]) -> None:
        if not self._closed:
            self.create_task(generator.aclose())

    # ------------------------------------------------------------------ failures

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(error if isinstance(error, BaseException) else RuntimeError(str(context)))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if self._handler is None:
            self.default_exception_handler(context)
        else:
            self._handler(self, context)

    def set_exception_handler(self, handler: Any) -> None:
        self._handler = handler

    def get_exception_handler(self) -> Any:
        return self._handler

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """Its debug mode is the seed."""

    # ------------------------------------------------------------------ the only way out

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any) -> Any:
        if self.connect is None:
            self._refuse("a connection, and there is no simulated network")
        if any(value for value in options.values()):
            self._refuse(f"a connection with {sorted(name for name, value in options.items() if value)}")
        return await self.connect(protocol_factory, host, port)

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        if self.resolve is None:
            self._refuse("an address, and there is no simulated network")
        return [(2, 1, 6, "", (self.resolve(str(host)), int(port or 0)))]  # AF_INET, SOCK_STREAM, TCP

    def _refuse(self, what: str) -> NoReturn:
        raise NotImplementedError(f"virtual time has no outside world: somebody asked for {what}")
