"""The faults of one scene as a plain list, drawn before anything runs: so it can be read, shortened and played again.

31.25 silence leading 4.1           at 31.25 s, for 4.1 s
40 reset c2 0 taken+0.0012          1.2 ms after the first takeover that is committed after 40 s
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .scene import Scene

__all__ = ["FAULTS", "Entry", "draw", "parse", "written"]

CANDIDATES = ("leading", "leading", "leading", "standby", "c1", "c2", "c3", "c4")
SERVERS = ("leader", "follower", "attached", "attached", "zk1", "zk2", "zk3")
NOBODY = ("-",)
EVENTS = ("began", "ended", "taken", "released", "session")
AT_ONCE, BRIEF, LONG = 0.0, 0.01, 10**0.5  # session timeouts
# By name: on whom, how often (a weight), how long at least (at most `LONG`), and where it can be: "": everywhere,
# "ensemble": three servers at least, "record": where one is kept, "hooks", "clocks": where candidates have them.
FAULTS: dict[str, tuple[Sequence[str], int, float, str]] = {
    # the process
    "crash": (CANDIDATES, 10, BRIEF, ""),
    "freeze": (CANDIDATES, 9, BRIEF, ""),
    "stop": (CANDIDATES, 5, BRIEF, ""),
    "suspend": (CANDIDATES, 20, BRIEF, "clocks"),
    "drift": (CANDIDATES, 5, BRIEF, "clocks"),
    "resign": (("leading",), 5, AT_ONCE, ""),
    # its links
    "silence": (CANDIDATES, 8, BRIEF, ""),
    "mute": (CANDIDATES, 4, BRIEF, ""),
    "deafen": (CANDIDATES, 5, BRIEF, ""),
    "silence-attached": (CANDIDATES, 5, BRIEF, ""),
    "reset": (CANDIDATES, 6, AT_ONCE, ""),
    "fragments": (CANDIDATES, 2, BRIEF, ""),
    "cut-frame": (CANDIDATES, 3, AT_ONCE, ""),
    "drop-request": (CANDIDATES, 3, AT_ONCE, ""),
    "drop-reply": (CANDIDATES, 5, AT_ONCE, ""),
    "drop-takeover": (CANDIDATES, 5, AT_ONCE, ""),
    "reset-storm": (CANDIDATES, 2, BRIEF, ""),
    "slow": (CANDIDATES, 4, BRIEF, ""),
    "lossy": (CANDIDATES, 4, BRIEF, ""),
    # servers
    "kill": (SERVERS, 7, BRIEF, ""),
    "hang": (SERVERS, 7, BRIEF, ""),
    "restart": (SERVERS, 3, AT_ONCE, ""),
    "disk-full": (SERVERS, 3, BRIEF, ""),
    "rolled-back": (("follower", "zk1", "zk2", "zk3"), 3, AT_ONCE, "ensemble"),
    "isolate": (SERVERS, 5, BRIEF, "ensemble"),
    "ghost": (("follower", "attached", "attached", "attached"), 9, BRIEF, "ensemble"),
    "lag": (("follower", "attached"), 5, BRIEF, "ensemble"),
    "quorum-lost": (NOBODY, 3, BRIEF, "ensemble"),
    "rolling-restart": (NOBODY, 3, AT_ONCE, "ensemble"),
    "all-lossy": (NOBODY, 2, BRIEF, ""),
    # session and data
    "expire": (("leading", "leading", "standby"), 5, AT_ONCE, "record"),
    "stranger": (("leading", "leading", "standby"), 4, AT_ONCE, "record"),
    "taken-over": (("leading", "standby"), 4, AT_ONCE, ""),
    "late-close": (("leading", "leading", "standby"), 3, AT_ONCE, "record"),
    "delete-node": (NOBODY, 4, AT_ONCE, "record"),
    "delete-parent": (NOBODY, 2, AT_ONCE, "record"),
    "delete-place": (NOBODY, 2, AT_ONCE, "record"),
    "rubbish-record": (NOBODY, 3, AT_ONCE, "record"),
    "rubbish-ended": (NOBODY, 2, AT_ONCE, "record"),
    "acl": (("parent", "record"), 2, BRIEF, ""),
    # several at once
    "depose": (("leading", "leading", "standby"), 4, AT_ONCE, "ensemble"),
    "late-answer": (("attached",), 12, 0.5, "ensemble"),
    "late-bid": (("standby",), 4, AT_ONCE, "record"),
    "unseat": (("leading",), 3, BRIEF, "record"),
    # the work's own surroundings
    "hook-fails": (NOBODY, 3, BRIEF, "hooks"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """at, lasts, delay: seconds. after: event that `delay` counts from, the first one not before `at`; "": none."""

    at: float
    fault: str
    target: str = "-"
    lasts: float = 0.0
    after: str = ""
    delay: float = 0.0

    def __str__(self) -> str:
        words = [_number(self.at), self.fault, self.target, _number(self.lasts)]
        if self.after:
            words.append(f"{self.after}+{_number(self.delay)}")
        return " ".join(words)


def written(entries: Iterable[Entry]) -> str:
    """As one line."""
    return "; ".join(map(str, entries))


def parse(text: str) -> list[Entry]:
    """The inverse of `written`. Raises `ValueError` that shows the entry."""
    return [_parse(each) for each in text.split(";") if each.strip()]


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")


def _parse(text: str) -> Entry:
    words, what = text.split(), f"schedule: {text.strip()!r}"
    if not 3 <= len(words) <= 5 or words[1] not in FAULTS:
        raise ValueError(f"{what} is not `at fault target [lasts [event+delay]]`")
    after, _, delay = words[4].partition("+") if len(words) == 5 else ("", "", "")
    if after not in ("", *EVENTS):
        raise ValueError(f"{what}: {after!r} is not one of {', '.join(EVENTS)}")
    try:
        at, lasts, later = float(words[0]), float(words[3]) if len(words) > 3 else 0.0, float(delay or 0)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    return Entry(at, words[1], words[2], lasts, after, later)


def draw(scene: Scene) -> list[Entry]:
    """The faults of a scene, in the order of their times."""
    rng = random.Random(f"schedule {scene.seed}")
    has = {"": True, "ensemble": scene.servers > 1, "record": scene.record, "hooks": scene.hooks, "clocks": scene.clocks}
    names = [name for name, (_, _, _, where) in FAULTS.items() if has[where]]
    weights = [FAULTS[name][1] for name in names]
    entries = list[Entry]()
    for begin, end in scene.storms:
        pace = scene.timeout * rng.choice((0.3, 0.5, 0.8, 1.2)) + 0.2
        now = begin + rng.expovariate(1 / pace)
        while now < end:
            name = rng.choices(names, weights)[0]
            entries.append(_entry(rng, scene, now, name))
            now += rng.expovariate(1 / pace)
        if rng.random() < 0.4:  # so that the takeover itself happens in calm
            entries.append(_entry(rng, scene, end - rng.uniform(0, 0.1), "crash", "leading"))
    return sorted(entries, key=lambda entry: entry.at)


def _entry(rng: random.Random, scene: Scene, at: float, name: str, target: str = "") -> Entry:
    targets, _, least, _ = FAULTS[name]
    length = round(scene.timeout * math.exp(rng.uniform(math.log(least), math.log(LONG))), 4) if least else 0.0
    after, delay = "", 0.0
    if not target and rng.random() < 0.35:
        after = rng.choice(EVENTS)
        delay = round(rng.choice((0.0, rng.uniform(0, 0.003), rng.uniform(0, 0.05), rng.uniform(0, scene.tick))), 5)
    return Entry(round(at, 3), name, target or rng.choice(list(targets)), length, after, delay)
