"""What tests of leader election need: a real ensemble to break, a proxy that fails as networks do, and trials, which put
copies of your service through faults and judge what they did.

For users' tests as well as our own: docs/testing.md shows how. Needs Debian's `zookeeper` package for `Ensemble`; what
needs pytest is in `aioha.testing.fixtures`, and what runs in virtual time in `aioha.testing.simulated_trial`.
"""

from .candidate import Candidate
from .ensemble import Ensemble
from .frames import Op
from .java import ZooKeeperMissing
from .leaks import no_leaks
from .proxy import Proxy
from .real_trial import RealTrial
from .recording import assert_no_overlap, recorded
from .server import Server
from .trial import Trial

__all__ = [
    "Candidate",
    "Ensemble",
    "Op",
    "Proxy",
    "RealTrial",
    "Server",
    "Trial",
    "ZooKeeperMissing",
    "assert_no_overlap",
    "no_leaks",
    "recorded",
]
