"""Virtual time: an asyncio event loop that jumps to its next timer instead of sleeping, and never meets the real world.

Decides what "the same run" means. Callbacks run in the order in which they were scheduled, timers in the order of their
times, and work takes no time at all; tasks and futures hash by their number and not by their address, since asyncio and
anyio keep them in sets, and iterate over those. `asyncio.AbstractEventLoop` is the base because it refuses whatever is
not written here: sockets, processes, threads, signals. The only way out is `create_connection`, to the simulated network.

An actor (a candidate's process, a server) is a name in a context variable: all that it schedules carries it. A frozen
actor's callbacks are kept, in order, until it thaws, as a stopped process finds its timers due and its sockets full.
"""

import asyncio
import contextvars
import heapq
import sys
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, NoReturn, TypeVar

__all__ = ["ACTOR", "Stalled", "VirtualLoop"]

T = TypeVar("T")
Connect = Callable[..., Coroutine[Any, Any, Any]]

ACTOR: "contextvars.ContextVar[str]" = contextvars.ContextVar("aioha simulated actor", default="main")
# To the type checkers anything: their stubs insist on the methods that this loop exists to refuse.
_Loop: Any = asyncio.AbstractEventLoop
START = 1000.0  # of virtual time: a zero that was forgotten somewhere shall not look like a time
LONGEST_STANDSTILL = 100_000  # turns without a step of time: something runs in circles


class Stalled(RuntimeError):
    """The simulation cannot go on: everybody waits for what will never come, or somebody runs in circles."""


class _Task(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        self._number = number  # first: the base registers itself in a set
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class _Future(asyncio.Future[Any]):
    def __init__(self, number: int, *, loop: Any) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class _Post:
    """What `asyncio.Handle` is to everybody else, for the network: it is never cancelled, and must not fail."""

    __slots__ = ("_args", "_callback", "_context")
    _cancelled = False

    def __init__(self, callback: Callable[..., None], args: tuple[Any, ...], context: contextvars.Context) -> None:
        self._callback = callback
        self._args = args
        self._context = context

    def cancelled(self) -> bool:
        return False

    def _run(self) -> None:
        self._context.run(self._callback, *self._args)


class VirtualLoop(_Loop):  # type: ignore[misc]  # see there
    """See the head of this file. `time` is virtual, in seconds. `connect` serves `create_connection`."""

    def __init__(self) -> None:
        self.connect: Connect | None = None
        self.resolve: Callable[[str], str] | None = None
        self.failures: list[BaseException] = []  # that nobody caught; `run` raises the first
        self.turns = 0
        self._now = START
        self._ready: deque[asyncio.Handle | _Post] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle | _Post]] = []
        self._number = 0
        self._frozen: dict[str, list[asyncio.Handle | _Post]] = {}
        self._stopping = self._running = self._closed = False
        self._thread = threading.get_ident()
        self._handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()

    # ------------------------------------------------------------------ time and actors

    def time(self) -> float:
        return self._now

    def freeze(self, actor: str) -> None:
        """Stop an actor: nothing that it has scheduled runs until `thaw`."""
        self._frozen.setdefault(actor, [])

    def thaw(self, actor: str) -> None:
        """Let an actor go on. What became due meanwhile runs now, in order."""
        self._ready.extend(self._frozen.pop(actor, ()))

    def discard(self, actor: str) -> None:
        """A frozen actor has died: it goes on, and what it had scheduled is gone."""
        self._frozen.pop(actor, None)

    def is_frozen(self, actor: str) -> bool:
        return actor in self._frozen

    @property
    def frozen(self) -> list[str]:
        return list(self._frozen)

    # ------------------------------------------------------------------ scheduling

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, timer))
        return timer

    def post(self, when: float, context: contextvars.Context, callback: Callable[..., None], *args: Any) -> None:
        """`call_at` for the network: a failure in it ends the run."""
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, _Post(callback, args, context)))

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a thread calls into virtual time: when that happens, no seed can tell")
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        self._number += 1
        return _Future(self._number, loop=self)

    def create_task(  # newer releases pass more options than this one
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: object = None, **options: Any
    ) -> "asyncio.Task[T]":
        self._number += 1
        return _Task(self._number, coro, loop=self, name=f"task {self._number}" if name is None else str(name), **options)

    def get_task_factory(self) -> Any:
        """None: `create_task` is what it is."""

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Called by `TimerHandle.cancel`. It is passed over when its time comes."""

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

    def _turn_until_stopped(self) -> None:
        ready, timers, pop = self._ready, self._timers, heapq.heappop
        standing = 0
        while not self._stopping:
            if not ready:
                standing = 0 if self._step() else standing
            while timers and timers[0][0] <= self._now:
                ready.append(pop(timers)[2])
            standing += 1
            self.turns += 1
            if standing > LONGEST_STANDSTILL:
                raise Stalled(f"at {self._now:g} s time stands still; next: {ready[0] if ready else None!r}")
            for _ in range(len(ready)):
                handle: Any = ready.popleft()
                if not handle._cancelled and not (self._frozen and self._keeps(handle)):  # noqa: SLF001 - as every loop does
                    handle._run()  # noqa: SLF001 - as above

    def _step(self) -> bool:
        """Go to the next timer. Whether that takes time."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Stalled(f"at {self._now:g} s nothing will ever happen again: {self._waiting()}")
        before, self._now = self._now, max(self._now, timers[0][0])
        return self._now > before

    def _keeps(self, handle: Any) -> bool:
        """Whether its actor is frozen; then it is kept."""
        kept = self._frozen.get(handle._context.get(ACTOR))  # noqa: SLF001 - as above
        if kept is not None:
            kept.append(handle)
        return kept is not None

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
        self._ready.clear()
        self._timers.clear()

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
