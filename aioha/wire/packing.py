"""Transactions as bytes. Nothing here is sent.

aiozk packs field by field, with a format string made for each request; of a takeover's short time that was a part.
What is packed here is byte for byte the same.
"""

import struct
from typing import Any

from .untyped import protocol

__all__ = ["Transaction"]

_HEADER = struct.Struct(">i?i")  # in front of each operation: opcode, whether it is the end, error
_INT = struct.Struct(">i")
_NO_ERROR = -1
_END = _HEADER.pack(-1, True, _NO_ERROR)


class Transaction(protocol.TransactionRequest):  # type: ignore[misc]  # a base class without types
    """A `multi` of `create`, `set_data`, `delete` and `check` requests."""

    def serialize(self, xid: int | None = None) -> bytes:
        parts = [_INT.pack(self.opcode)] if xid is None else [_INT.pack(xid), _INT.pack(self.opcode)]
        for request in self.requests:
            parts += (_HEADER.pack(request.opcode, False, _NO_ERROR), _body(request))
        return b"".join((*parts, _END))


def _body(request: Any) -> bytes:
    if isinstance(request, protocol.CreateRequest):
        return _text(request.path) + _buffer(request.data) + _acl(request.acl) + _INT.pack(request.flags)
    if isinstance(request, protocol.SetDataRequest):
        return _text(request.path) + _buffer(request.data) + _INT.pack(request.version)
    return _text(request.path) + _INT.pack(request.version)


def _acl(acl: list[Any]) -> bytes:
    entries = (_INT.pack(each.perms) + _text(each.id.scheme) + _text(each.id.id) for each in acl)
    return _INT.pack(len(acl)) + b"".join(entries)


def _text(text: str) -> bytes:
    return _buffer(text.encode())


def _buffer(data: bytes) -> bytes:
    return _INT.pack(len(data)) + data
