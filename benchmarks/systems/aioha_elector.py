"""aioha, as its users write it: `Elector.lead(work)`. Flags become options: `plain` is `record=False`, `guarded` has a
guardian.
"""

import asyncio
import signal
from typing import Any

from aioha import Elector, Term

from .lines import Lines, arguments, emit

OPTIONS: dict[str, dict[str, Any]] = {"plain": {"record": False}, "guarded": {"guardian": True}}


async def main() -> None:
    flags, servers, path, timeout, who = arguments()
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    async def work(term: Term) -> None:
        emit("LEAD", who, term.token)
        try:
            await loop.create_future()
        finally:
            emit("STOP", who, term.token)

    resigning: set[asyncio.Task[None]] = set()  # the loop alone would not keep them alive

    def command(line: str) -> None:
        if line == "resign":
            task = loop.create_task(elector.resign())
            resigning.add(task)
            task.add_done_callback(resigning.discard)
        else:
            over.set()

    options: dict[str, Any] = {key: value for flag in flags for key, value in OPTIONS[flag].items()}
    if servers == "local":
        where = f"local:{path}"
    else:
        where = f"zk://{servers}{path}"
        options["session_timeout"] = timeout
    loop.add_signal_handler(signal.SIGTERM, over.set)
    async with Elector(where, identity=who, **options) as elector:
        emit("UP", who)
        Lines(command).attach(loop)
        leading, ending = loop.create_task(elector.lead(work)), loop.create_task(over.wait())
        await asyncio.wait({leading, ending}, return_when=asyncio.FIRST_COMPLETED)
        for task in (leading, ending):
            task.cancel()
        result, _ = await asyncio.gather(leading, ending, return_exceptions=True)
        if isinstance(result, Exception):
            emit("NOTE", f"{who}:{result!r}".replace(" ", "_"))


if __name__ == "__main__":
    asyncio.run(main())
