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
        self._relay: float | None = None  # the quickest trip of late to the ensemble's leader: who takes us back asks there
        self._is_guess = False  # it is how long the last server took to take us back
        self._measured = NEVER_YET
        self._authenticates = authenticates

    def attached(self, sent: float, replied: float, *, created: bool) -> None:
        """A server has taken us. `created`: a new session, to which a quorum must agree, and that may take its time."""
        if not created:
            self._relay, self._is_guess = replied - sent, True

    def answered(self, sent: float, replied: float) -> None:
        """A request was answered."""
        if sent >= self._measured:  # not with each of many that were on their way together
            self._measured, self.round_trip = replied, self.round_trip * GROWTH
        self.round_trip = min(replied - sent, self.round_trip or NEVER)

    def relayed(self, sent: float, replied: float) -> None:
        """Something was answered that had to go to the ensemble's leader."""
        known = NEVER if self._relay is None or self._is_guess else self._relay * GROWTH
        self._relay, self._is_guess = min(replied - sent, known or NEVER), False

    @property
    def knows_leader(self) -> bool:
        """How far the ensemble's leader is."""
        return self._relay is not None

    @property
    def trips(self) -> tuple[float, float]:
        """To the server and back, and to the ensemble's leader; 0 before it is known."""
        return self.round_trip, self._relay or 0.0

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
        return 2 * max(self.trips) + trips * self.round_trip + SLACK
