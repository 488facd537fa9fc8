"""What a person at a ZooKeeper shell does: reads, deletes, creates, by kazoo, so that it is not our own code."""

import contextlib
import logging
from collections.abc import Generator
from typing import Any

from kazoo.client import KazooClient

logging.getLogger("kazoo").setLevel(logging.ERROR)


@contextlib.contextmanager
def operator(servers: str, **options: Any) -> Generator[Any]:
    client = KazooClient(servers, **options)
    client.start(timeout=10)
    try:
        yield client
    finally:
        client.stop()
        client.close()
