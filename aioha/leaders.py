"""Who leads and who led before: the facts that every layer names, and hands to users as they are.

They lie below all layers because options speak of them (`fence` takes a `Predecessor`), and so do stores' records.
"""

from dataclasses import dataclass

__all__ = ["Leader", "Predecessor"]


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads, as everybody can see it.

    `since` is Unix time in seconds, by the store's clock: for people, never for decisions.
    """

    identity: str
    data: bytes
    token: int
    since: float


@dataclass(frozen=True, slots=True)
class Predecessor:
    """Who led before this term, and whether that term's work is known to have ended.

    `identity` is "" where the store's account of terms could not be read: it may have been any candidate, and more than
    one. Given to a fence hook, `data` is empty where it was longer than 256 bytes and another term lies between.
    """

    identity: str
    data: bytes
    token: int
    ended_cleanly: bool
