"""The least that a candidate on one host can do: block in flock(2). No lease, no token, no record, no fencing.

The kernel wakes the next one itself, so nothing that runs in an event loop can be faster.
"""

import fcntl
import os
import signal
import threading
import time

from .lines import Lines, arguments, emit

LET_OTHERS_GO = 0.05  # seconds; who resigned would win the race against processes that must be woken first


def main() -> None:
    _, _, path, _, who = arguments()
    over, stop = threading.Event(), threading.Event()

    def take_part() -> None:
        while not over.is_set():
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            emit("LEAD", who)
            stop.wait()
            stop.clear()
            emit("STOP", who)
            os.close(lock)
            time.sleep(LET_OTHERS_GO)

    def command(line: str) -> None:
        (stop if line == "resign" else over).set()

    emit("UP", who)
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=take_part, daemon=True).start()
    Lines(command).thread()
    over.wait()
    stop.set()
    time.sleep(0.02)  # STOP first


if __name__ == "__main__":
    main()
