"""What may happen to the line of an `ephemeral` election, and what must not come of it: nobody bids, or a term forgotten."""

import asyncio

from queues import PATH, Queue, T, played

from aioha.testing.simulated import acl
from aioha.testing.simulated.codes import Perm

LINE = f"{PATH}.aioha/line"
READ_ONLY = (acl.Entry(Perm.READ, "world", "anyone"),)


def test_who_may_not_leave_the_line_any_more_leads_all_the_same() -> None:
    async def play(queue: Queue) -> None:
        for name in "abc":
            await queue.join(name)
        await asyncio.sleep(T)
        queue.operator.set_acl(LINE, READ_ONLY)
        queue.crash("a")
        for turn in (2, 3):
            name, term = await queue.until(turn)
            assert term.number == turn  # with a record all the same
            queue.crash(name)

    played("ephemeral", play)
