"""The faults of one scene as a plain list, drawn before anything runs: so it can be read, shortened and played again.

31.25 silence leading 4.1           at 31.25 s, for 4.1 s
40 reset c2 0 taken+0.0012          1.2 ms after the first takeover that is committed after 40 s
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .scene import Scene

__all__ = ["FAULTS", "Entry", "draw", "parse", "written"]

CANDIDATES = ("leading", "leading", "leading", "standby", "c1", "c2", "c3", "c4")
SERVERS = ("leader", "follower", "attached", "attached", "zk1", "zk2", "zk3")
NOBODY = ("-",)
EVENTS = ("began", "ended", "taken", "released", "session")
# By name: on whom, how often (a weight), whether it lasts, and where it can be: "": everywhere, "ensemble": three servers
# at least, "record": where one is kept, "hooks", "clocks": where candidates have them.
FAULTS: dict[str, tuple[Sequence[str], int, bool, str]] = {
    # the process
    "crash": (CANDIDATES, 10, True, ""),
    "freeze": (CANDIDATES, 9, True, ""),
    "stop": (CANDIDATES, 5, True, ""),
    "suspend": (CANDIDATES, 20, True, "clocks"),
    "drift": (CANDIDATES, 5, True, "clocks"),
    "resign": (("leading",), 5, False, ""),
    # its links
    "silence": (CANDIDATES, 8, True, ""),
    "mute": (CANDIDATES, 4, True, ""),
    "deafen": (CANDIDATES, 5, True, ""),
    "silence-attached": (CANDIDATES, 5, True, ""),
    "reset": (CANDIDATES, 6, False, ""),
    "fragments": (CANDIDATES, 2, True, ""),
    "cut-frame": (CANDIDATES, 3, False, ""),
    "drop-request": (CANDIDATES, 3, False, ""),
    "drop-reply": (CANDIDATES, 5, False, ""),
    "drop-takeover": (CANDIDATES, 5, False, ""),
    "reset-storm": (CANDIDATES, 2, True, ""),
    "slow": (CANDIDATES, 4, True, ""),
    "lossy": (CANDIDATES, 4, True, ""),
    # servers
    "kill": (SERVERS, 7, True, ""),
    "hang": (SERVERS, 7, True, ""),
    "restart": (SERVERS, 3, False, ""),
    "disk-full": (SERVERS, 3, True, ""),
    "rolled-back": (("follower", "zk1", "zk2", "zk3"), 3, False, "ensemble"),
    "isolate": (SERVERS, 5, True, "ensemble"),
    "ghost": (("follower", "attached", "attached", "attached"), 9, True, "ensemble"),
    "lag": (("follower", "attached"), 5, True, "ensemble"),
    "quorum-lost": (NOBODY, 3, True, "ensemble"),
    "rolling-restart": (NOBODY, 3, False, "ensemble"),
    "all-lossy": (NOBODY, 2, True, ""),
    # session and data
    "expire": (("leading", "leading", "standby"), 5, False, "record"),
    "stranger": (("leading", "leading", "standby"), 4, False, "record"),
    "taken-over": (("leading", "standby"), 4, False, ""),
    "delete-node": (NOBODY, 4, False, "record"),
    "delete-parent": (NOBODY, 2, False, "record"),
    "rubbish-record": (NOBODY, 3, False, "record"),
    "rubbish-ended": (NOBODY, 2, False, "record"),
    "acl": (("parent", "record"), 2, True, ""),
    # several at once
    "depose": (("leading", "leading", "standby"), 4, False, "ensemble"),
    "late-bid": (("standby",), 4, False, "record"),
    "unseat": (("leading",), 3, True, "record"),
    # the work's own surroundings
    "hook-fails": (NOBODY, 3, True, "hooks"),
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
    targets, _, lasts, _ = FAULTS[name]
    length = round(scene.timeout * 10 ** rng.uniform(-2, 0.5), 4) if lasts else 0.0
    after, delay = "", 0.0
    if not target and rng.random() < 0.35:
        after = rng.choice(EVENTS)
        delay = round(rng.choice((0.0, rng.uniform(0, 0.003), rng.uniform(0, 0.05), rng.uniform(0, scene.tick))), 5)
    return Entry(round(at, 3), name, target or rng.choice(list(targets)), length, after, delay)
