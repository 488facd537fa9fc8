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
        self._greeting = 0.0  # how long the last server took to take us back; most of them ask another one
        self._relay = 0.0  # the quickest trip to the ensemble's leader: whoever takes us back asks there
        self._measured = NEVER_YET
        self._authenticates = authenticates

    def attached(self, sent: float, replied: float, *, created: bool) -> None:
        """A server has taken us. `created`: a new session, to which a quorum must agree, and that may take its time."""
        self._greeting = 0.0 if created else replied - sent

    def answered(self, sent: float, replied: float) -> None:
        """A request was answered."""
        if sent >= self._measured:  # not with each of many that were on their way together
            self._measured, self.round_trip = replied, self.round_trip * GROWTH
        self.round_trip = min(replied - sent, self.round_trip or NEVER)

    def relayed(self, sent: float, replied: float) -> None:
        """Something was answered that had to go to the ensemble's leader."""
        self._relay = min(replied - sent, self._relay * GROWTH or NEVER)

    @property
    def patience(self) -> float:
        """With a server that has taken us in, and may say nothing more."""
        return max(ANSWER, self.round_trip * ANSWER_SHARE)

    @property
    def within(self) -> float:
        """So long after our session was closed we know it, as things are now: a server is just taking us in then, and says
        nothing more; another connection, and a server that tells.
        """
        trips = ANSWER_SHARE + 1 + self._authenticates
        return 2 * max(self._greeting, self._relay, self.round_trip) + trips * self.round_trip + SLACK
