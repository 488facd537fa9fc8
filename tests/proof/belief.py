"""Whether a candidate believes too long, judged at every moment and not only when a session has happened to expire.

The ensemble's leader knows when each session ends if nothing more of it arrives. Were the candidate and its server cut
off at this very moment, that is when others could lead: no lease may reach further.
"""

from aioha.testing.checks import ROUNDING
from aioha.testing.simulated import SimulatedEnsemble
from aioha.testing.simulated.leading import Leading

__all__ = ["too_long"]


def too_long(ensemble: SimulatedEnsemble, session: int, deadline: float, now: float) -> str | None:
    """What is wrong with a lease that is believed until `deadline`, in virtual time; None: nothing, or nobody knows.

    Nobody knows while no server leads: the next one gives every session a full timeout. Sessions that are over are
    told as EXPIRED.
    """
    if deadline <= now:
        return None
    roles = [s.role for s in ensemble.servers if s.alive and isinstance(s.role, Leading) and s.role.front is not None]
    if not roles:
        return None
    newest = max(roles, key=lambda role: role.epoch)
    if any(server.disk.current_epoch > newest.epoch for server in ensemble.servers):
        return None  # a leader that was deposed while it hung, and the next one has gone already
    kept = newest.sessions._sessions.get(session)
    if kept is None or kept.is_closing or deadline <= kept.expires + ROUNDING:
        return None
    return f"believes in its lease {deadline - kept.expires:.3f} s longer than its session lasts if it is cut off now"
