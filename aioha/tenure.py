"""Holding one term while its work runs: when to end it, and how the work is told.

Supervision is synchronous: the grant and one alarm call `_judge`, which asks the clock first. The work's task is
cancelled as `asyncio.timeout` does it, with `Task.cancel` once, so that its `finally` may await, and once more when
the time to stop is over. Nothing here awaits, so nothing here can be late by more than the loop is.
"""

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Literal

from .alarm import Alarm, alarm
from .clock import Clock
from .elections import Grant
from .errors import LeadershipLost, LeadershipResigned, TermEnded
from .standing import Event
from .term import lease_over, name_of
from .watchdog import Watched, stacks, watch

__all__ = ["Tenure"]

log = logging.getLogger("aioha")

GLANCE = 1 / 16  # of the lease: look at the clock this often; not every alarm counts suspend, and a deadline may come nearer
NEVER = float("inf")
APART = 0.01  # seconds: the least between the first cancellation and the second
LONGEST_REPORT = 0.5  # seconds
EXIT_STUCK = 75  # EX_TEMPFAIL: another copy will do the work


class Tenure:
    """From the first moment of the work to its last. `happened` hears of changes of standing, in order.

    A fence hook is held to the same rules before the work begins (`doing`).
    """

    def __init__(
        self,
        grant: Grant,
        task: "asyncio.Task[object]",
        place: str,
        clock: Clock,
        happened: Callable[[Event], None],
        *,
        exit_when_stuck: bool,
        doing: Literal["leading", "fencing"] = "leading",
    ) -> None:
        self._grant = grant
        self._task = task
        self._place = place
        self._clock = clock
        self._happened = happened
        self._working = True
        self._doubtful = False
        self._ending: Callable[[], TermEnded] | None = None  # makes a new error for everybody who asks
        self._over: Callable[[], TermEnded] | None = None  # the same, once anybody, in any thread, has found the term over
        self._stop_by = NEVER  # when work that was told to end is told once more
        self._told_at = NEVER
        self._insisted = False
        self._cancels = 0
        self._cancels_before = task.cancelling()
        self._alarm: Alarm | None = None
        happened(Event.WORK)
        self._work = "work" if doing == "leading" else "fence hook"
        log.info("%s: %s, term %s, token %d", place, doing, name_of(grant), grant.token)
        grant.listen(self._judge)
        self._loop_thread = threading.get_ident()
        self._exit_when_stuck = exit_when_stuck
        self._watched = watch(Watched(self._due, clock, self._stuck)) if grant.deadline < NEVER else None
        self._judge()
        asyncio.get_running_loop().call_soon(self._begin_alarm)  # behind the first step of the work, which is not to wait

    # ------------------------------------------------------------------ asking

    @property
    def may_work(self) -> bool:
        """The work may run at this moment, by the clock."""
        return self._working and self._ending is None and self._found_over() is None

    def ending(self) -> TermEnded | None:
        """Why the term is over, if it is; a new error each time."""
        if self._ending is not None:
            return self._ending()
        found = self._found_over()
        if found is not None:
            return found()
        return None if self._working else TermEnded(f"term {name_of(self._grant)} of {self._place}: its work has ended")

    # ------------------------------------------------------------------ ending

    def stop_if_over(self) -> bool:
        """Ask the clock now. True if that has just ended the term: the task is cancelled by then."""
        if self._working and self._ending is None:
            self._judge()
            return self._ending is not None
        return False

    def resign(self) -> None:
        """Give the term up; the work is told to end."""
        if self._working and self._ending is None:
            name = f"term {name_of(self._grant)} of {self._place}"
            self._end(lambda: LeadershipResigned(f"{name} was resigned"))

    def close(self) -> tuple[TermEnded | None, bool]:
        """The work has ended. Returns how the term had ended before it (None: it had not), and whether somebody else
        has cancelled the task too. The lease clock is asked, not who was cancelled: work may have swallowed it.
        """
        ending = self.ending()
        if self._ending is None:
            if ending is not None:
                log.warning("%s", ending)
            self._happened(Event.STOP)
        self._working = False  # nobody is cancelled by us any more
        for _ in range(self._cancels):
            self._task.uncancel()
        return ending, self._task.cancelling() > self._cancels_before

    def dismiss(self) -> None:
        """After `close`, when there is time: nothing is left of it."""
        if self._watched is not None:
            self._watched.done()
        if self._alarm is not None:
            self._alarm.close()

    # ------------------------------------------------------------------ inside

    def _begin_alarm(self) -> None:
        if self._working:
            self._alarm = alarm(self._clock, self._judge)
            self._set_alarm()

    def _judge(self) -> None:
        """The term's state may have changed, or time has passed: the first question is the clock's."""
        if not self._working:
            return
        if self._ending is None:
            over = self._found_over()
            if over is not None:
                self._end(over)
                return
            if self._grant.doubtful is not self._doubtful:
                self._doubtful = not self._doubtful
                self._happened(Event.DOUBT if self._doubtful else Event.SURE)
        else:
            if self._stop_by == NEVER and self._grant.ended is not None:
                self._stop_by = self._clock() + self._grant.stop_grace
            if self._clock() >= self._due_to_insist():
                self._insist()
                return
        self._set_alarm()

    def _found_over(self) -> Callable[[], TermEnded] | None:
        """How the world has ended the term by now, asking the clock and the grant."""
        grant, now = self._grant, self._clock()
        if self._over is None and grant.ended is not None:
            why = f"term {name_of(grant)} of {self._place}: {grant.ended}"
            self._over = lambda: LeadershipLost(why)
        elif self._over is None and now >= grant.deadline - grant.stop_grace:
            lost = str(lease_over(grant, self._place, now))
            self._over = lambda: LeadershipLost(lost)
        return self._over  # a lease renewed afterwards does not bring the term back

    def _end(self, ending: Callable[[], TermEnded]) -> None:
        self._ending = ending
        message = ending()
        resigned = isinstance(message, LeadershipResigned)
        log.log(logging.INFO if resigned else logging.WARNING, "%s", message)
        self._told_at = self._clock()
        # Resigned, nobody can begin before we release: the lease decides. Else whoever comes next may count on `stop_grace`,
        # also where a seat should keep it waiting: our session may be over, and its servers have not told us yet.
        self._stop_by = NEVER if resigned else self._told_at + self._grant.stop_grace
        self._happened(Event.STOP)
        self._cancel(str(message))
        self._set_alarm()

    def _insist(self) -> None:
        """The time to stop is over and the work still runs: once more. The watchdog, in its thread, reports it."""
        if not self._insisted:
            self._insisted = True
            self._cancel("the time to stop is over")

    def _due(self) -> float:
        """When the work must have ended; never, once it has."""
        return min(self._stop_by, self._grant.deadline) if self._working else NEVER

    def _due_to_insist(self) -> float:
        """After a thaw all is due at once; but a task that is cancelled twice before its next step sees one cancellation."""
        return max(self._due(), self._told_at + APART)

    def _stuck(self) -> None:
        """Called in the watchdog's thread: the loop may be what hangs."""
        if not self._exit_when_stuck:
            self._report_stuck()
            return
        # The loop may hang in a log handler, with its lock: that must not keep us from ending.
        reporter = threading.Thread(target=self._report_stuck, daemon=True)
        try:
            reporter.start()
            reporter.join(LONGEST_REPORT)
        finally:  # also where no thread can be started
            os._exit(EXIT_STUCK)

    def _report_stuck(self) -> None:
        if self._exit_when_stuck:
            consequence = "this process ends"
        elif self._grant.seated and self._clock() < self._grant.deadline:
            consequence = "leadership is not released before it ends"
        else:
            consequence = "another candidate may lead by now"
        log.critical(
            "%s: the %s of term %s still runs although its time is over; %s\n%s",
            self._place,
            self._work,
            name_of(self._grant),
            consequence,
            stacks(self._task, self._loop_thread),
        )

    def _cancel(self, message: str) -> None:
        if asyncio.current_task() is self._task:
            # Before Python 3.13 a task that cancels itself and then ends without an await leaks the cancellation.
            asyncio.get_running_loop().call_soon(self._cancel_now, message)
        else:
            self._cancel_now(message)

    def _cancel_now(self, message: str) -> None:
        if self._working and self._task.cancel(message):
            self._cancels += 1

    def _set_alarm(self) -> None:
        if self._alarm is None:
            return
        until = self._grant.deadline - self._grant.stop_grace if self._ending is None else self._due_to_insist()
        self._alarm.set(min(until, self._clock() + self._grant.lease * GLANCE))
