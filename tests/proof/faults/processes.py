"""Faults of a candidate's process, of its clocks, and of what its work needs."""

from typing import TYPE_CHECKING

from aioha.testing.history import Kind

from ..candidate import Candidate
from ..schedule import Entry
from .whom import NotNow, Undo, chance_of, the_candidate

if TYPE_CHECKING:
    from ..stage import Stage

__all__ = ["crash", "drift", "freeze", "hook_fails", "resign", "stop", "suspend"]


def crash(stage: "Stage", entry: Entry) -> Undo:
    candidate = the_candidate(stage, entry.target)
    candidate.crash()
    return candidate.start


def freeze(stage: "Stage", entry: Entry) -> Undo:
    candidate = the_candidate(stage, entry.target)
    if stage.loop.is_frozen(candidate.host):
        raise NotNow
    stage.history.add(Kind.FROZE, candidate.name)
    stage.simulation.network.freeze(candidate.host)
    return _thawing(stage, candidate)


def _thawing(stage: "Stage", candidate: Candidate) -> Undo:
    host, network = candidate.host, stage.simulation.network

    def thaw() -> None:
        if candidate.host == host and candidate.task is not None:  # it has not crashed meanwhile
            stage.history.add(Kind.THAWED, candidate.name)
            network.thaw(host)

    return thaw


def suspend(stage: "Stage", entry: Entry) -> Undo:
    """To RAM: one of its clocks stands still, and its timers with it."""
    candidate = the_candidate(stage, entry.target)
    if stage.loop.is_frozen(candidate.host):
        raise NotNow
    stage.history.add(Kind.FROZE, candidate.name)
    stage.simulation.network.suspend(candidate.host)
    return _thawing(stage, candidate)


def drift(stage: "Stage", entry: Entry) -> Undo:
    """A clock within what the lease allows for."""
    host, network = the_candidate(stage, entry.target).host, stage.simulation.network
    network.set_rate(host, 1 + chance_of(entry).uniform(-9e-4, 9e-4))
    return lambda: network.set_rate(host, 1.0)


def stop(stage: "Stage", entry: Entry) -> Undo:
    the_candidate(stage, entry.target).stop()
    return None


def resign(stage: "Stage", entry: Entry) -> Undo:
    the_candidate(stage, entry.target).resign()
    return None


def hook_fails(stage: "Stage", entry: Entry) -> Undo:
    stage.hooks_fail = True

    def mend() -> None:
        stage.hooks_fail = False

    return mend
