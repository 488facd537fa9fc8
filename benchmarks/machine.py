"""What the figures were measured on."""

import os
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from aioha.testing import Ensemble

__all__ = ["facts", "zookeeper_version"]


def facts() -> dict[str, Any]:
    """Everything that can be known without a server. `load`: the machine's load average when the run began."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "kazoo": metadata.version("kazoo"),
        "load": round(os.getloadavg()[0], 1),
    }


def zookeeper_version(ensemble: Ensemble) -> str:
    """As the first server tells it."""
    found = re.search(r"version: ([\w.]+)", ensemble.servers[0].four_letter("srvr"))
    return found[1] if found else "unknown"


def _cpu() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8", "replace"), re.MULTILINE)
    return found[1] if found else platform.machine()
