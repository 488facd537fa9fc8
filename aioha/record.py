"""The record: who took the election over last, kept beside it. Pure: bytes in, a `Record` out, and back.

In the `ephemeral` layout only takeovers write it, so its version is what fences, and the zxid of its last change is the
zxid at which the last term began: the token is not in here, it *is* that zxid (plus `token_base`, where tokens had to be
lifted). In a queue the leader writes it when it leads already, and once more at its clean end, and says its token.
Unknown fields are kept: a newer aioha may share the election. What stands there is anybody's, and may be rubbish.
"""

import base64
import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from .ended import brief, newest
from .leaders import Predecessor

__all__ = ["LARGEST_BASE", "MOST_BYTES", "Record", "data_fields", "parse_record", "read_data"]

LARGEST = LARGEST_BASE = 2**62 - 1  # of numbers: far above every zxid, and what follows it still has 64 bits
LARGEST_ESCAPED = 1024  # bytes: so short a text stays readable whatever it holds
DEEPEST = 20  # nesting of unknown fields: deeper ones could be read here and be too deep to write elsewhere
MOST_BYTES = 128 * 1024  # of all of it: a takeover that servers refuse for its size would be refused for ever
DAY = 86400.0
_KNOWN = (
    "number",
    "identity",
    "data",
    "data_base64",
    "stop_grace",
    "owed_token",
    "owed_grace",
    "token_base",
    "token",
    "ended",
    "unfenced",
)


@dataclass(frozen=True, slots=True)
class Record:
    """The account of the last takeover. `number` 0: there has been none.

    `stop_grace`: seconds that its work may need to end. `owed_grace`: the same of the terms up to `owed_token`, of which
    it was not known at the takeover whether their work had ended.
    `unfenced`: those terms themselves, newest first, as far as no fence hook was known to have returned for them: the
    newest 16, and of each one's data at most 256 bytes (longer data is left out). `<path>.aioha/ended` says which are done
    with since. `token`, `ended`: of a queue's last term, and whether it has ended cleanly.
    """

    number: int = 0
    identity: str = ""
    data: bytes = b""
    stop_grace: float = 0.0
    token_base: int = 0
    owed_token: int = 0
    owed_grace: float = 0.0
    unknown: Mapping[str, Any] = field(default_factory=dict[str, Any])
    unfenced: tuple[Predecessor, ...] = ()
    token: int = 0
    ended: bool = False

    def successor(
        self,
        identity: str,
        data: bytes,
        stop_grace: float,
        token_base: int,
        owed: tuple[int, float] = (0, 0.0),
        unfenced: Iterable[Predecessor] = (),
    ) -> "Record":
        """The record that a takeover after this one writes."""
        kept = newest(map(brief, unfenced))
        return Record(self.number + 1, identity, data, stop_grace, token_base, *owed, self.unknown, kept)

    def encode(self) -> bytes:
        packed = self._encode(self.unknown)
        return packed if len(packed) <= MOST_BYTES else self._encode({})

    def _encode(self, unknown: Mapping[str, Any]) -> bytes:
        fields: dict[str, Any] = {**unknown, "number": self.number, "identity": self.identity}
        fields.update(data_fields(self.data))
        fields["stop_grace"] = self.stop_grace
        if self.token_base:
            fields["token_base"] = self.token_base
        if self.token:
            fields["token"], fields["ended"] = self.token, self.ended
        if self.owed_grace:
            fields["owed_token"], fields["owed_grace"] = self.owed_token, self.owed_grace
        if self.unfenced:
            fields["unfenced"] = [
                {"token": each.token, "identity": each.identity, **data_fields(each.data)} for each in self.unfenced
            ]
        try:
            return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:  # JSON can hold half a surrogate pair, UTF-8 cannot; a takeover must not fail for it
            return json.dumps(fields, separators=(",", ":")).encode()


def parse_record(raw: bytes) -> Record:
    """Raises `ValueError` saying what is wrong with it. No bytes at all: nobody has led yet."""
    if not raw:
        return Record()
    if len(raw) > MOST_BYTES:
        raise ValueError(f"{len(raw)} bytes long: {raw[:40]!r}")
    try:
        parsed: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError(f"not JSON: {raw[:40]!r}") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"not a JSON object: {raw[:40]!r}")
    fields = cast("dict[str, Any]", parsed)
    number = _field(fields, "number", int, 0)
    stop_grace = _field(fields, "stop_grace", (int, float), 0.0)
    token_base = _field(fields, "token_base", int, 0)
    owed_token = _field(fields, "owed_token", int, 0)
    owed_grace = _field(fields, "owed_grace", (int, float), 0.0)
    token = _field(fields, "token", int, 0)
    for name, value, most in (
        ("number", number, LARGEST),
        ("token_base", token_base, LARGEST),
        ("stop_grace", stop_grace, DAY),
        ("owed_token", owed_token, 2 * LARGEST),
        ("token", token, 2 * LARGEST),
        ("owed_grace", owed_grace, DAY),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"{name} is out of range")
    return Record(
        number,
        _field(fields, "identity", str, ""),
        read_data(fields),
        float(stop_grace),
        token_base,
        owed_token if owed_grace else 0,  # of nothing that is owed
        float(owed_grace),
        {key: value for key, value in fields.items() if key not in _KNOWN and _can_be_kept(value, DEEPEST)},
        newest(map(_read_unfenced, _field(fields, "unfenced", list, []))),
        token,
        _flag(fields, "ended") if token else False,
    )


def _read_unfenced(line: Any) -> Predecessor:
    if not isinstance(line, dict):
        raise ValueError(f"unfenced holds a {type(line).__name__}")
    fields = cast("dict[str, Any]", line)
    token = _field(fields, "token", int, 0)
    if not 0 < token <= 2 * LARGEST:
        raise ValueError("unfenced: token is out of range")
    return brief(Predecessor(_field(fields, "identity", str, ""), read_data(fields), token, ended_cleanly=False))


def _field(fields: dict[str, Any], name: str, kind: type | tuple[type, ...], default: Any) -> Any:
    value = fields.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} is of type {type(value).__name__}")
    return value


def _flag(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is of type {type(value).__name__}")
    return value


def _can_be_kept(value: Any, levels: int) -> bool:
    """Whether others can read it when we have written it: Python alone writes NaN and Infinity."""
    if isinstance(value, float):
        return math.isfinite(value)
    inside: Any = value.values() if hasattr(value, "values") else value
    if isinstance(value, str) or not hasattr(inside, "__iter__"):
        return True
    return levels > 0 and all(_can_be_kept(each, levels - 1) for each in inside)


def data_fields(data: bytes) -> dict[str, str]:
    """Bytes as JSON can hold them: as text, unless that is longer, as of control characters, each of which becomes six."""
    packed = base64.b64encode(data).decode()
    with contextlib.suppress(UnicodeDecodeError):
        text = data.decode()
        if len(json.dumps(text, ensure_ascii=False).encode()) <= max(len(packed), LARGEST_ESCAPED):
            return {"data": text}
    return {"data_base64": packed}


def read_data(fields: dict[str, Any]) -> bytes:
    """The bytes of `data_fields`. Raises `ValueError`."""
    if "data_base64" not in fields:
        return cast("str", _field(fields, "data", str, "")).encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(_field(fields, "data_base64", str, ""), validate=True)
    except ValueError:  # also of text that is not even ASCII
        raise ValueError("data_base64 is not base64") from None
