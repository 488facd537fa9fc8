"""Between being elected and the work: old work is given time to end, and terms that did not end cleanly are fenced.

Both at once: a hook is asked for because waiting is not trusted, so there is nothing for it to wait for; the work starts
when both are over. The hook runs under the rules of work (`tenure`): it is cancelled when the term ends, by the lease
clock, by us or by the world, and nothing is released before it has ended. What it has achieved is written down at once.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from .clock import Clock
from .elections import Grant
from .errors import ElectionError
from .host import finish
from .settings import FenceHook, Settings
from .steps import Steps
from .tenure import Tenure
from .term import name_of

__all__ = ["Threshold"]

log = logging.getLogger("aioha")

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between failures of a fence hook, each twice as long as the last


class Threshold:
    """One campaign's way to its work. `resignation` is set when what was won is to be given up."""

    def __init__(self, place: str, clock: Clock, settings: Settings, resignation: asyncio.Event) -> None:
        self._place = place
        self._clock = clock
        self._settings = settings
        self._resignation = resignation
        self._pause = FIRST_PAUSE
        self.failed = False  # the last crossing: the hook raised, and others had better try
        self.task: asyncio.Task[Any] | None = None  # the one that a hook runs in

    async def cross(self, grant: Grant) -> bool:
        """Whether the work may start at this moment. Raises `SessionFailed`, and what the hook raises if that is no
        `Exception`.
        """
        begun = self._clock()
        self.failed = False
        hook = self._settings.fence
        if hook is not None and grant.unfenced and not await self._fence(grant, hook):
            return False
        self._pause = FIRST_PAUSE
        if grant.settle or self._settings.takeover_delay:
            await self._settle(grant, begun)
        await grant.ready(self._resignation)
        return not self._is_over(grant)

    async def back_off(self) -> None:
        """After a failure: leave the others the time to fare better."""
        if self.failed:
            pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
            await asyncio.sleep(pause)

    # ------------------------------------------------------------------ waiting

    async def _settle(self, grant: Grant, begun: float) -> None:
        """Give old work that may not know yet that it is over, or that has no lease, the time to end."""
        pause = max(grant.settle, self._settings.takeover_delay)
        left = pause - (self._clock() - begun)
        if left <= 0 or self._is_over(grant):
            return
        reason = "the last term did not end cleanly" if grant.settle == pause else "takeover_delay"
        log.info("%s: elected; %.2g s until the work starts (%s)", self._place, left, reason)
        over = asyncio.Event()
        grant.listen(lambda: over.set() if grant.ended is not None else None)
        waits = {asyncio.ensure_future(over.wait()), asyncio.ensure_future(self._resignation.wait())}
        try:
            await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _is_over(self, grant: Grant) -> bool:
        return grant.ended is not None or self._resignation.is_set()

    # ------------------------------------------------------------------ fencing

    async def _fence(self, grant: Grant, hook: FenceHook) -> bool:
        """Whether every term is fenced and ours still stands."""
        await grant.leased(self._resignation)
        if self._is_over(grant):
            return False

        async def fencing() -> Exception | None:
            return await Steps(_fence_each(grant, hook, self._place, lambda: tenure.may_work), tenure.stop_if_over)

        task = self.task = asyncio.create_task(fencing(), name=f"aioha fence hook of {self._place}")
        tenure = Tenure(
            grant,
            task,
            self._place,
            self._clock,
            lambda _: None,  # we stand by until the work begins
            exit_when_stuck=self._settings.on_stuck == "exit",
            doing="fencing",
        )
        interrupted = await self._until_done(task, tenure)
        ending, _ = tenure.close()
        tenure.dismiss()
        failure: BaseException | None = None
        if not task.cancelled():
            failure = task.exception() or task.result()
        if failure is None and ending is None and interrupted is None and (task.cancelled() or grant.unfenced):
            how = "ended as cancelled" if task.cancelled() else "was cancelled and took no notice"
            failure = ElectionError(f"it {how}, and nobody of ours had cancelled it")
        if failure is not None:
            log.error("%s: the fence hook of term %s failed: %r", self._place, name_of(grant), failure, exc_info=failure)
        if interrupted is not None:
            raise interrupted
        if not task.cancelled():
            task.result()  # raises what is not the hook's to fail with: `SessionFailed` of the store, `SystemExit`
        self.failed = failure is not None and ending is None
        if self.failed:
            log.error("%s: resigning; the next try in %g s, others go first", self._place, self._pause)
        return failure is None and ending is None

    async def _until_done(self, task: "asyncio.Future[Any]", tenure: Tenure) -> asyncio.CancelledError | None:
        """Wait until the hook has ended, however long that takes. Returns the cancellation that arrived meanwhile."""
        interrupted: asyncio.CancelledError | None = None
        resigned = asyncio.ensure_future(self._resignation.wait())
        try:
            await asyncio.wait({task, resigned}, return_when=asyncio.FIRST_COMPLETED)
            if resigned.done():
                tenure.resign()
        except asyncio.CancelledError as cancellation:
            interrupted = cancellation
            task.cancel("the campaign was cancelled")
        finally:
            resigned.cancel()
        return await finish(task, float("inf")) or interrupted


async def _fence_each(grant: Grant, hook: FenceHook, place: str, stands: Callable[[], bool]) -> Exception | None:
    """Fence all, newest first, while the term stands. Returns what the hook has raised."""
    task = asyncio.current_task()
    assert task is not None
    for predecessor in tuple(grant.unfenced):
        if not stands():  # the loop may have hung since the term was looked at
            return None
        whom = predecessor.identity or "a candidate that nobody knows"
        log.info("%s: fencing %s, of the term with token %d", place, whom, predecessor.token)
        try:
            started: Any = hook(predecessor)
            if not isinstance(started, Awaitable):
                raise TypeError(f"fence must be an async function; {hook!r} returned {started!r}")
            await started
        except Exception as error:  # noqa: BLE001 - whatever it raises is its failure
            return error
        if task.cancelling() or not stands():  # and it took no notice: nobody knows what it has left undone
            return None
        await grant.fenced(predecessor)  # which may be how we learn that the term is over
    return None
