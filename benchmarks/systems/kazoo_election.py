"""kazoo, as its documentation shows: `client.Election(path, who).run(work)` in a thread."""

import logging
import signal
import threading
import time

from kazoo.client import KazooClient

from .lines import Lines, arguments, emit

logging.basicConfig(level=logging.CRITICAL)  # it reports a lost connection as an error, and here servers are killed
AGAIN = 0.1  # seconds, after `run` has ended by an exception, which any trouble with the connection is to it


def main() -> None:
    _, servers, path, timeout, who = arguments()
    over, stop = threading.Event(), threading.Event()

    def work() -> None:
        emit("LEAD", who)
        stop.wait()
        stop.clear()
        emit("STOP", who)

    def take_part() -> None:
        while not over.is_set():
            try:
                client.Election(path, who).run(work)
            except Exception as error:  # noqa: BLE001 - whatever ended `run`, we take part again
                emit("NOTE", f"{who}:{error!r}".replace(" ", "_"))
                time.sleep(AGAIN)

    def command(line: str) -> None:
        (stop if line == "resign" else over).set()

    client = KazooClient(hosts=servers, timeout=timeout)
    client.start(timeout=30)
    emit("UP", who)
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    threading.Thread(target=take_part, daemon=True).start()
    Lines(command).thread()
    over.wait()
    stop.set()
    time.sleep(0.05)  # STOP first
    client.stop()


if __name__ == "__main__":
    main()
