"""A server that looks for a leader: ZooKeeper's fast leader election.

Everybody tells everybody for whom it votes; who hears of a better candidate (newer epoch, newer data, higher number)
joins it and says so. When a quorum votes alike, and nothing better comes for a moment, that is decided. Servers that
have a leader answer with it, and who hears so from a quorum and from that leader joins.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .server import Server

__all__ = ["Looking", "Vote"]

Vote = tuple[int, int, int]  # epoch, newest zxid, number of the server; the greatest wins
FINALIZE = 0.2  # seconds
LONGEST_NOTIFICATION = 60.0  # seconds between repetitions, doubled from FINALIZE on


class Looking:
    """See the head of this file. Ends by `server.decide`."""

    mode = None

    def __init__(self, server: "Server") -> None:
        self._server = server
        server.round += 1
        self._vote: Vote = server.vote
        self._votes: dict[int, Vote] = {}
        self._decided: dict[int, tuple[str, int, Vote]] = {}  # by servers that look no longer
        self._pause = FINALIZE
        self._repeat = server.later(0, self._notify)
        self._end = server.later(0, _nothing)

    def start(self) -> None:
        """Nothing: the first notification is on its way."""

    def stop(self) -> None:
        self._repeat.cancel()
        self._end.cancel()

    def hear(self, sender: int, mode: str | None, round_: int, vote: Vote) -> None:
        server = self._server
        if mode is not None:
            self._join(sender, mode, round_, vote)
            return
        if round_ < server.round:
            server.tell(sender, None, server.round, self._vote)
            return
        better = vote > self._vote
        if round_ > server.round:
            server.round, self._votes = round_, {}
            self._vote, better = max(vote, server.vote), True
        elif better:
            self._vote = vote
        if better:
            self._end.cancel()
            self._tell_all()
        self._votes[sender] = vote
        self._count()

    def _count(self) -> None:
        alike = sum(vote == self._vote for vote in (self._vote, *self._votes.values()))
        self._end.cancel()
        if alike >= self._server.quorum:
            self._end = self._server.later(FINALIZE, self._server.decide, self._vote)

    def _join(self, sender: int, mode: str, round_: int, vote: Vote) -> None:
        server = self._server
        self._decided[sender] = (mode, round_, vote)
        # Whom they follow, and in which epoch: they may have come to it in different rounds (`Vote.equals`, ZOOKEEPER-1805).
        alike = [who for who, (_, _, (epoch, _, leader)) in self._decided.items() if (epoch, leader) == (vote[0], vote[2])]
        own = 1 if round_ == server.round and vote == self._vote else 0  # we vote like them, and may complete the quorum
        leads = vote[2] in alike and self._decided[vote[2]][0] == "leader"
        if len(alike) + own >= server.quorum and (leads or (vote[2] == server.number and own)):
            server.round = round_
            server.decide(vote)

    def _notify(self) -> None:
        self._tell_all()
        self._repeat = self._server.later(self._pause, self._notify)
        self._pause = min(self._pause * 2, LONGEST_NOTIFICATION)

    def _tell_all(self) -> None:
        for other in self._server.others:
            self._server.tell(other, None, self._server.round, self._vote)


def _nothing() -> None:
    """A timer that was never needed."""
