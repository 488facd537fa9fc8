"""A candidate as a process of its own: `candidate_process.py WHERE IDENTITY OPTIONS_AS_JSON`.

Its work ticks each 20 ms, as real work does (one long sleep would hide a step that should not have happened), and it
writes `EVENT IDENTITY TOKEN NANOSECONDS` lines, stamped by CLOCK_BOOTTIME inside the work. On stdin: `resign`, `block
SECONDS` (the loop), `hold SECONDS` (the loop, and the GIL with it), `guardian` (its pid), `fork` and `spawn` (a child
that outlives us), `exec` (become another program), `quit`.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import subprocess
import sys
import time

from aioha import Elector, Term

WHERE, IDENTITY, OPTIONS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
TICK = 0.02
CLEANUP = OPTIONS.pop("cleanup", 0.0)
STUBBORN = OPTIONS.pop("stubborn", 0.0)
TICKS = OPTIONS.pop("ticks", False)
UVLOOP = OPTIONS.pop("uvloop", False)


def emit(event: str, token: int = 0) -> None:
    os.write(1, f"{event} {IDENTITY} {token} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n".encode())


def fork() -> int:
    """A child that has all that we have, except that nobody waits for its output."""
    child = os.fork()
    if not child:
        for fd in (0, 1, 2):
            os.close(fd)
        time.sleep(1000)
        os._exit(0)
    return child


async def work(term: Term) -> None:
    emit("START", term.token)
    try:
        while True:
            await asyncio.sleep(TICK)
            if TICKS:
                emit("TICK", term.token)
    finally:
        if CLEANUP:
            await asyncio.sleep(CLEANUP)
        until = time.monotonic() + STUBBORN
        while time.monotonic() < until:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(TICK)
        emit("END", term.token)


async def obey(elector: Elector, word: str, number: str) -> None:
    if word == "resign":
        await elector.resign()
        emit("RESIGNED")
    elif word == "block":
        time.sleep(float(number))
        emit("LEADING" if elector.is_leading else "NOT_LEADING")
    elif word == "hold":
        ctypes.PyDLL(None).sleep(int(number))
    elif word == "guardian":
        guardian = elector.election.guardian
        if guardian is not None:
            await guardian.heard()
        emit("GUARDIAN", (guardian.pid or 0) if guardian is not None else 0)
    elif word == "fork":
        emit("CHILD", fork())
    elif word == "spawn":
        emit("CHILD", subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)
    elif word == "exec":
        os.execvp("sleep", ["sleep", "1000"])  # noqa: S606 - to become another program is what is asked for
    elif word == "server":
        os.write(1, f"SERVER {IDENTITY} {elector.session.server if elector.session else None} 0\n".encode())


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    stdin, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Elector(WHERE, identity=IDENTITY, **OPTIONS) as elector:
        emit("UP")
        leading = asyncio.create_task(elector.lead(work))
        while (line := (await reader.readline()).decode().split()) and line[0] != "quit":
            await obey(elector, line[0], line[-1])
        leading.cancel()
        await asyncio.gather(leading, return_exceptions=True)
    stdin.close()
    emit("DOWN")


# What is said on stderr is a failure of the test: keep the ordinary news out of it.
errors = logging.StreamHandler()
errors.setLevel(logging.ERROR)
logging.getLogger().addHandler(errors)


if UVLOOP:
    import uvloop

    uvloop.run(main())
else:
    asyncio.run(main())
