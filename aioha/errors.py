"""Every error aioha raises, named by who did it.

A message is a diagnosis in one line: what, where, why, and what to do. No error ever carries a password: a `where`
is shown through `Where.__str__`, which leaves credentials out. ZooKeeper's own error codes stay inside `wire`.
"""

__all__ = [
    "ElectionError",
    "Fenced",
    "LayoutMismatch",
    "LeadershipLost",
    "LeadershipResigned",
    "SessionFailed",
    "TermEnded",
    "TransferRefused",
    "Unavailable",
]


class ElectionError(Exception):
    """Root of everything aioha raises on its own account."""


class TermEnded(ElectionError):
    """The term is over: stop working. Raised by `Term.check()` and from the campaign block."""


class LeadershipLost(TermEnded):
    """The world ended the term: the lease ran out, the session expired, or somebody deleted the leader's node."""


class LeadershipResigned(TermEnded):
    """We ended the term: `resign()`, or an operator who asked for it."""


class Unavailable(ElectionError):
    """No server could be reached in the given time. The message names each one and why. Worth trying again."""


class SessionFailed(ElectionError):
    """The servers answer and refuse, or cannot give what was asked for. Trying again would not help."""


class LayoutMismatch(ElectionError):
    """The path holds nodes of another kind of election than the one configured."""


class Fenced(ElectionError):
    """A fenced transaction was refused as a whole: nothing was written. Raised by the end of `term.transaction()`.

    `operation` tells by whose check. None: the term is over; why is in the message, and is the `__cause__`. Let out of
    a campaign's block it is a loss, as `TermEnded` is. Else an operation of the transaction did not pass, counted from
    1: a version was not the one given, a node was there or was not. The term goes on, and the error is the caller's.
    """

    def __init__(self, message: str = "", operation: int | None = None) -> None:
        super().__init__(message)
        self.operation = operation


class TransferRefused(ElectionError):
    """Leadership cannot be given to the candidate that was named."""
