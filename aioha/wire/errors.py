"""ZooKeeper's error codes as exceptions, for the layers above, which must not import aiozk.

Two of them carry a meaning of their own here. `ConnectionLoss`: the request was sent and its outcome is unknown.
`SessionExpired`: the session is over, and nothing that was asked of it afterwards happened.
"""

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false, reportUnknownMemberType=false
# (aiozk carries no types)
from aiozk.exc import (
    AuthFailed,
    BadArguments,
    BadVersion,
    ConnectionLoss,
    NoAuth,
    NodeExists,
    NoNode,
    NotEmpty,
    OperationTimeout,
    ResponseError,
    RolledBack,
    RuntimeInconsistency,
    SessionExpired,
    SessionMoved,
    UnknownSession,
    response_error_xref,
)

__all__ = [
    "AuthFailed",
    "BadArguments",
    "BadVersion",
    "ConnectionLoss",
    "NoAuth",
    "NoNode",
    "NodeExists",
    "NotEmpty",
    "OperationTimeout",
    "ProtocolError",
    "ResponseError",
    "RolledBack",
    "RuntimeInconsistency",
    "SessionExpired",
    "SessionMoved",
    "UnknownSession",
    "error_for",
]


class ProtocolError(ConnectionError):
    """What answered does not speak ZooKeeper's protocol."""


class UnlistedError(ResponseError):  # type: ignore[misc]  # a base class without types
    """An error code that aiozk has no class for."""

    error_code = None

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"ZooKeeper error {self.code}"


def error_for(code: int) -> ResponseError:
    """The exception for an error code. (aiozk's own look-up prints unknown codes to stdout.)"""
    known = response_error_xref.get(code)
    return known() if known is not None else UnlistedError(code)
