"""Children that run one thing each, so many at once, and leave nothing: no process, no file."""

import json
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

MEMORY = 4 << 30  # bytes: a mutant that allocates without end fails instead of the machine
MARK = "AIOHA_MUTATION"


class Fork:
    """A child that runs one function and answers with its result; or with what ended it."""

    def __init__(self, run: Callable[[], Any]) -> None:
        """The child begins at once, with a folder of its own for temporary files."""
        self._folder = tempfile.mkdtemp(prefix="m-")
        self._answer = Path(self._folder, "answer")
        self.pid = os.fork()
        if self.pid == 0:
            self._child(run)

    def _child(self, run: Callable[[], Any]) -> None:
        try:
            os.setpgid(0, 0)
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(silence, stream)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            os.environ.update({MARK: self._folder, "TMPDIR": self._folder})
            tempfile.tempdir = self._folder
            self._answer.write_text(json.dumps(run()))
        except BaseException as error:  # noqa: BLE001 - told to the parent
            self._answer.write_text(json.dumps(f"{type(error).__name__}: {error}"))
        finally:
            os._exit(0)

    def ended(self, status: int) -> Any:
        """What it answered, after its end; what it has left is killed and removed."""
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._folder:
                    process.kill()
            except psutil.Error:
                pass
        text = self._answer.read_text() if self._answer.exists() else ""
        shutil.rmtree(self._folder, ignore_errors=True)
        if os.WIFSIGNALED(status):
            return signal.Signals(os.WTERMSIG(status)).name
        return json.loads(text) if text else "ended at once"


def in_forks(runs: Iterator[Callable[[], Any]], jobs: int) -> Iterator[Any]:
    """Each of these in a child of its own, so many at once; the answers in the order of the runs."""
    at_work: dict[int, tuple[int, Fork]] = {}
    answers: dict[int, Any] = {}
    told = 0

    def wait_for_one() -> None:
        pid, status = os.wait()
        number, fork = at_work.pop(pid)
        answers[number] = fork.ended(status)

    for number, run in enumerate(runs):
        fork = Fork(run)
        at_work[fork.pid] = (number, fork)
        while len(at_work) == jobs:
            wait_for_one()
        while told in answers:
            yield answers.pop(told)
            told += 1
    while at_work:
        wait_for_one()
    yield from (answers[number] for number in sorted(answers))
