"""Somebody at the ensemble's leader with another client: what people do by hand to sessions and nodes. Takes no time."""

import itertools

from aioha.testing.simulated import SimulatedEnsemble
from aioha.testing.simulated import acl as acls
from aioha.testing.simulated.acl import Acl
from aioha.testing.simulated.codes import Op
from aioha.testing.simulated.jute import buffer, integer, text
from aioha.testing.simulated.leading import Leading
from aioha.testing.simulated.requests import Request
from aioha.testing.simulated.tree import Tree

__all__ = ["FIRST_SESSION", "Operator", "Unserved"]

FIRST_SESSION = 0x7AFE_0000_0000_0000
TIMEOUT = 4000  # ms
ANYONE = (("world", "anyone"), ("ip", "10.9.9.9"))
CLOSED_BY_HAND = 99  # xid


class Unserved(Exception):
    """No server leads now."""


class Operator:
    """Each method raises `Unserved`; what the servers refuse is not done, and nobody is told."""

    def __init__(self, ensemble: SimulatedEnsemble) -> None:
        self._ensemble = ensemble
        self._sessions = itertools.count(FIRST_SESSION)

    @property
    def tree(self) -> Tree:
        """As the ensemble's leader has it."""
        return self._leading().server.tree

    def create(self, path: str, data: bytes) -> None:
        self._commit(Op.CREATE, text(path) + buffer(data) + acls.packed(acls.OPEN) + integer(0))

    def set(self, path: str, data: bytes) -> None:
        self._commit(Op.SET, text(path) + buffer(data) + integer(-1))

    def set_acl(self, path: str, acl: Acl) -> None:
        self._commit(Op.SET_ACL, text(path) + acls.packed(acl) + integer(-1))

    def delete(self, *paths: str) -> None:
        """In this order; those that are there."""
        for path in paths:
            self._commit(Op.DELETE, text(path) + integer(-1))

    def close(self, session: int) -> None:
        """Whoever knows the id knows the password."""
        role = self._leading()
        role.propose(Request(session, CLOSED_BY_HAND, Op.CLOSE))

    def take(self, session: int, timeout: float) -> bool:
        """Attach somebody else's session from elsewhere. False: there is none."""
        return self._leading().take_over(session, round(timeout * 1000), object())

    def _commit(self, op: int, body: bytes) -> None:
        role, session = self._leading(), next(self._sessions)
        role.propose(Request(session, 0, Op.CREATE_SESSION, integer(TIMEOUT), (), self))
        role.propose(Request(session, 1, op, body, ANYONE, self))
        role.propose(Request(session, CLOSED_BY_HAND, Op.CLOSE, b"", (), self))

    def _leading(self) -> Leading:
        roles = [s.role for s in self._ensemble.servers if s.alive and isinstance(s.role, Leading) and s.role.front]
        roles = [role for role in roles if not self._ensemble.network.loop.is_frozen(role.server.name)]
        if not roles:
            raise Unserved
        return max(roles, key=lambda role: role.epoch)
