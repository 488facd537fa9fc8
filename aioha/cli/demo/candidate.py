"""One candidate of the demo: `python -m aioha.cli.demo.candidate WHERE NAME [SESSION_TIMEOUT]`.

Writes facts to stdout as JSON lines, each with the moment it was true. "resign" on stdin resigns; the end of stdin
(the demo is gone, however it went) ends this process.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress

from ...elector import Elector
from ...settings import Options
from ...term import Term

TICK = 0.005  # the work's own proof of life: two candidates at once would show to this precision


def main(where: str, name: str, session_timeout: str | None = None) -> None:
    options: Options = {"identity": name}
    if session_timeout is not None:
        options["session_timeout"] = float(session_timeout)
    with suppress(KeyboardInterrupt):
        asyncio.run(_take_part(where, options))


async def _take_part(where: str, options: Options) -> None:
    async with Elector(where, **options) as elector:
        tell("ready")
        commands = asyncio.create_task(_obey(elector))
        leading = asyncio.create_task(elector.lead(_work))
        done, _ = await asyncio.wait((commands, leading), return_when=asyncio.FIRST_COMPLETED)
        for task in (commands, leading):
            task.cancel()
        await asyncio.wait((commands, leading))
        if leading in done:
            leading.result()


async def _work(term: Term) -> None:
    tell("work", token=term.token)
    try:
        while True:
            await asyncio.sleep(TICK)
            tell("tick")
    finally:
        tell("rest")


async def _obey(elector: Elector) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        if line.strip() == b"resign":
            await elector.resign()


def tell(what: str, **details: object) -> None:
    line = json.dumps({"what": what, "at": time.monotonic_ns(), **details}) + "\n"
    with suppress(BrokenPipeError):  # the end of stdin will end us
        os.write(1, line.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
