"""What is to happen, from a seed: an endless row of steps. On whom is seen when it happens: the leader is who it is then.

Each deck holds every slow fault once, shuffled among many quick endings of terms, so that a short run sees much and a long
one sees all.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["ALONE", "ENDINGS", "QUICK", "SLOW", "Step", "schedule"]

# What ends a term at once, with its weight.
QUICK = {"terminate": 8, "resign": 8, "kill": 8, "steal session": 2, "delete node": 2, "rubbish record": 2}
ENDINGS = ("terminate", "resign", "kill")  # these may also happen in the midst of a slow one
# What lasts: seconds from and to. T is 4 s and a tick 0.5 s.
SLOW = {
    "stop": (0.3, 2.5),
    "stop long": (5.0, 8.0),
    "freeze": (0.3, 2.5),
    "freeze long": (5.0, 8.0),
    "throttle": (2.0, 6.0),
    "cut": (0.5, 7.0),
    "cut from its server": (1.0, 4.0),
    "deaf": (0.5, 7.0),
    "mute": (0.5, 7.0),
    "reset": (0.5, 6.0),
    "loss": (3.0, 7.0),
    "link down": (0.5, 7.0),
    "destroy sockets": (1.0, 3.0),
    "server killed": (0.5, 4.0),
    "ensemble's leader killed": (0.5, 4.0),
    "server stopped": (0.5, 6.0),
    "ensemble's leader stopped": (0.5, 6.0),
    "server's link down": (0.5, 6.0),
    "server's loss": (3.0, 7.0),
    "ghost follower": (3.0, 7.0),
    "deaf follower": (2.0, 6.0),
    "mute follower": (2.0, 6.0),
    "isolated leader": (3.0, 7.0),
    "quorum killed": (0.5, 6.0),
    "quorum stopped": (0.5, 6.0),
    "rolling restart": (0.0, 0.5),
}
QUICK_PER_DECK = 80
COMPOUND = 0.25  # of slow faults with an ending in their midst
# These end the leader by themselves, or last as long as something else does.
ALONE = ("stop", "stop long", "freeze", "freeze long", "destroy sockets", "rolling restart")


@dataclass(frozen=True, slots=True)
class Step:
    """pause: seconds of calm before it. hold: seconds that it lasts. choice: 0 to 1, for whatever is to be chosen.
    ending: what also happens to the leader in the midst of it.
    """

    kind: str
    pause: float
    hold: float
    choice: float
    ending: str = ""


def schedule(seed: int) -> Iterator[Step]:
    """The same for the same seed."""
    chance = random.Random(seed)
    while True:
        quick = chance.choices(list(QUICK), list(QUICK.values()), k=QUICK_PER_DECK)
        deck = [*quick, *SLOW]
        chance.shuffle(deck)
        for kind in deck:
            hold = round(chance.uniform(*SLOW[kind]), 2) if kind in SLOW else 0.0
            compound = kind in SLOW and kind not in ALONE and chance.random() < COMPOUND
            ending = chance.choice(ENDINGS) if compound else ""
            yield Step(kind, round(chance.uniform(0.05, 0.5), 2), hold, round(chance.random(), 4), ending)
