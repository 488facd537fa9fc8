"""A candidate as a process of its own: `candidate_process.py WHERE IDENTITY OPTIONS_AS_JSON`.

Its work ticks each 20 ms, as real work does (one long sleep would hide a step that should not have happened), and it
writes `EVENT IDENTITY TOKEN NANOSECONDS` lines, stamped by CLOCK_BOOTTIME inside the work. On stdin: `resign`, `block
SECONDS` (the loop), `quit`.
"""

import asyncio
import json
import logging
import os
import sys
import time

from aioha import Elector, Term

WHERE, IDENTITY, OPTIONS = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
TICK = 0.02
CLEANUP = OPTIONS.pop("cleanup", 0.0)
TICKS = OPTIONS.pop("ticks", False)
UVLOOP = OPTIONS.pop("uvloop", False)


def emit(event: str, token: int = 0) -> None:
    os.write(1, f"{event} {IDENTITY} {token} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n".encode())


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
        emit("END", term.token)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    stdin, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with Elector(WHERE, identity=IDENTITY, **OPTIONS) as elector:
        emit("UP")
        leading = asyncio.create_task(elector.lead(work))
        while line := (await reader.readline()).decode().split():
            if line[0] == "resign":
                await elector.resign()
                emit("RESIGNED")
            elif line[0] == "block":
                time.sleep(float(line[1]))
                emit("LEADING" if elector.is_leading else "NOT_LEADING")
            elif line[0] == "server":
                os.write(1, f"SERVER {IDENTITY} {elector.session.server if elector.session else None} 0\n".encode())
            elif line[0] == "quit":
                break
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
