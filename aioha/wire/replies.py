"""Reading what servers answer. Nothing here is asked.

The results are aiozk's objects, which users of `term.zookeeper` get too. The frequent ones are unpacked in one go: aiozk
reads field by field, and of a takeover's short time that was a part.
"""

import struct
from typing import Any

from .errors import error_for
from .untyped import protocol

__all__ = ["MULTI", "decode", "watch_event"]

MULTI: int = protocol.TransactionRequest.opcode
_SET_DATA: int = protocol.SetDataRequest.opcode
_EXISTS: int = protocol.ExistsRequest.opcode
_SYNC: int = protocol.SyncRequest.opcode
_STAT = struct.Struct(">qqqqiiiqiiq")
_STAT_FIELDS = tuple(name for name, _ in protocol.stat.Stat.parts)
_HEADER = struct.Struct(">i?i")  # of each result in a `multi`: opcode, whether it was the last, error
_INT = struct.Struct(">i")
_EVENT = struct.Struct(">iii")  # type, state, size of the path
_ERROR = -1


def decode(opcode: int, body: bytes) -> Any:
    """The reply to a request of this kind; None where it has none."""
    if opcode == MULTI:
        return _multi(body)
    if opcode in (_EXISTS, _SET_DATA):
        return _with_stat(protocol.response_xref[opcode], body, 0)
    if opcode == _SYNC:
        return _sync(body)
    response = protocol.response_xref.get(opcode)
    return None if response is None else response.deserialize(body)


def watch_event(frame: bytes, offset: int) -> tuple[int, str]:
    """Its type, and the path that it is about."""
    kind, _, size = _EVENT.unpack_from(frame, offset)
    path: bytes = struct.unpack_from(f">{0 if size == -1 else size}s", frame, offset + _EVENT.size)[0]
    return kind, path.decode()


def _multi(body: bytes) -> Any:
    """As aiozk's, but unknown error codes become exceptions rather than lines on the user's stdout."""
    transaction = protocol.TransactionResponse()
    opcode, done, _ = _HEADER.unpack_from(body, 0)
    offset = _HEADER.size
    while not done:
        if opcode == _ERROR:
            transaction.responses.append(error_for(_INT.unpack_from(body, offset)[0]))
            offset += _INT.size
        elif opcode == _SET_DATA:
            transaction.responses.append(_with_stat(protocol.response_xref[opcode], body, offset))
            offset += _STAT.size
        else:
            response, offset = protocol.response_xref[opcode].parse(body, offset)
            transaction.responses.append(response)
        opcode, done, _ = _HEADER.unpack_from(body, offset)
        offset += _HEADER.size
    return transaction


def _sync(body: bytes) -> Any:
    (size,) = _INT.unpack_from(body)
    path = None if size == -1 else struct.unpack_from(f">{size}s", body, _INT.size)[0].decode()
    return protocol.response_xref[_SYNC](path=path)


def _with_stat(response: Any, body: bytes, offset: int) -> Any:
    stat = protocol.stat.Stat()
    stat.__dict__.update(zip(_STAT_FIELDS, _STAT.unpack_from(body, offset), strict=True))
    return response(stat=stat)
