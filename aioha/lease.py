"""Until when a session may believe that its ephemeral nodes still exist: pure arithmetic on send and reply times.

The rule (quorum lease). Three requests of one connection prove it, each sent after the reply to the former:

    a   any request. A follower answers it alone and only notes the touch.
    b   a small write that a quorum commits, sent at least `gap` after a's reply. By then the ensemble's leader has
        asked the follower for its touches (it does so each half tick), and the follower's answer, which holds a's
        touch, left before it delivered b's commit: one ordered stream.
    c   anything that travels to the ensemble's leader behind that answer; `sync` will do.

When c is answered, a's touch has arrived, stamped later than send(a): the session lives until send(a) + T at least.
Counting from "last reply" or "last acknowledged ping", as ZooKeeper's clients do, is too long by seconds behind a
follower that is cut off from its leader and still answers pings.

Relay first, for who may have to take over at any moment and has no time for c then. The same, in another order:

    a   as above.
    c'  a `sync`, sent at least `gap` after a's reply, and answered.
    b   a quorum-committed write, sent after the reply to c'.

On b's reply the session lives until send(a) + T: nothing more is needed. Between reply(a) and c' the ensemble's leader
has asked the follower for its touches, and the question stands before its answer to c' in the one queue of packets to
that follower (Leader.lead and Leader.processSync both end in LearnerHandler.queuePacket). The follower takes packets
one by one, writes the answer with a's touch into its one stream to the leader (Learner.ping), and only then delivers
c'. We send b after that, so it enters the same stream behind the touch (FollowerRequestProcessor), and the leader's one
reader of that stream has touched the session before it looks at b. If the answer is lost, so is b. That b was committed
says that no new leader stood before send(b), as above. On the ensemble's leader itself every touch is direct.
b's own commit says nothing about an answer to a question asked later than c': who counts c' before it is answered, or
leaves out the gap, counts from a touch that may never arrive.

An attach is touched at the ensemble's leader itself: a new session is proved by its own creation, a re-attached one
by the first write acknowledged on that connection. Nothing else counts while disconnected.

Clocks may run at rates that differ by `DRIFT`. Send times are taken before the bytes leave, so every error is early.
"""

from collections import deque
from dataclasses import dataclass

__all__ = ["DRIFT", "UNKNOWN_TICK_GAP", "Anchor", "Lease", "gap_for"]

DRIFT = 1e-3
UNKNOWN_TICK_GAP = 0.3  # of the session timeout: half a tick and slack, since servers grant at least two ticks
RESOLUTION = 1 / 32  # acknowledgements are kept this far apart, as a part of the gap
TICK_SLACK = 0.1  # seconds; half a tick is when the server *means* to ask, a busy one is late


def gap_for(timeout: float, tick: float | None) -> float:
    """Seconds between a's reply and b's sending."""
    return timeout * UNKNOWN_TICK_GAP if tick is None else tick / 2 + TICK_SLACK


@dataclass(frozen=True, slots=True)
class Anchor:
    """The send time from which a lease would be counted, and whether c's reply is needed to prove it."""

    sent: float
    needs_relay: bool


class Lease:
    """The lease of one session. All times are seconds on one monotonic clock.

    `tick`: the servers' tickTime if known. `pings_prove`: a lone server, where every reply proves the touch.
    """

    def __init__(self, *, tick: float | None = None, pings_prove: bool = False) -> None:
        self._tick = tick
        self._pings_prove = pings_prove
        self._timeout = float("inf")
        self._anchored = float("-inf")  # the newest proved send time
        self._attach_sent: float | None = None  # of this connection
        self._acks: deque[tuple[float, float]] = deque()  # (sent, replied), oldest first, of this connection
        self._relayed = float("-inf")  # the newest send time of which c' was answered, on this connection

    @property
    def timeout(self) -> float:
        """The smallest session timeout that any server granted to this session."""
        return self._timeout

    @property
    def pings_prove(self) -> bool:
        return self._pings_prove

    @property
    def length(self) -> float:
        """How long a lease lasts from its anchor."""
        return self._timeout * (1 - DRIFT)

    @property
    def gap(self) -> float:
        return gap_for(self._timeout, self._tick)

    @property
    def anchored(self) -> float:
        """When the newest proof was sent; `-inf` before there is one."""
        return self._anchored

    @property
    def deadline(self) -> float:
        """When everything that rests on the session must have ended; `-inf` before the first proof."""
        return self._anchored + self.length if self._anchored > float("-inf") else float("-inf")

    def attached(self, sent: float, timeout: float, *, created: bool) -> None:
        """A ConnectRequest sent at `sent` was granted; `created`: it made the session."""
        self._timeout = min(self._timeout, timeout)
        self._attach_sent = sent
        self._acks.clear()
        self._relayed = float("-inf")
        if created or self._pings_prove:
            self._prove(sent)

    def detached(self) -> None:
        """The connection is gone, and with it all that was acknowledged on it and not proved yet."""
        self._attach_sent = None
        self._acks.clear()
        self._relayed = float("-inf")

    def acknowledged(self, sent: float, replied: float) -> None:
        """A request of this connection was answered: a candidate for a."""
        if self._pings_prove:
            self._prove(sent)
            return
        acks = self._acks
        if acks and sent - acks[-1][0] < self.gap * RESOLUTION:
            return  # a busy connection would fill the memory; leaving one out only makes the lease shorter
        acks.append((sent, replied))
        horizon = sent - self.gap  # not from `replied`: it may be a c', and is counted from its sending
        while len(acks) > 1 and acks[1][1] <= horizon:  # an older one can never again be the newest that is old enough
            acks.popleft()

    def relayed(self, sent: float) -> None:
        """A `sync` of this connection, sent at `sent` or later, has just been answered: c'. Nothing that was sent before
        this call rests on it.
        """
        self._relayed = max(self._relayed, self._newest_before(sent))

    def anchor(self, now: float, *, enough: float = float("inf")) -> Anchor | None:
        """What a write sent at `now` can prove; None if nothing on this connection can serve.

        `enough`: seconds that the lease must reach beyond `now`. An anchor that does so and needs no c is taken even if
        there is a newer one that needs it.
        """
        sure = max(self._relayed, float("-inf") if self._attach_sent is None else self._attach_sent)
        newest = self._newest_before(now)
        if newest > sure and sure + self.length - now < enough:
            return Anchor(newest, needs_relay=True)
        return Anchor(sure, needs_relay=False) if sure > float("-inf") else None

    def proved(self, anchor: Anchor) -> None:
        """b was acknowledged, and c too if the anchor needs it."""
        self._prove(anchor.sent)

    def _newest_before(self, sent: float) -> float:
        """The newest send time of what was answered at least a gap before `sent`."""
        horizon = sent - self.gap
        return max((each for each, replied in self._acks if replied <= horizon), default=float("-inf"))

    def _prove(self, sent: float) -> None:
        self._anchored = max(self._anchored, sent)
