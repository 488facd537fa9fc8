"""What the command line says on stderr, and the exit code that goes with it. Nothing else decides exit codes of failures.

Exit codes are those of sysexits.h, so that a supervisor can tell "try again" (69) from "mend the configuration" (64, 78).
"""

import json
import logging
import os
import queue
import sys
import threading
import time
import traceback

from ..errors import ElectionError, LayoutMismatch, SessionFailed, TermEnded, Unavailable

__all__ = [
    "BROKEN_PIPE",
    "CONFIG",
    "INPUT_OUTPUT",
    "LOST",
    "SOFTWARE",
    "UNAVAILABLE",
    "USAGE",
    "Failure",
    "deliver",
    "log_to_stderr",
    "printable",
    "report",
]

USAGE = 64  # the command line, WHERE or an option is wrong
UNAVAILABLE = 69  # no server reached: worth trying again
SOFTWARE = 70  # a bug of ours; never 1, which means "nobody leads" to `status`
INPUT_OUTPUT = 74  # what we have to say cannot be written
LOST = 75  # the term is over (`run --once`)
CONFIG = 78  # the servers refuse, or hold another kind of election: trying again does not help
BROKEN_PIPE = 141  # as if SIGPIPE had ended us: 128 + 13

_BY_ERROR: tuple[tuple[type[ElectionError], int], ...] = (
    (Unavailable, UNAVAILABLE),
    (SessionFailed, CONFIG),
    (LayoutMismatch, CONFIG),
    (TermEnded, LOST),
)


class Failure(Exception):
    """Ends the command with `code` after one line on stderr; with none if `message` is empty."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message)
        self.code = code


def report(error: BaseException) -> int:
    """Say on stderr what went wrong, in one line, and return the exit code. Only a bug of ours shows a traceback."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    code = _code(error)
    if code == SOFTWARE:
        _say("this is a bug in aioha", error)
    elif str(error):
        _say(printable(" ".join(str(error).split())))
    return code


def _code(error: BaseException) -> int:
    if isinstance(error, Failure):
        return error.code
    return next((code for kind, code in _BY_ERROR if isinstance(error, kind)), SOFTWARE)


def _say(message: str, bug: BaseException | None = None) -> None:
    if any(isinstance(handler, StderrHandler) for handler in logging.getLogger().handlers):
        logging.getLogger("aioha").error("%s", message, exc_info=bug)  # --log-json: this line, too, is an object
    else:
        _write(f"aioha: {message}\n" + ("".join(traceback.format_exception(bug)) if bug else ""))


def deliver(line: str) -> None:
    """One line to stdout, at once. Raises a silent `Failure` when nobody reads any more, one that says why when it cannot
    be written.
    """
    stdout = sys.stdout
    try:
        stdout.write(line.encode(stdout.encoding, "backslashreplace").decode(stdout.encoding) + "\n")
        stdout.flush()
    except OSError as error:
        # The interpreter flushes stdout once more at its end, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise Failure(BROKEN_PIPE) from None
        raise Failure(INPUT_OUTPUT, f"stdout cannot be written: {error.strerror}") from None


def printable(text: str) -> str:
    """Text of strangers (identities, data) without what would steer a terminal or break a line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def log_to_stderr(*, as_json: bool = False, level: int = logging.INFO) -> None:
    """Show the log on stderr: aioha's from `level` on, everybody else's from WARNING on."""
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if as_json else PlainFormatter())
    logging.getLogger().addHandler(handler)
    logging.getLogger("aioha").setLevel(level)


class StderrHandler(logging.Handler):
    """Writes from a thread of its own: a reader that stalls (`2>&1 | less`) must not block the loop that keeps the lease."""

    BACKLOG = 10_000  # lines kept for a stalled reader; later ones are dropped

    def __init__(self) -> None:
        super().__init__()
        self._lines: queue.Queue[str | None] = queue.Queue(self.BACKLOG)
        self._thread = threading.Thread(target=self._write_lines, name="aioha-log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record) + "\n")
        except queue.Full:
            pass
        except Exception:  # noqa: BLE001 - what every handler does with a record that cannot be formatted
            self.handleError(record)

    def close(self) -> None:
        """Called by `logging` at the interpreter's end."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(1.0)  # bounded: a reader that stalls must not keep us from ending
        super().close()

    def _write_lines(self) -> None:
        for line in iter(self._lines.get, None):
            _write(line)


def _write(text: str) -> None:
    rest = text.encode(errors="backslashreplace")
    try:
        while rest:
            rest = rest[os.write(2, rest) :]  # no Python-level lock, which a thread stuck here would hold at our end
    except OSError:
        pass


class PlainFormatter(logging.Formatter):
    """For people: `aioha 14:03:07.123 WARNING text`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        # Further lines are indented: no stranger's text can pass for a line of ours.
        text = "\n    ".join(map(printable, record.getMessage().split("\n")))
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"aioha {clock}.{int(record.msecs):03d} {record.levelname} {text}"


class JsonFormatter(logging.Formatter):
    """For machines: one object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)
