"""What of a release is sent in the tick in which the work has ended, in virtual time, and what has to wait for something."""

import asyncio
from typing import Any

import pytest
from bareelections import Scene, T, played

from aioha import Predecessor

GONE = "delete E/latch-0000000000"
CRUMB, LOCK, SEAT = "delete E/ActiveBreadCrumb", "delete E/ActiveStandbyElectorLock", "delete E.aioha/seat"
MARK = "set E.aioha/ended '{token}'"
NOT_YET: list[str] = []


async def hook(_: Predecessor) -> None:
    """Nobody is fenced here."""


@pytest.mark.parametrize(
    ("layout", "options", "at_once"),
    [
        ("ephemeral", {}, [f"check E.aioha at 1 + delete E at 1 + {SEAT} + {MARK}"]),
        ("ephemeral", {"record": False}, NOT_YET),  # the node may be another's
        ("mooon", {}, NOT_YET),
        ("hadoop", {"fence": hook}, [f"check E.aioha at 1 + {CRUMB} + {LOCK} at 1 + {SEAT} + {MARK}"]),
        ("latch", {"record": False}, [GONE]),
        ("zk-recipes", {}, NOT_YET),  # its name may be another's
    ],
)
def test_what_is_ours_beyond_doubt_is_given_up_at_once(layout: str, options: dict[str, Any], at_once: list[str]) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout, **options)
        grant = await a.win()
        await asyncio.sleep(1.0)
        _ = a.asked
        releasing = a.begin_release(grant)
        assert a.asked == [each.format(token=grant.token) for each in at_once]
        await releasing
        assert all(not owner for _, _, owner in scene.nodes().values())

    played(play)


def test_a_latch_is_closed_at_once_when_it_was_accounted_for() -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", "latch")
        grant = await a.win()
        await asyncio.sleep(1.0)
        _ = a.asked
        releasing = a.begin_release(grant)
        (asked,) = a.asked
        assert asked.startswith(f"set E.aioha/ended '{grant.token}' + set E.aioha '{{")
        assert asked.endswith(f" + {GONE}")
        await releasing

    played(play)


def test_a_latch_that_is_not_accounted_for_yet_waits_for_that() -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", "latch")
        grant = await a.win()
        assert a.asked[-1].startswith("check E/latch-0000000000 + set E.aioha ")
        releasing = a.begin_release(grant)
        assert a.asked == []
        await releasing
        (closed,) = a.asked
        assert closed.startswith(f"set E.aioha/ended '{grant.token}' + set E.aioha '{{")
        assert '"ended":true' in scene.nodes()[".aioha"][0]

    played(play)


@pytest.mark.parametrize("layout", ["ephemeral", "latch"])
def test_a_term_that_is_over_is_looked_at_first(layout: str) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout)
        grant = await a.win()
        await asyncio.sleep(1.0)
        scene.operator.delete(grant.node)
        await asyncio.sleep(1.0)
        _ = a.asked
        releasing = a.begin_release(grant)
        # A member's name is its own: to delete it does no harm, and nothing is said of a clean end.
        assert a.asked == ([GONE] if layout == "latch" else [])
        await releasing

    played(play)


@pytest.mark.parametrize("layout", ["ephemeral", "latch"])
def test_while_old_work_may_go_on_nothing_is_given_up(layout: str) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout, stop_grace=2.0)
        await a.win()
        await asyncio.sleep(1.0)
        a.crash()
        b = await scene.candidate("b", layout)
        grant = await b.win()
        assert grant.settle > 0
        await asyncio.sleep(0.5)
        begun, _ = scene.now, b.asked
        await b.release(grant)
        asked = b.asked_since(begun)
        assert len(asked) == 1
        assert asked[0][0] == pytest.approx(grant.settle - 0.5, abs=0.11)

    played(play)


@pytest.mark.parametrize("layout", ["ephemeral", "latch"])
def test_while_no_server_is_attached_it_waits_for_one(layout: str) -> None:
    async def play(scene: Scene) -> None:
        a = await scene.candidate("a", layout)
        grant = await a.win()
        await asyncio.sleep(1.0)
        scene.simulation.network.cut("a", "zk1")
        await asyncio.sleep(T / 3)
        assert grant.doubtful
        _ = a.asked
        releasing = a.begin_release(grant)
        assert a.asked == []
        scene.simulation.network.heal("a", "zk1")
        await asyncio.wait_for(releasing, T)
        assert all(not owner for _, _, owner in scene.nodes().values())

    played(play)
