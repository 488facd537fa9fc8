"""What a candidate costs while nothing happens: CPU and memory of one leader and one standby, all systems at once."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from .crew import Crew, System
from .figures import Figure
from .stores import Store

__all__ = ["idle"]

SESSION_TIMEOUT = 10.0  # seconds: the pace of heartbeats follows from it
SETTLE = 2.0
S = 1e9


async def idle(store: Store, systems: Sequence[System], seconds: float) -> list[Figure]:
    """CPU in s per hour; resident and private memory in MiB, and threads, as notes."""
    async with contextlib.AsyncExitStack() as stack:
        crews: list[Crew] = []
        for system in systems:
            crew = Crew(system, store.servers, store.directory, timeout=SESSION_TIMEOUT)
            crews.append(await stack.enter_async_context(crew))
            await crew.start(2)
        await asyncio.sleep(SETTLE)
        roles = [(crew, who, "leader" if who == crew.leading else "standby") for crew in crews for who in crew.candidates]
        pids = [crew.candidates[who].pid for crew, who, _ in roles]
        before, began = [_cpu_ns(pid) for pid in pids], time.monotonic_ns()
        await asyncio.sleep(seconds)
        spent, lasted = [_cpu_ns(pid) - cpu for pid, cpu in zip(pids, before, strict=True)], time.monotonic_ns() - began
        yardstick = next((system.name for system in systems if system.yardstick), "")
        return [
            Figure(f"idle {role}", store.name, crew.system.name, "CPU s/h", [cpu / lasted * 3600], yardstick, _memory(pid))
            for (crew, _, role), pid, cpu in zip(roles, pids, spent, strict=True)
        ]


def _cpu_ns(pid: int) -> int:
    """CPU time of a whole process: the clock whose id the kernel makes from its pid (clock_getcpuclockid)."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def _memory(pid: int) -> dict[str, int]:
    """`private`: what would be free if the process ended; the rest is shared with other Pythons."""
    status = _fields(f"/proc/{pid}/status")
    rollup = _fields(f"/proc/{pid}/smaps_rollup")
    private = int(rollup["Private_Clean"].split()[0]) + int(rollup["Private_Dirty"].split()[0])
    resident = int(status["VmRSS"].split()[0])
    return {"resident MiB": round(resident / 1024), "private MiB": round(private / 1024), "threads": int(status["Threads"])}


def _fields(path: str) -> dict[str, str]:
    lines = Path(path).read_text("ascii", "replace").splitlines()
    return {key: value for key, colon, value in (line.partition(":") for line in lines) if colon}
