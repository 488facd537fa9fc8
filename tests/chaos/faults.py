"""How each fault is brought about. All are undone together afterwards: see `Stage.heal`."""

import asyncio
from collections.abc import Awaitable, Callable

from aioha.testing.server import Server

from . import operators
from .crew import Place
from .schedule import Step
from .stage import Stage

__all__ = ["FAULTS", "OF_CANDIDATES"]

Fault = Callable[[Stage, Place, Step], Awaitable[None]]
LOSS = (0.1, 0.4)
QUOTA = 0.02
AGAIN = 0.25  # seconds between sockets being destroyed
LONGEST_FREEZE = 12.0
LINGER = 0.3  # seconds that a frozen leader goes on to be frozen once another works


# ---------------------------------------------------------------------- a term ends


async def terminate(stage: Stage, leader: Place, step: Step) -> None:
    leader.terminate()


async def resign(stage: Stage, leader: Place, step: Step) -> None:
    leader.resign()


async def kill(stage: Stage, leader: Place, step: Step) -> None:
    leader.kill()


async def steal_session(stage: Stage, leader: Place, step: Step) -> None:
    stage.meddled.add(await asyncio.to_thread(operators.steal, stage.servers.addresses, stage.path))


async def delete_node(stage: Stage, leader: Place, step: Step) -> None:
    stage.meddled.add(await asyncio.to_thread(operators.delete, stage.servers.addresses, stage.path))


async def rubbish_record(stage: Stage, leader: Place, step: Step) -> None:
    await asyncio.to_thread(operators.overwrite, stage.servers.addresses, stage.path, step.choice)


# ---------------------------------------------------------------------- the leader's process


async def stop(stage: Stage, leader: Place, step: Step) -> None:
    leader.stop()
    await asyncio.sleep(step.hold)


async def stop_long(stage: Stage, leader: Place, step: Step) -> None:
    leader.stop()
    await stage.succeeded(leader.who, step.hold, LONGEST_FREEZE)
    await asyncio.sleep(LINGER)


async def freeze(stage: Stage, leader: Place, step: Step) -> None:
    leader.freeze()
    await asyncio.sleep(step.hold)


async def freeze_long(stage: Stage, leader: Place, step: Step) -> None:
    leader.freeze()
    await stage.succeeded(leader.who, step.hold, LONGEST_FREEZE)
    await asyncio.sleep(LINGER)


async def throttle(stage: Stage, leader: Place, step: Step) -> None:
    leader.throttle(QUOTA)
    await stage.hold(step)


# ---------------------------------------------------------------------- the leader's network


async def cut(stage: Stage, leader: Place, step: Step) -> None:
    await stage.network.cut(leader.host, stage.servers.hosts)
    await stage.hold(step)


async def cut_from_its_server(stage: Stage, leader: Place, step: Step) -> None:
    server = await _server_of(stage, leader, step)
    await stage.network.cut(leader.host, [stage.servers.host_of(server)])
    await stage.hold(step)


async def deaf(stage: Stage, leader: Place, step: Step) -> None:
    await leader.host.ignore(stage.servers.hosts)
    await stage.hold(step)


async def mute(stage: Stage, leader: Place, step: Step) -> None:
    await asyncio.gather(*(host.ignore([leader.host]) for host in stage.servers.hosts))
    await stage.hold(step)


async def reset(stage: Stage, leader: Place, step: Step) -> None:
    await asyncio.gather(*(host.refuse([leader.host]) for host in stage.servers.hosts))
    await stage.hold(step)


async def loss(stage: Stage, leader: Place, step: Step) -> None:
    await stage.network.lose(leader.host, stage.servers.hosts, _share(step))
    await stage.hold(step)


async def link_down(stage: Stage, leader: Place, step: Step) -> None:
    await leader.host.unplug()
    await stage.hold(step)


async def destroy_sockets(stage: Stage, leader: Place, step: Step) -> None:
    until = asyncio.get_running_loop().time() + step.hold
    while asyncio.get_running_loop().time() < until:
        await leader.host.destroy_connections()
        await asyncio.sleep(AGAIN)


# ---------------------------------------------------------------------- servers


async def server_killed(stage: Stage, leader: Place, step: Step) -> None:
    await asyncio.to_thread((await _server_of(stage, leader, step)).kill)
    await stage.hold(step)


async def ensembles_leader_killed(stage: Stage, leader: Place, step: Step) -> None:
    await asyncio.to_thread((await stage.servers.leader()).kill)
    await stage.hold(step)


async def server_stopped(stage: Stage, leader: Place, step: Step) -> None:
    await asyncio.to_thread((await _server_of(stage, leader, step)).freeze)
    await stage.hold(step)


async def ensembles_leader_stopped(stage: Stage, leader: Place, step: Step) -> None:
    await asyncio.to_thread((await stage.servers.leader()).freeze)
    await stage.hold(step)


async def servers_link_down(stage: Stage, leader: Place, step: Step) -> None:
    await stage.servers.host_of(await _server_of(stage, leader, step)).unplug()
    await stage.hold(step)


async def servers_loss(stage: Stage, leader: Place, step: Step) -> None:
    host = stage.servers.host_of(await _server_of(stage, leader, step))
    others = [*stage.servers.hosts, *(place.host for place in stage.crew.places)]
    await stage.network.lose(host, [other for other in others if other is not host], _share(step))
    await stage.hold(step)


async def ghost_follower(stage: Stage, leader: Place, step: Step) -> None:
    """Cut from the ensemble's leader only, it goes on answering, the election's leader if that is attached to it."""
    chief = await stage.servers.leader()
    ghost = await _follower(stage, leader, chief, step)
    await stage.network.cut(stage.servers.host_of(ghost), [stage.servers.host_of(chief)])
    await stage.hold(step)


async def deaf_follower(stage: Stage, leader: Place, step: Step) -> None:
    chief = await stage.servers.leader()
    follower = await _follower(stage, leader, chief, step)
    await stage.servers.host_of(follower).ignore([stage.servers.host_of(chief)])
    await stage.hold(step)


async def mute_follower(stage: Stage, leader: Place, step: Step) -> None:
    chief = await stage.servers.leader()
    follower = await _follower(stage, leader, chief, step)
    await stage.servers.host_of(chief).ignore([stage.servers.host_of(follower)])
    await stage.hold(step)


async def isolated_leader(stage: Stage, leader: Place, step: Step) -> None:
    """The ensemble's, from the other servers; candidates still reach it."""
    host = stage.servers.host_of(await stage.servers.leader())
    await stage.network.cut(host, [other for other in stage.servers.hosts if other is not host])
    await stage.hold(step)


async def quorum_killed(stage: Stage, leader: Place, step: Step) -> None:
    for server in _two(stage, step):
        await asyncio.to_thread(server.kill)
    await stage.hold(step)


async def quorum_stopped(stage: Stage, leader: Place, step: Step) -> None:
    for server in _two(stage, step):
        await asyncio.to_thread(server.freeze)
    await stage.hold(step)


async def rolling_restart(stage: Stage, leader: Place, step: Step) -> None:
    for server in stage.servers.all:
        await asyncio.to_thread(server.kill)
        server.start()
        await stage.servers.serving()
        await asyncio.sleep(step.hold)


# ---------------------------------------------------------------------- whom


async def _server_of(stage: Stage, leader: Place, step: Step) -> Server:
    """The one that the leader is connected to, mostly."""
    attached = stage.servers.at(await leader.host.connected_to())
    return attached or stage.servers.all[int(step.choice * len(stage.servers.all))]


async def _follower(stage: Stage, leader: Place, chief: Server, step: Step) -> Server:
    attached = await _server_of(stage, leader, step)
    followers = [server for server in stage.servers.all if server is not chief]
    return attached if attached is not chief else followers[int(step.choice * len(followers))]


def _two(stage: Stage, step: Step) -> list[Server]:
    spared = int(step.choice * len(stage.servers.all))
    return [server for index, server in enumerate(stage.servers.all) if index != spared]


def _share(step: Step) -> float:
    return LOSS[0] + step.choice * (LOSS[1] - LOSS[0])


FAULTS: dict[str, Fault] = {
    "terminate": terminate,
    "resign": resign,
    "kill": kill,
    "steal session": steal_session,
    "delete node": delete_node,
    "rubbish record": rubbish_record,
    "stop": stop,
    "stop long": stop_long,
    "freeze": freeze,
    "freeze long": freeze_long,
    "throttle": throttle,
    "cut": cut,
    "cut from its server": cut_from_its_server,
    "deaf": deaf,
    "mute": mute,
    "reset": reset,
    "loss": loss,
    "link down": link_down,
    "destroy sockets": destroy_sockets,
    "server killed": server_killed,
    "ensemble's leader killed": ensembles_leader_killed,
    "server stopped": server_stopped,
    "ensemble's leader stopped": ensembles_leader_stopped,
    "server's link down": servers_link_down,
    "server's loss": servers_loss,
    "ghost follower": ghost_follower,
    "deaf follower": deaf_follower,
    "mute follower": mute_follower,
    "isolated leader": isolated_leader,
    "quorum killed": quorum_killed,
    "quorum stopped": quorum_stopped,
    "rolling restart": rolling_restart,
}
# These leave the ensemble and all other candidates alone, so that the others' time is judged while they last.
OF_CANDIDATES = frozenset(
    {
        "terminate",
        "resign",
        "kill",
        "steal session",
        "delete node",
        "rubbish record",
        "stop",
        "stop long",
        "freeze",
        "freeze long",
    }
)
