"""All options of an elector, with their defaults and the relations that must hold among them.

Keyword arguments win over options in the `where`. Relations that need no server are checked here; those that need
the negotiated session timeout are checked by `grace_within` once it is known.
"""

import math
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, Unpack, cast

from .clock import Clock, boottime
from .errors import SessionFailed
from .leaders import Predecessor
from .where import Where

__all__ = ["LAYOUTS", "FenceHook", "Options", "Settings"]

FenceHook = Callable[[Predecessor], Awaitable[None]]

LAYOUTS = ("ephemeral", "mooon", "latch", "selector", "kazoo", "go-zk", "zk-recipes", "hadoop")
Layout = Literal["ephemeral", "mooon", "latch", "selector", "kazoo", "go-zk", "zk-recipes", "hadoop"]
GRACE_SHARE = 0.25  # stop_grace may take at most this part of the session timeout
DEFAULT_GRACE_SHARE = 0.1
MOST_DATA = 400 * 1024  # bytes: a takeover holds them twice, and the record, and servers hang up on more than 1 MiB
MOST_IDENTITY = 1000  # bytes: the record holds those of 17 terms
LONGEST_TIMEOUT = 2**31 / 1000 - 1  # seconds: it travels as 32 bits of milliseconds
LARGEST_TOKEN = 2**63 - 1  # what stores of tokens can compare, and what ZooKeeper counts with


class Options(TypedDict, total=False):
    """Keyword arguments of `Elector`; all durations are seconds."""

    identity: str
    data: bytes
    layout: Layout
    session_timeout: float
    stop_grace: float | None
    takeover_delay: float
    connect_timeout: float
    on_failure: Literal["raise", "exit", "retry"]
    on_stuck: Literal["log", "exit"]
    tick: float | None
    lease: Literal["quorum", "ping"]
    guardian: Literal[False, True, "tree"]
    record: bool
    token_floor: int
    fence: FenceHook | None
    acl: Sequence[Any] | None
    clock: Clock


def _default_identity() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an elector was asked for. Durations are seconds as float.

    identity: this candidate's name, unique in its election; default `host:pid:random`.
    data: what observers see; default the identity.
    layout: how the election lies in znodes: "ephemeral"; or another system's, to share an election with it.
    session_timeout: asked of the servers, which may clamp it; the negotiated value counts.
    stop_grace: the work's time to end, inside the lease; None: a tenth of the negotiated session timeout.
    takeover_delay: wait between winning and working, for elections shared with software that has no lease.
    connect_timeout: bound on the first connect; `inf` starts anyway and waits.
    on_failure: what happens when background work (`work=`) fails.
    on_stuck: what happens to work that still runs at its deadline: "log", or "exit": the process ends with 75.
    tick: the servers' tickTime, if known; tightens the lease.
    lease: "quorum", or "ping" for a lone server.
    guardian: a process that closes our session when we die, and kills us when we hang past our lease; True, or "tree":
        it also kills every process that we have started, rather than wait for those to end.
    record: keep the account of terms beside the election.
    token_floor: every token will be above it (for a move from a store whose tokens were higher).
    fence: awaited before the work for each earlier term that did not end cleanly and for which no candidate's has
        returned yet, newest first; if it raises, we resign. Needs the record.
    acl: ACL of every node created; None: open to all. A sequence of `aiozk.ACL`.
    """

    identity: str = field(default_factory=_default_identity)
    data: bytes | None = None
    layout: Layout = "ephemeral"
    session_timeout: float = 10.0
    stop_grace: float | None = None
    takeover_delay: float = 0.0
    connect_timeout: float = 30.0
    on_failure: Literal["raise", "exit", "retry"] = "raise"
    on_stuck: Literal["log", "exit"] = "log"
    tick: float | None = None
    lease: Literal["quorum", "ping"] = "quorum"
    guardian: Literal[False, True, "tree"] = False
    record: bool = True
    token_floor: int = 0
    fence: FenceHook | None = None
    acl: Sequence[Any] | None = None
    clock: Clock = boottime

    @classmethod
    def resolve(cls, where: Where, **given: Unpack[Options]) -> "Settings":
        """Options of the `where`, overruled by keyword arguments.

        Raises `ValueError` for an unknown option, an unusable value, or durations that do not fit together.
        """
        return cls.of(cls.read(where.options), given)

    @classmethod
    def of(cls, *layers: Options) -> "Settings":
        """Options laid over one another, the last on top. Raises `ValueError`."""
        options: dict[str, Any] = {}
        for layer in layers:
            options.update(layer)
        unknown = sorted(set(options) - set(Options.__annotations__))
        if unknown:
            raise ValueError(f"unknown option {unknown[0]!r}; known: {', '.join(sorted(Options.__annotations__))}")
        return cls(**options)

    @staticmethod
    def read(texts: Mapping[str, str]) -> Options:
        """Options as written in a `where`. Raises `ValueError`."""
        return cast("Options", {name: _from_text(name, text) for name, text in texts.items()})

    def __post_init__(self) -> None:
        _check_type("identity", self.identity, str, "text")
        if not self.identity or not self.identity.isprintable():
            raise ValueError(f"identity: must be printable and not empty, got {self.identity!r}")
        if len(self.identity.encode()) > MOST_IDENTITY:
            raise ValueError(f"identity: at most {MOST_IDENTITY} bytes, got {len(self.identity.encode())}")
        if self.data is not None:
            _check_type("data", self.data, bytes, "bytes")
            if len(self.data) > MOST_DATA:
                raise ValueError(f"data: at most {MOST_DATA} bytes, got {len(self.data)}")
        _check_choice("layout", self.layout, LAYOUTS)
        _check_choice("on_failure", self.on_failure, ("raise", "exit", "retry"))
        _check_choice("on_stuck", self.on_stuck, ("log", "exit"))
        _check_choice("lease", self.lease, ("quorum", "ping"))
        if not isinstance(self.guardian, bool) and self.guardian != "tree":
            raise ValueError(f"guardian: {self.guardian!r} is not one of True, False, 'tree'")
        _check_duration("session_timeout", self.session_timeout, above=0.0, longest=LONGEST_TIMEOUT)
        _check_duration("takeover_delay", self.takeover_delay)
        _check_duration("connect_timeout", self.connect_timeout, above=0.0, infinite=True)
        _check_type("record", self.record, bool, "True or False")
        self._check_token_floor()
        self._check_fence()
        if self.acl is not None and (isinstance(self.acl, str | bytes) or not isinstance(self.acl, Sequence)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ValueError(f"acl: must be a sequence of aiozk.ACL, got {type(self.acl).__name__}")
        if not callable(self.clock):
            raise ValueError(f"clock: must be a function that returns seconds, got {type(self.clock).__name__}")
        self._check_relations()

    def _check_token_floor(self) -> None:
        _check_type("token_floor", self.token_floor, int, "an integer")
        if self.token_floor < 0:
            raise ValueError(f"token_floor: must not be negative, got {self.token_floor}")
        if self.token_floor >= LARGEST_TOKEN:
            raise ValueError(f"token_floor: must be less than {LARGEST_TOKEN}: tokens are signed 64-bit numbers")

    def _check_fence(self) -> None:
        if self.fence is None:
            return
        if not callable(self.fence):
            raise ValueError(f"fence: must be an async function of the predecessor, got {type(self.fence).__name__}")
        without = "record=False" if not self.record else "layout='mooon'" if self.layout == "mooon" else None
        if without is not None and self.layout != "hadoop":  # where the breadcrumb tells
            raise ValueError(f"fence: not with {without}: no record is kept then, so nobody knows how the last term ended")

    def _check_relations(self) -> None:
        if self.stop_grace is not None:
            _check_duration("stop_grace", self.stop_grace)
            if self.stop_grace > self.session_timeout * GRACE_SHARE:
                raise ValueError(
                    f"stop_grace {self.stop_grace:g} s is more than a quarter of session_timeout "
                    f"{self.session_timeout:g} s; raise session_timeout to {self.stop_grace / GRACE_SHARE:g} s "
                    "or lower stop_grace"
                )
        if self.tick is not None:
            _check_duration("tick", self.tick, above=0.0)
            if self.tick * 2 > self.session_timeout:
                raise ValueError(
                    f"session_timeout {self.session_timeout:g} s is less than two ticks of {self.tick:g} s; "
                    f"servers grant at least {self.tick * 2:g} s"
                )

    @property
    def payload(self) -> bytes:
        """What observers see."""
        return self.identity.encode() if self.data is None else self.data

    def grace_within(self, timeout: float) -> float:
        """The work's time to end, for a negotiated session timeout. Raises `SessionFailed` if it does not fit."""
        if self.stop_grace is None:
            return timeout * DEFAULT_GRACE_SHARE
        if self.stop_grace > timeout * GRACE_SHARE:
            raise SessionFailed(
                f"stop_grace {self.stop_grace:g} s is more than a quarter of the session timeout {timeout:g} s that the "
                f"servers granted (asked for {self.session_timeout:g} s); lower it or raise their maxSessionTimeout"
            )
        return self.stop_grace


def _check_type(name: str, value: object, kind: type, called: str) -> None:
    """For callers that no type checker has seen; `bool` is not taken for a number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{name}: must be {called}, got {type(value).__name__}")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is not one of {', '.join(choices)}")


def _check_duration(
    name: str, value: object, *, above: float | None = None, infinite: bool = False, longest: float = math.inf
) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name}: must be a number of seconds, got {value!r}")
    try:
        seconds = float(value)
    except OverflowError:  # an int beyond every float
        raise ValueError(f"{name}: must be a finite number of seconds, got one beyond all bounds") from None
    if math.isnan(seconds) or (math.isinf(seconds) and not (infinite and seconds > 0)):
        raise ValueError(f"{name}: must be a finite number of seconds, got {seconds}")
    if above is not None and seconds <= above:
        raise ValueError(f"{name}: must be more than {above:g} s, got {seconds:g} s")
    if seconds < 0:
        raise ValueError(f"{name}: must not be negative, got {seconds:g} s")
    if seconds > longest:
        raise ValueError(f"{name}: must be at most {longest:.0f} s, got {seconds:g} s")


_DURATIONS = ("session_timeout", "stop_grace", "takeover_delay", "connect_timeout", "tick")
_TEXTS = ("identity", "layout", "lease", "on_failure", "on_stuck")
_GUARDIANS = {"true": True, "false": False, "tree": "tree"}


def _from_text(name: str, text: str) -> Any:
    if name in _TEXTS:
        return text
    if name == "guardian":
        if text not in _GUARDIANS:
            raise ValueError(f"where: option guardian={text!r} is not one of {', '.join(_GUARDIANS)}")
        return _GUARDIANS[text]
    if name not in _DURATIONS:
        known = ", ".join(sorted((*_TEXTS, *_DURATIONS, "guardian")))
        raise ValueError(f"where: unknown option {name!r}; known: {known}")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"where: option {name}={text!r} must be a number of seconds") from None
