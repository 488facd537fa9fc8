"""What one candidate knows of the terms that were, so that its own is numbered, and its token lifted, above all of them."""

from ...ended import Ended
from ...errors import SessionFailed
from ...record import LARGEST_BASE, Record
from ...session import ZooKeeperSession
from ...settings import Settings
from .ground import Ground
from .ledger import LedgerView, View

__all__ = ["Succession"]

LARGEST_RECORDED_DATA = 4096  # the record stays small; the leader's node has all of it


class Succession:
    """See the head of this file."""

    def __init__(self, ground: Ground, settings: Settings) -> None:
        self._ground = ground
        self._settings = settings
        self.highest = 0  # token of ours
        self._seen = 0  # the highest token of anybody's

    def saw(self, view: View) -> None:
        """Remember the token of who leads, or has led last: ours must be above it, even if the servers' data is set back,
        or the record that has lifted tokens is lost, or may not be written any more.
        """
        self.saw_token(view.ledger.token if view.ledger is not None else view.node.czxid if view.node is not None else 0)

    def saw_token(self, token: int) -> None:
        self._seen = max(self._seen, token)

    def record(self, session: ZooKeeperSession, ledger: LedgerView, ended: Ended, since: int, *, earlier: int = 0) -> Record:
        """What our term writes after this one. `ended`: which terms were done with when it was written. `since`: a change
        that is older than the one that makes, or has made, our node. `earlier`: so many round trips before it does in a
        takeover, whoever comes next may begin to wait.
        """
        # Tokens must rise even where the servers' data was set back, or where the election moved here from elsewhere.
        newest = max(self.highest, self._seen, ended.token)
        base = max(ledger.record.token_base, self._settings.token_floor, min(newest - since, LARGEST_BASE))
        data = self._settings.payload if len(self._settings.payload) <= LARGEST_RECORDED_DATA else b""
        # How long our work may go on should a stranger close our session: we must first hear of it.
        grace = self._settings.grace_within(session.timeout) + session.hearing.within + session.hearing.round_trip * earlier
        # Who comes after us may have to wait for work before ours, should we end before we have waited for it.
        owed = (ledger.token, ledger.settle(ended))
        return ledger.record.successor(self._settings.identity, data, grace, base, owed, ledger.unfenced(ended))

    def refusal(self, token: int) -> SessionFailed | None:
        """Why we may not lead with this token; None: we do."""
        floor = max(self.highest, self._seen, self._settings.token_floor)
        if token > floor:
            self.highest = token
            return None
        return SessionFailed(
            f"{self._ground.path}: token {token} would not exceed {floor} (token_floor, or seen before: was the "
            f"servers' data set back?); allow a record, which lifts tokens"
        )
