"""A candidate of kazoo's Election: `kazoo_candidate.py SERVERS PATH TIMEOUT_MS IDENTITY`."""

from on_kazoo import IDENTITY, PATH, Candidate


class OfElection(Candidate):
    """See the head of this file."""

    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._election = self._client.Election(PATH, IDENTITY)

    def _once(self) -> None:
        self._election.run(self._work)

    def _members(self) -> str:
        return ",".join(self._election.contenders())

    def _stop_waiting(self) -> None:
        self._election.cancel()


OfElection().run()
