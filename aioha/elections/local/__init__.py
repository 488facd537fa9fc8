"""Elections on one host, with no server: whoever holds a lock file and the socket named after it leads.

`place` decides where the file may lie, `record` what it says, `storage` how it gets onto the disk, `lockfile` who holds
it, `presence` when to try again, `view` what others see; `grant` is a term, and `election` puts them together.
"""

from .election import LocalElection
from .grant import LocalGrant
from .record import RecordedTerm

__all__ = ["LocalElection", "LocalGrant", "RecordedTerm"]
