"""ZooKeeper's wire format, byte by byte: how its servers read requests and write replies."""

import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

__all__ = ["Malformed", "Reader", "buffer", "integer", "long", "text", "texts"]

T = TypeVar("T")
_INT, _LONG = struct.Struct(">i"), struct.Struct(">q")
MOST = 100_000  # elements of a list; what claims more is rubbish


class Malformed(ValueError):
    """What was sent cannot be read as what it ought to be."""


class Reader:
    """Reads one frame from its beginning. Raises `Malformed` at its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise Malformed(f"{size} bytes expected, {len(self._data) - start} there")
        return self._data[start : self._at]

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        """Several numbers in one go."""
        start, self._at = self._at, self._at + form.size
        if self._at > len(self._data):
            raise Malformed(f"{form.size} bytes expected, {len(self._data) - start} there")
        return form.unpack_from(self._data, start)

    def integer(self) -> int:
        number: int
        (number,) = self.unpack(_INT)
        return number

    def long(self) -> int:
        number: int
        (number,) = self.unpack(_LONG)
        return number

    def boolean(self) -> bool:
        return self._take(1) != b"\0"

    def buffer(self) -> bytes | None:
        """None is null, which is not the same as empty."""
        size = self.integer()
        return None if size < 0 else self._take(size)

    def text(self) -> str:
        data = self.buffer()
        if data is None:
            raise Malformed("null where a text is needed")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise Malformed(str(error)) from None

    def many(self, read: Callable[[], T]) -> list[T]:
        """A list of what `read` reads; a null one is empty."""
        count = self.integer()
        if count > MOST:
            raise Malformed(f"a list of {count}")
        return [read() for _ in range(count)]

    @property
    def is_at_end(self) -> bool:
        return self._at >= len(self._data)


def integer(value: int) -> bytes:
    return _INT.pack(value)


def long(value: int) -> bytes:
    return _LONG.pack(value)


def buffer(data: bytes | None) -> bytes:
    return _INT.pack(-1) if data is None else _INT.pack(len(data)) + data


def text(value: str) -> bytes:
    return buffer(value.encode())


def texts(values: Sequence[str]) -> bytes:
    return _INT.pack(len(values)) + b"".join(text(value) for value in values)
