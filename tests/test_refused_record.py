"""A standby that was refused the record, and what it hears of it once others may write it again."""

import asyncio

from queues import PATH, Queue, played

from aioha.testing.simulated import Weather, acl
from aioha.testing.simulated.codes import Perm

RECORD = f"{PATH}.aioha"
READ_ONLY = (acl.Entry(Perm.READ | Perm.ADMIN, "world", "anyone"),)
LATENCY = 0.01  # seconds


def test_whoever_was_refused_the_record_goes_back_to_it_once_a_leader_has_written_it() -> None:
    """Seed 7774: it did without for as long as it stood by, and led with a token below one that had been lifted."""

    async def play(queue: Queue) -> None:
        queue.operator.create("/service", b"")
        queue.operator.create(RECORD, b"")
        queue.operator.set_acl(RECORD, READ_ONLY)
        await queue.join("a", record=False)
        await queue.join("refused")
        slow = Weather(latency=2 * LATENCY)
        for server in queue.ensemble.servers:
            for pair in (("b", server.name), (server.name, "b")):
                queue.simulation.network.link(*pair).weather = slow
        await queue.join("b", record=False)
        await queue.electors["a"].resign()  # the bid with a record is refused, and b's comes before the one without
        queue.tasks.pop("a").cancel()
        assert (await queue.until(2))[0] == "b"
        await asyncio.sleep(1.0)
        queue.operator.set_acl(RECORD, acl.OPEN)
        await queue.join("lifts", token_floor=10**12)
        queue.simulation.network.freeze("refused")
        queue.tasks.pop("b").cancel()
        name, lifted = await queue.until(3)
        assert name == "lifts"
        queue.simulation.network.thaw("refused")
        await asyncio.sleep(1.0)
        queue.tasks.pop("lifts").cancel()
        name, term = await queue.until(4)
        assert name == "refused"
        assert term.token > lifted.token > 10**12
        assert term.number == 2
        assert term.predecessor is not None
        assert term.predecessor.ended_cleanly

    played("ephemeral", play, servers=1, weather=Weather(latency=LATENCY))
