"""The `aioha` command as a process, for tests: its lines can be awaited, everything is bounded, nothing is left behind."""

import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
PATIENCE = 20.0  # seconds; what takes longer has failed


class Lines:
    """The lines of a stream, as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self.seen: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def join(self) -> None:
        """Wait for the end of the stream: until then somebody holds it open, who should be gone."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), f"somebody still holds our output: {self.seen}"

    def until(self, part: str) -> str:
        """The next line that contains `part`."""
        due = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._queue.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line with {part!r} within {PATIENCE} s, but {self.seen}") from None
            assert line is not None, f"the stream ended without {part!r}: {self.seen}"
            self.seen.append(line)
            if part in line:
                return line

    def rest(self) -> list[str]:
        """All lines, up to the end of the stream."""
        while (line := self._queue.get(timeout=PATIENCE)) is not None:
            self.seen.append(line)
        return self.seen


class Running:
    """A running `aioha`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.out = Lines(process.stdout)
        self.err = Lines(process.stderr)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def exit_code(self) -> int:
        return self.process.wait(PATIENCE)

    def end(self) -> None:
        """End it with all that it started: in peace first, for a killed one cannot end its CMD's group."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(PATIENCE)
            raise
        finally:
            self.out.join()
            self.err.join()


def environment(directory: Path, **more: str) -> dict[str, str]:
    """Ours, but without anything that would change what the command does."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIOHA_")}
    return {**kept, "PYTHONPATH": str(ROOT), "AIOHA_DIR": str(directory), "COLUMNS": "80", **more}


def aioha(directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Run `aioha` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "aioha", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
        env={**environment(directory), **(env or {})},
    )


@contextmanager
def running(directory: Path, *arguments: str, **more: str) -> Iterator[Running]:
    """`aioha`, running; ended at the end if it still does."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aioha", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env=environment(directory, **more),
    )
    command = Running(process)
    try:
        yield command
    finally:
        command.end()


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(") ")[2][0]
    except OSError:
        return False
    return state not in "ZX"


def wait_dead(pid: int) -> None:
    """Return once the process has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], PATIENCE)[0], f"process {pid} still runs"
    finally:
        os.close(pidfd)


def kill_quietly(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
