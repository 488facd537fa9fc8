"""A candidate of ours: `aioha_candidate.py OPTIONS_AS_JSON SERVERS PATH TIMEOUT_MS IDENTITY`. For what it says and obeys see
__init__.py.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from aioha import ElectionError, Elector, Predecessor, Term

OPTIONS, SERVERS, PATH, TIMEOUT, IDENTITY = sys.argv[1:]
TICK = 0.01


def say(event: str, *text: str) -> None:
    os.write(1, f"{' '.join((event, IDENTITY, *text))} {time.monotonic_ns()}\n".encode())


def say_up(elector: Elector) -> None:
    session: Any = elector.election.session
    say("UP", f"{session.current.id & (2**64 - 1):x}:{session.current.password.hex()}")


async def work(term: Term) -> None:
    say("LEAD")
    try:
        while True:
            await asyncio.sleep(TICK)
    finally:
        say("STOP")


async def fence(predecessor: Predecessor) -> None:
    """Those who have left something to fence in this play are dead."""


async def listed(elector: Elector) -> str:
    election: Any = elector.election
    try:
        leader, standbys = await election.candidates()
        return ",".join(member.identity for member in (leader, *standbys) if member is not None) or "?"
    except ElectionError as error:
        return f"?{type(error).__name__}"


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    stdin, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    where = f"zk://{SERVERS}{PATH}"
    resignations = set[asyncio.Task[None]]()  # they last until another leads, and orders go on meanwhile
    options = json.loads(OPTIONS)
    if options["layout"] == "hadoop":
        options["fence"] = fence
    async with Elector(where, work, identity=IDENTITY, session_timeout=int(TIMEOUT) / 1000, **options) as elector:
        say_up(elector)
        while (order := (await reader.readline()).decode().strip()) and order != "quit":
            if order == "resign":
                resignations.add(asyncio.create_task(elector.resign()))
            elif order == "members":
                say("MEMBERS", await listed(elector))
    await asyncio.gather(*resignations)
    stdin.close()


asyncio.run(main())
