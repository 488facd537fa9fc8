"""The dialects of queues: how the members of an election are named by the software that we share it with. Pure.

A member is a child of the election's path. Its name ends with the sequence number that the servers gave it, signed and
32 bits wide: after 2^31 members it goes on at -2^31. So there is no smallest number, only "ahead of that one".
"""

import re
import uuid
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["DIALECTS", "LINE", "Dialect", "sequence_name", "the_one_before"]

_NUMBER = r"(-\d{9,10}|\d{10})$"
_HALF, _WHOLE = 1 << 31, 1 << 32
_SIGNED = 28  # hex digits of a GUID, of 32


@dataclass(frozen=True, slots=True)
class Dialect:
    """`name`: the layout's; `software`: whose it is; `pattern` finds the number in a member's name."""

    name: str
    software: str
    pattern: re.Pattern[str]
    before: str  # the GUID in the name of a member; empty where names have none
    after: str
    dashes: bool = False  # in the GUID
    is_unique: bool = True  # whether a stem is never used twice; if not, a name says nothing about whose the node is

    def new_stem(self) -> str:
        """A new member's name, but for the number that the servers append; no other member has it, if it has a GUID."""
        return f"{self.before}{self._guid()}{self.after}"

    def is_ours(self, child: str) -> bool:
        """Whether some aioha has made this member, as its GUID shows; False where names have none. Wrong for one in 65,536
        of others' members.
        """
        digits = "".join(re.findall("[0-9a-f]", child.removeprefix(self.before).partition(self.after)[0]))
        return self.is_unique and len(digits) == len(_signed("")) + _SIGNED and digits == _signed(digits[:_SIGNED])

    def number(self, child: str) -> int | None:
        """The sequence number of a member; None of a child that is none."""
        found = self.pattern.search(child)
        return int(found[1]) if found else None

    def in_order(self, children: Iterable[str]) -> list[str]:
        """The members among them, the first in line first."""
        numbers = {child: number for child in children if (number := self.number(child)) is not None}
        if not numbers:
            return []
        origin = next(iter(numbers.values()))
        return sorted(numbers, key=lambda child: (_distance(origin, numbers[child]), child))

    def _guid(self) -> str:
        if not self.is_unique:
            return ""
        guid = uuid.UUID(_signed(uuid.uuid4().hex[:_SIGNED]))
        return str(guid) if self.dashes else guid.hex


def the_one_before(number: int) -> int:
    """The sequence number that the servers gave before this one."""
    return (number - 1 + _HALF) % _WHOLE - _HALF


def sequence_name(number: int) -> str:
    """As the servers write it."""
    return f"{number:010d}"


def _signed(digits: str) -> str:
    """With a checksum behind it: so aioha knows its own, and others see a random GUID."""
    return f"{digits}{zlib.crc32(digits.encode()) & 0xFFFF:04x}"


def _distance(origin: int, number: int) -> int:
    return (number - origin + _HALF) % _WHOLE - _HALF


DIALECTS = {
    each.name: each
    for each in (
        Dialect("latch", "Curator's LeaderLatch", re.compile("latch-" + _NUMBER), "_c_", "-latch-", dashes=True),
        Dialect("selector", "Curator's LeaderSelector", re.compile("(?<!_)lock-" + _NUMBER), "_c_", "-lock-", dashes=True),
        Dialect("go-zk", "go-zookeeper's Lock", re.compile("(?<!_)lock-" + _NUMBER), "_c_", "-lock-"),
        Dialect("kazoo", "kazoo's Election", re.compile("__lock__" + _NUMBER), "", "__lock__"),
        Dialect("zk-recipes", "ZooKeeper's LeaderElectionSupport", re.compile("^n_" + _NUMBER), "", "n_", is_unique=False),
    )
}
LINE = Dialect("line", "aioha", re.compile("^" + _NUMBER), "", "", is_unique=False)  # of standbys, beside an election
