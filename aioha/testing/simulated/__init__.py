"""ZooKeeper in virtual time: simulated servers, links and clocks for unchanged clients.

    async def main(simulation):
        ensemble = await simulation.ensemble(3)
        async with Elector(ensemble.where("/election"), clock=simulation.clock) as elector:
            ...

    run(main, seed=7)

What is simulated, and held to the real servers by one conformance suite: sessions with their touch tables and tick
buckets, watches, multi, ACL, elections among the servers, lagging and cut-off ones.

What can happen, besides:
- to links (`network`): silence one way or both, latency, jitter, spikes and loss (`Weather`), streams in pieces or slow,
  resets, a single request or reply lost, a frame cut in the middle; too many connections from one address
- to servers (`Server`): killed, frozen, cut off, a full disk, a data directory that is older than it was
- to hosts (`network`): frozen, crashed and up again, suspended, clocks that run too fast or too slow

What is not simulated: streams that lose or repeat bytes (TCP does not), wall clocks, containers and nodes with a time to
live, persistent watches, observers, reconfiguration, TLS, SASL, four-letter words.
"""

from .disk import Disk
from .ensemble import SimulatedEnsemble
from .links import Weather
from .loop import Stalled
from .server import Server
from .simulation import Simulation, run

__all__ = ["Disk", "Server", "SimulatedEnsemble", "Simulation", "Stalled", "Weather", "run"]
