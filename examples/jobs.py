"""A job runner that is started in several copies: each answers GET /health, and one of them runs the jobs.

    python jobs.py zk://zk1,zk2,zk3/jobs 8080 jobs.db

The jobs' account is a database that refuses a leader who comes too late: it compares tokens.
"""

import asyncio
import json
import signal
import sqlite3
import sys
from collections.abc import Coroutine
from typing import Any

from aioha import Elector, Term, Unavailable

EVERY = 5.0  # seconds between two runs of the jobs


class Account:
    """What was run, by whom. Writes of a term are refused once a later one has written."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS runs (job TEXT, token INTEGER)")

    def write(self, job: str, token: int) -> None:
        written = self._database.execute(
            "INSERT INTO runs SELECT ?, ? WHERE ? >= (SELECT coalesce(max(token), 0) FROM runs)", (job, token, token)
        )
        if not written.rowcount:
            raise RuntimeError(f"a later term has written already: {job} with token {token} comes too late")

    def tokens(self) -> list[int]:
        """Of all runs, in the order in which they were written."""
        return [token for (token,) in self._database.execute("SELECT token FROM runs ORDER BY rowid")]


class JobRunner:
    """One copy."""

    def __init__(self, where: str, account: Account) -> None:
        self.where = where
        self.account = account
        self.elector: Elector | None = None
        self.work = self.run_jobs  # tests put a recorder around it

    async def run(self) -> None:
        """Take part until cancelled."""
        async with Elector(self.where, self.work, on_failure="retry") as self.elector:
            await asyncio.Event().wait()

    async def run_jobs(self, term: Term) -> None:
        """What only the leader does."""
        while True:
            for job in ("invoices", "reminders"):
                term.check()
                self.account.write(job, term.token)
            await asyncio.sleep(EVERY)

    async def health(self) -> dict[str, Any]:
        """What every copy can say."""
        if self.elector is None:
            return {"status": "starting"}
        try:
            leader = await self.elector.leader()
        except Unavailable as error:
            return {"status": "no ensemble", "why": str(error)}
        return {
            "status": "ok" if leader else "nobody leads",
            "leading": self.elector.is_leading,
            "leader": leader.identity if leader else None,
        }


async def answer(runner: JobRunner, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request of HTTP, and no more than /health needs."""
    asked = await reader.readline()
    found = asked.startswith(b"GET /health ")
    body = json.dumps(await runner.health() if found else {"status": "not found"}).encode()
    head = f"HTTP/1.0 {'200 OK' if found else '404 Not Found'}\r\nContent-Type: application/json\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()


async def serve(runner: JobRunner, port: int) -> None:
    async with await asyncio.start_server(lambda reader, writer: answer(runner, reader, writer), port=port):
        await runner.run()


async def until_sigterm(service: Coroutine[Any, Any, None]) -> None:
    """Leave in good order when told so: the next leader then works within milliseconds."""
    task = asyncio.ensure_future(service)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


if __name__ == "__main__":
    place, port, database = sys.argv[1:]
    asyncio.run(until_sigterm(serve(JobRunner(place, Account(database)), int(port))))
