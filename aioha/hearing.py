"""How soon we hear of it if somebody closes our session: what follows from how long servers have taken to answer. Pure.

Anybody who knows a session may close it, and its ephemeral nodes are gone at once. Whoever leads next begins to wait then,
for as long as our record asks for; so it asks for the time until we know, too. All durations are in seconds.
"""

__all__ = ["Hearing"]

ANSWER, ANSWER_SHARE = 0.05, 3  # seconds, round trips: whichever is longer, until a first answer where there is doubt
SLACK = 0.1  # for `ANSWER`, a pause before the next connection, and what a busy machine takes
GROWTH = 1.1  # of the round trip from one measurement to the next, so that a link that has become slower shows
NEVER, NEVER_YET = float("inf"), float("-inf")


class Hearing:
    """Of one session. `round_trip`: the quickest of late, so the link's share and not the server's; 0 before there is one.
    `authenticates`: each connection, once it is attached.
    """

    def __init__(self, *, authenticates: bool = False) -> None:
        self.round_trip = 0.0
        self._greeting = 0.0  # how long the last server took to attach us; most of them ask another one
        self._measured = NEVER_YET
        self._authenticates = authenticates

    def attached(self, sent: float, replied: float) -> None:
        """A server has taken us."""
        self._greeting = replied - sent

    def answered(self, sent: float, replied: float) -> None:
        """A request was answered."""
        if sent >= self._measured:  # not with each of many that were on their way together
            self._measured, self.round_trip = replied, self.round_trip * GROWTH
        self.round_trip = min(replied - sent, self.round_trip or NEVER)

    @property
    def patience(self) -> float:
        """With a server that has taken us in, and may say nothing more."""
        return max(ANSWER, self.round_trip * ANSWER_SHARE)

    @property
    def within(self) -> float:
        """We know by then, as things are now: the end of the stream, a connection to a server that takes us in and then
        says nothing, and another one that tells.
        """
        trips = ANSWER_SHARE + 1 + self._authenticates
        return 2 * self._greeting + trips * self.round_trip + SLACK
