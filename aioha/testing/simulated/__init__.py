"""ZooKeeper in virtual time: simulated servers, links and clocks for unchanged clients.

    async def main(simulation):
        ensemble = await simulation.ensemble(3)
        async with Elector(ensemble.where("/election"), clock=simulation.clock) as elector:
            ...

    run(main, seed=7)

What is simulated, and held to the real servers by one conformance suite: sessions with their touch tables and tick
buckets, watches, multi, ACL, elections among the servers, lagging and cut-off ones. What is not: containers and nodes
with a time to live, persistent watches, observers, reconfiguration, TLS, SASL, four-letter words.
"""

from .ensemble import SimulatedEnsemble
from .links import Weather
from .loop import Stalled
from .server import Server
from .simulation import Simulation, run

__all__ = ["Server", "SimulatedEnsemble", "Simulation", "Stalled", "Weather", "run"]
