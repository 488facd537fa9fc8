"""What tests of leader election need: a real ensemble to break, and a proxy that fails as networks do.

For users' tests as well as our own. Needs Debian's `zookeeper` package for `Ensemble`; pytest fixtures are in
`aioha.testing.fixtures`.
"""

from .ensemble import Ensemble
from .frames import Op
from .java import ZooKeeperMissing
from .leaks import no_leaks
from .proxy import Proxy
from .server import Server

__all__ = ["Ensemble", "Op", "Proxy", "Server", "ZooKeeperMissing", "no_leaks"]
