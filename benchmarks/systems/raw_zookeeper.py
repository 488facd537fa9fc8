"""The hand-written ZooKeeper client in an election. Flag: `ephemeral` (watch, then create) or `sequential` (a queue).

No token, no record, no seat, no lease proof, no fencing: the least that can be called an election. `sequential` leads
on the event that the one before it has gone, without another round trip, which no library of today does.
"""

import asyncio
import signal
import uuid

from .lines import Lines, arguments, emit
from .raw_wire import EPHEMERAL, NODEEXISTS, NONODE, OK, SEQUENTIAL, Session

LET_OTHERS_GO = 0.05  # seconds, in the plain race: who resigned would win it


async def created(session: Session, path: str, node: str, flags: int) -> tuple[int, str]:
    answer = await session.create(node, flags)
    if answer[0] == NONODE:
        await session.ensure(path)
        answer = await session.create(node, flags)
    return answer


async def win_race(session: Session, path: str, _name: str) -> str:
    node = path + "/leader"
    while True:
        error, _ = await created(session, path, node, EPHEMERAL)
        if error == OK:
            return node
        if error != NODEEXISTS:
            raise ConnectionError(f"create: {error}")
        there, gone = await session.watch(node)
        if there:
            await gone


async def win_queue(session: Session, path: str, name: str) -> str:
    """The second in line watches the first, and the third both, so that each knows when it has become the next."""
    while True:
        names = sorted(await session.children(path), key=lambda each: int(each[-10:]))
        mine = next((each for each in names if each.startswith(name)), None)
        if mine is None:
            error, _ = await created(session, path, f"{path}/{name}-", EPHEMERAL | SEQUENTIAL)
            if error != OK:
                raise ConnectionError(f"create: {error}")
            continue
        at = names.index(mine)
        if at == 0:
            return f"{path}/{mine}"
        watched = await asyncio.gather(*(session.watch(f"{path}/{each}") for each in names[max(0, at - 2) : at]))
        if all(there for there, _ in watched):
            await asyncio.wait([gone for _, gone in watched], return_when=asyncio.FIRST_COMPLETED)
            if at == 1:
                watched[0][1].result()
                return f"{path}/{mine}"


async def hold(session: Session, stop: asyncio.Event) -> None:
    """Work until told to stop, until the session is lost, or until it may be."""
    stopped, lost = asyncio.ensure_future(stop.wait()), asyncio.ensure_future(session.lost.wait())
    loop = asyncio.get_running_loop()
    while not (stopped.done() or lost.done()) and (left := session.deadline - loop.time()) > 0:
        await asyncio.wait({stopped, lost}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    lost.cancel()


async def take_part(session: Session, flag: str, path: str, who: str, stop: asyncio.Event) -> None:
    win, name = (win_queue if flag == "sequential" else win_race), uuid.uuid4().hex
    while True:
        try:
            node = await win(session, path, name)
            emit("LEAD", who)
            await hold(session, stop)
            emit("STOP", who)
            stop.clear()
            await session.delete(node)
            name = uuid.uuid4().hex  # after a lost reply it stays: the node may still be in the queue
        except ConnectionError:
            await session.connected.wait()
        if flag == "ephemeral":
            await asyncio.sleep(LET_OTHERS_GO)


async def main() -> None:
    flags, servers, path, timeout, who = arguments()
    loop, over, stop = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def command(line: str) -> None:
        (stop if line == "resign" else over).set()

    loop.add_signal_handler(signal.SIGTERM, over.set)
    session = Session(servers, timeout)
    await session.start()
    emit("UP", who)
    task, ending = loop.create_task(take_part(session, flags[0], path, who, stop)), loop.create_task(over.wait())
    Lines(command).attach(loop)
    await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await asyncio.sleep(0.02)  # STOP first
    task.cancel()
    ending.cancel()
    await asyncio.gather(task, ending, return_exceptions=True)
    await session.close()


if __name__ == "__main__":
    asyncio.run(main())
