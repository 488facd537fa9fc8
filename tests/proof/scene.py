"""What one seed stands for, apart from its faults: servers, candidates, weather, and when it storms. Pure.

Every draw has a generator of its own, so that a schedule can be shortened and everything else stays as it was.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from aioha.testing.simulated import Weather

__all__ = ["INIT_LIMIT", "Plan", "Scene", "draw"]

TIMEOUTS = {2.0: 2, 3.0: 3, 4.0: 5, 6.0: 10, 8.0: 10, 10.0: 25, 15.0: 15, 20.0: 15, 30.0: 15}  # and how often, in percent
INIT_LIMIT = 10  # ticks
TICKS_IN_TIMEOUT = (2.0, 2.0, 2.5, 3.0, 4.0, 5.0, 8.0)
SHORTEST_TICK = 0.2
PATH = "/service/election"
LONGEST_HOOK = 0.1  # seconds that a fence hook takes, and
MOST_HOOKS = 16  # how many of them at most: what the record remembers
HOOK_BACK_OFF = 3.0  # seconds: a hook fails twice in a row at most, and is tried again after 1 and 2 s


@dataclass(frozen=True)
class Plan:
    """One candidate. `only`: number of the only server that it knows; 0: all. `style`: how it uses its elector."""

    name: str
    only: int
    style: str  # "lead" | "background" | "campaign"
    options: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Scene:
    """Seconds. `storms`: begin and end of each, counted from when everybody is up; between them it is calm."""

    seed: int
    servers: int
    tick: float
    sync_limit: int
    timeout: float
    plans: tuple[Plan, ...]
    latency: float
    jitter: float
    spikes: float
    loss: float
    hooks: bool
    record: bool
    clocks: bool  # hosts have clocks of their own, which may be suspended and run at other rates
    storms: tuple[tuple[float, float], ...]
    length: float

    def weather(self) -> Weather:
        return Weather(self.latency, self.jitter, spikes=self.spikes, loss=self.loss)

    @property
    def is_rough(self) -> bool:
        """Messages are late now and then."""
        return bool(self.spikes or self.loss)

    @property
    def delay(self) -> float:
        """The most that a message is late while nothing is wrong, but for one in thousands."""
        return self.latency + self.jitter + (0.25 if self.spikes else 0.0) + (0.6 if self.loss else 0.0)

    @property
    def slack(self) -> float:
        """What a takeover may take on top of T + 2 ticks while nothing is wrong."""
        grace = self.timeout / 4  # the longest `stop_grace`, and what is waited where the record is unreadable
        delay = max((plan.options.get("takeover_delay", 0.0) for plan in self.plans), default=0.0)
        hooks = MOST_HOOKS * (LONGEST_HOOK + 4 * self.delay) + HOOK_BACK_OFF if self.hooks else 0.0
        return max(grace, delay) + hooks + 12 * self.delay

    @property
    def bound(self) -> float:
        """I4: from the end of the last leader, or of the last fault, to the next work."""
        return self.timeout + 2 * self.tick + self.slack

    @property
    def layout(self) -> str:
        return str(self.plans[0].options["layout"])

    def __str__(self) -> str:
        plans = ", ".join(
            f"{plan.name} ({plan.style}{f', knows zk{plan.only} only' if plan.only else ''})" for plan in self.plans
        )
        options = {name: value for plan in self.plans for name, value in plan.options.items()}
        return (
            f"seed {self.seed}: {self.servers} server(s), tick {self.tick:g} s, T {self.timeout:g} s, {plans}; "
            f"latency {self.latency * 1000:g}+{self.jitter * 1000:g} ms, spikes {self.spikes:g}, loss {self.loss:g}; "
            f"{options}"
        )


def draw(seed: int, minutes: float = 10.0, layout: str | None = None) -> Scene:
    """The scene of a seed; in this layout, if one is named."""
    asked = layout
    rng = random.Random(f"scene {seed}")
    servers = rng.choices((1, 3, 5), (25, 55, 20))[0]
    timeout = rng.choices(tuple(TIMEOUTS), tuple(TIMEOUTS.values()))[0]
    tick = max(timeout / rng.choice(TICKS_IN_TIMEOUT), SHORTEST_TICK)
    latency, jitter = rng.choice(((0.0003, 0.0002), (0.0005, 0.0005), (0.002, 0.002), (0.01, 0.005)))
    rough = rng.random() < 0.25 and timeout >= 4
    layout, record = rng.choices((("ephemeral", True), ("mooon", True), ("ephemeral", False)), (70, 15, 15))[0]
    if asked is not None:
        layout, record = asked, True
    recorded = layout != "mooon" and record
    hooks = recorded and (rng.random() < 0.3 or layout == "hadoop")  # which insists on one
    common: dict[str, Any] = {"layout": layout, "record": record, "session_timeout": timeout}
    if rng.random() < 0.5:
        common["tick"] = tick
    if servers == 1 and rng.random() < 0.3:
        common["lease"] = "ping"
    if recorded and rng.random() < 0.15:  # without a record nothing could lift tokens above it
        common["token_floor"] = rng.randrange(1, 2**40)
    if rng.random() < (0.3 if layout == "mooon" else 0.05):
        common["takeover_delay"] = round(rng.uniform(0.1, 2.0), 3)
    plans = tuple(_plan(rng, f"c{number}", servers, timeout, common) for number in range(1, rng.randint(2, 4) + 1))
    scene = Scene(
        seed,
        servers,
        tick,
        rng.randint(2, 5),
        timeout,
        plans,
        latency,
        jitter,
        0.005 if rough else 0.0,
        0.005 if rough and rng.random() < 0.5 else 0.0,
        hooks,
        recorded,
        rng.random() < 0.25,
        (),
        minutes * 60,
    )
    return Scene(**{**scene.__dict__, "storms": tuple(_storms(rng, scene))})


def _plan(rng: random.Random, name: str, servers: int, timeout: float, common: dict[str, Any]) -> Plan:
    only = rng.randint(1, servers) if servers > 1 and rng.random() < 0.25 else 0
    options = dict(common)
    if rng.random() < 0.5:
        options["stop_grace"] = round(timeout * rng.uniform(0.03, 0.25), 3)
    options["connect_timeout"] = rng.choice((float("inf"), 30.0, 5.0))
    return Plan(name, only, rng.choice(("lead", "background", "campaign")), options)


def _storms(rng: random.Random, scene: Scene) -> list[tuple[float, float]]:
    storms, now = list[tuple[float, float]](), scene.timeout / 2
    calm = scene.bound * 1.1 + 1.0
    while True:
        length = rng.uniform(1.0, 5.0) * scene.timeout + 5.0
        if now + length + calm > scene.length:
            return storms
        storms.append((round(now, 3), round(now + length, 3)))
        now += length + calm
