"""Which terms are done with, as a node beside the election says it. Pure: bytes in, an `Ended` out, and back.

A term is done with when it has ended cleanly, or when a fence hook has returned for it. The record, which takeovers
alone may change, lists the terms that were not known to be done with when it was written; what has happened since
stands in `ended`, which the leader may write at any time. The list may be longer than the truth, never shorter.

    b"7"                term 7 is done with, and so is every one before it: the usual case
    b"7 5 3"            term 7 is done with, and so is every one before it but 5 and 3
    b"7 5 3 unsettled"  the same, but nobody has waited yet until the work of those must have ended: 7 was fenced by who
                        came next and was still waiting itself. A clean end has always waited for all before it.

Rubbish says that nothing is done with: a term is then fenced once too often rather than not at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .leaders import Predecessor

__all__ = ["MOST_UNFENCED", "Ended", "brief", "clean_end", "newest", "parse_ended"]

MOST_UNFENCED = 16  # terms remembered, the newest; the record stays small
LARGEST_DATA = 256  # bytes of each one's data that are remembered; half of an address is worse than none of it
UNSETTLED = b"unsettled"
LARGEST_TOKEN = 2**63 - 1  # what stores of tokens can compare


@dataclass(frozen=True, slots=True)
class Ended:
    """`token`: the newest term that is done with; 0: none. `owing`: older ones that are not, newest first; `settled`:
    their work has had the time to end all the same.
    """

    token: int = 0
    owing: tuple[int, ...] = ()
    settled: bool = True

    def includes(self, token: int) -> bool:
        """Whether the term of this token is done with."""
        return token <= self.token and token not in self.owing

    def remaining(self, terms: Iterable[Predecessor]) -> tuple[Predecessor, ...]:
        """Which of the terms that a record speaks of are still to be fenced, newest first.

        Of those still owed whose line in the record is lost (it was overwritten with rubbish), only tokens are known.
        """
        named = {each.token: each for each in terms}
        lost = {token: Predecessor("", b"", token, ended_cleanly=False) for token in self.owing}
        return newest(each for each in {**lost, **named}.values() if not self.includes(each.token))

    def and_fenced(self, token: int, rest: Iterable[int]) -> "Ended":
        """The same once a hook has returned for the term of `token`; `rest`: the tokens of all still to be fenced."""
        done = max(self.token, token)
        owing = _falling(each for each in rest if each < done)
        waited_for = self.token if self.settled else 0
        return Ended(done, owing, settled=all(each < waited_for for each in owing))

    def encode(self) -> bytes:
        words = [b"%d" % each for each in (self.token, *self.owing)]
        return b" ".join(words if self.settled else [*words, UNSETTLED])


def clean_end(token: int, rest: Iterable[int]) -> Ended:
    """What the clean end of a term writes; `rest`: the tokens of all before it that are still to be fenced."""
    return Ended(token, _falling(rest))


def parse_ended(raw: bytes | None) -> Ended:
    """Never fails; see the head of this file."""
    words = (raw or b"0").split()
    settled = words[-1:] != [UNSETTLED]
    if not settled:
        words.pop()
    if not words or not all(word.isdigit() and len(word) <= len(str(LARGEST_TOKEN)) for word in words):
        return Ended()
    token, *owing = map(int, words)
    if token > LARGEST_TOKEN or any(each >= token for each in owing):
        return Ended()
    return Ended(token, _falling(owing), settled)


def newest(terms: Iterable[Predecessor]) -> tuple[Predecessor, ...]:
    """As many as are remembered, newest first, each token once."""
    by_token = {each.token: each for each in terms}
    return tuple(by_token[token] for token in _falling(by_token)[:MOST_UNFENCED])


def brief(term: Predecessor) -> Predecessor:
    """As it is remembered beyond the next term."""
    data = term.data if len(term.data) <= LARGEST_DATA else b""
    return Predecessor(term.identity, data, term.token, ended_cleanly=False)


def _falling(tokens: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(tokens), reverse=True))
