"""The work that an elector runs by itself while its block lasts (`work=`): led, tried again, ended with the block.

It has a task of its own. When it fails the task of the block is cancelled, and the block raises what the work has raised.
"""

import asyncio
import logging
import os
import signal
from typing import Any, Protocol

from .clock import Clock
from .errors import ElectionError
from .host import finish
from .settings import Settings
from .term import Work

__all__ = ["Background", "Leading"]

log = logging.getLogger("aioha")

FIRST_RETRY, LONGEST_RETRY = 1.0, 60.0  # seconds between failures with on_failure="retry"


class Leading(Protocol):
    """What background work needs of its elector."""

    place: str
    clock: Clock
    settings: Settings

    async def lead(self, work: Work[Any]) -> Any: ...
    def let_others_go_first(self) -> None: ...


class Background:
    """Made in the task of the block, and begun by that. `failure`: what the work has failed with for good."""

    def __init__(self, elector: Leading, work: Work[Any]) -> None:
        self.failure: BaseException | None = None
        self._elector = elector
        self._work = work
        self._owner = asyncio.current_task()
        self._has_cancelled_owner = False
        self._is_stopping = False
        self._task = asyncio.create_task(self._run(), name=f"aioha work of {elector.place}")

    async def stop(self) -> asyncio.CancelledError | None:
        """Cancel the work once and wait until it has ended: until then nothing may be released.

        Returns the cancellation that has arrived meanwhile.
        """
        self._is_stopping = True
        if not self._task.done():
            self._task.cancel("the elector's block ends")
        interrupted = await finish(self._task, float("inf"))
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            self.failure = self.failure or error
        return interrupted

    def uncancel_owner(self) -> None:
        """The block ends: it raises the work's failure instead of the cancellation that followed from it."""
        if self._has_cancelled_owner and self._owner is not None and self._owner is asyncio.current_task():
            self._has_cancelled_owner = False
            self._owner.uncancel()

    async def _run(self) -> None:
        elector, pause = self._elector, FIRST_RETRY
        while True:
            begun = elector.clock()
            error = await self._failed()
            if error is None:
                log.info("%s: the work has returned; this candidate takes no further part", elector.place)
                return
            if not self._is_tried_again(error):
                return
            if elector.clock() - begun > LONGEST_RETRY:
                pause = FIRST_RETRY
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY)
            elector.let_others_go_first()  # another candidate may fare better

    async def _failed(self) -> BaseException | None:
        """Lead. Returns what the work has failed with; None: it has returned."""
        try:
            await self._elector.lead(self._work)
        except asyncio.CancelledError as cancellation:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                if cancellation.__cause__ is not None:  # it failed, and the block ended before its term was released
                    self._has_failed(cancellation.__cause__)
                raise
            error = ElectionError(f"{self._elector.place}: the work ended as cancelled, and nobody had cancelled it")
            error.__cause__ = cancellation
            return error
        except (SystemExit, KeyboardInterrupt, GeneratorExit):
            raise  # not the work's
        except BaseException as error:  # noqa: BLE001 - whatever the work raises is its failure
            return error
        return None

    def _is_tried_again(self, error: BaseException) -> bool:
        """Say that it has failed, and do as `on_failure` wants."""
        if self._is_stopping:  # its cleanup has failed: nobody tries that again
            self._say(error)
            self.failure = error
            return False
        if self._has_failed(error):
            return True
        if self._elector.settings.on_failure == "exit":
            os.kill(os.getpid(), signal.SIGTERM)
        elif self._owner is not None and not self._owner.done():
            self._has_cancelled_owner = self._owner.cancel(f"the work failed: {error!r}")
        return False

    def _has_failed(self, error: BaseException) -> bool:
        """Say so. Returns whether it may be tried again; if not, it is the end of it."""
        self._say(error)
        asked = self._elector.settings.on_failure == "retry"
        if asked and isinstance(error, Exception) and not isinstance(error, ElectionError):
            return True
        self.failure = error
        return False

    def _say(self, error: BaseException) -> None:
        log.critical("%s: the work failed: %r", self._elector.place, error, exc_info=error)
