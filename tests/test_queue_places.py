"""Places in queues, in virtual time: joined and left in trouble, and connections lost while standing by."""

import asyncio

import pytest
from bareelections import ONE_WAY, PATH, ROUND_TRIP, Scene, T, facts, played
from test_ephemeral_trouble import KEEP_CHILDREN, READ_ONLY, warnings
from test_queue_trouble import in_line, member

from aioha import LayoutMismatch, SessionFailed
from aioha.testing.simulated.codes import Op
from aioha.testing.simulated.watching import WatchTables
from aioha.wire import requests
from aioha.wire.errors import NoAuth

# ---------------------------------------------------------------------- places


@pytest.mark.parametrize("layout", ["latch", "zk-recipes"])
def test_a_place_that_may_not_be_left_is_said(layout: str, caplog: pytest.LogCaptureFixture) -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b", layout=layout)
        scene.operator.set_acl(PATH, KEEP_CHILDREN)
        name = member(scene, 1).rpartition("/")[2]
        begun = scene.now
        waiting.cancel()
        await asyncio.wait({waiting})
        assert scene.now - begun < 5 * ROUND_TRIP
        await scene.candidates["a"].release(first)
        assert warnings(caplog) == [
            f"a place in line could not be left: {name}: {NoAuth()}",
            f"{PATH}: term {first.token} could not be released: {NoAuth()}",
        ]
        assert {each.levelname for each in caplog.records if "could not be" in each.getMessage()} == {"ERROR"}

    played(play)


def test_who_may_not_join_is_told_what_to_do() -> None:
    async def play(scene: Scene) -> None:
        await in_line(scene, "a")
        scene.operator.set_acl(PATH, READ_ONLY)
        b = await scene.candidate("b", "latch")
        with pytest.raises(SessionFailed) as refused:
            await b.win()
        text = f"no permission for {PATH} (candidate b); check its ACL and the credentials in `where`"
        assert str(refused.value) == text
        assert isinstance(refused.value.__cause__, NoAuth)

    played(play)


def test_a_member_that_may_not_be_read_is_waited_for_all_the_same() -> None:
    async def play(scene: Scene) -> None:
        hidden = "/_c_32a7c6a4-1f5d-4f0e-9b61-0d6ac6f7ee1b-latch-0000000000"
        (first,) = await in_line(scene, "a")
        await scene.candidates["a"].release(first)
        scene.operator.create(PATH + hidden, b"secret")
        scene.operator.set_acl(PATH + hidden, (type(READ_ONLY[0])(2, "world", "anyone"),))
        b = await scene.candidate("b", "latch")
        waiting = b.stand_by()
        await asyncio.sleep(1.0)
        czxid = scene.czxid(hidden)
        scene.operator.delete(PATH + hidden)
        assert facts(await waiting)["predecessor"] == ("", czxid, False)

    played(play)


def test_a_place_of_our_own_session_that_could_not_be_left_is_left_now() -> None:
    async def play(scene: Scene) -> None:
        (first,) = await in_line(scene, "a")
        a = scene.candidates["a"]
        await a.release(first)
        session = await a.do(a.sessions.live())
        stem = f"{PATH}/_c_32a7c6a4-1f5d-4f0e-9b61-0d6ac6f7ee1b-latch-"

        async def leave_one_behind() -> None:
            await session.send(requests.create(stem, b"", ephemeral=True, sequential=True))

        await a.do(leave_one_behind())
        begun = scene.now
        second = await a.win()
        assert scene.now - begun < 8 * ROUND_TRIP
        assert member(scene, 0) == second.node

    played(play)


def test_whose_node_is_deleted_by_hand_joins_at_the_end() -> None:
    async def play(scene: Scene) -> None:
        first, second, third = await in_line(scene, "a", "b", "c")
        deleted = member(scene, 1)
        scene.operator.delete(deleted)
        await asyncio.sleep(8 * ROUND_TRIP)
        assert deleted != member(scene, 2)
        assert scene.data(member(scene, 2).removeprefix(PATH)) == b"b"
        await scene.candidates["a"].release(first)
        assert (await third).leader.identity == "c"
        assert not second.done()

    played(play)


def test_members_of_another_dialect_that_have_come_meanwhile_are_refused() -> None:
    async def play(scene: Scene) -> None:
        (first,) = await in_line(scene, "a")
        b = await scene.candidate("b", "latch")
        await scene.candidates["a"].release(first)
        scene.operator.create(f"{PATH}/n_0000000001", b"")
        with pytest.raises(LayoutMismatch) as refused:
            await b.win()
        assert str(refused.value) == (
            f"{PATH} is the root of an election of ZooKeeper's LeaderElectionSupport (it holds n_0000000001), and "
            "layout=latch is another's: choose layout=zk-recipes, or another path"
        )

    played(play)


def test_who_stands_by_no_longer_watches_and_proves_nothing() -> None:
    async def play(scene: Scene) -> None:
        _, waiting = await in_line(scene, "a", "b")
        session = scene.candidates["b"].sessions.current
        assert session is not None
        assert len(session._watches) == 3
        waiting.cancel()
        await asyncio.wait({waiting})
        assert len(session._watches) == 0
        scene.proofs["b"].clear()
        await asyncio.sleep(T / 2)
        assert scene.proofs["b"] == []

    played(play)


# ---------------------------------------------------------------------- connections


def test_a_standby_looks_again_with_each_session_timeout_and_no_oftener() -> None:
    async def play(scene: Scene) -> None:
        _, waiting = await in_line(scene, "a", "b")
        look = ["children E", "get E/latch-0000000000 watch", "get E.aioha watch"]
        await asyncio.sleep(T - 1.5)
        assert scene.candidates["b"].asked == []
        await asyncio.sleep(1.5)
        assert scene.candidates["b"].asked == look
        await asyncio.sleep(T + 0.5)
        assert scene.candidates["b"].asked == look
        assert not waiting.done()

    played(play)


@pytest.mark.parametrize("what", ["connection", "session", "reply"])
def test_after_a_loss_everything_is_looked_at_again(what: str) -> None:
    async def play(scene: Scene) -> None:
        first, waiting = await in_line(scene, "a", "b")
        b = scene.candidates["b"]
        if what == "session":
            scene.ensemble.expire_session(b.sessions.id)
        elif what == "connection":
            scene.simulation.network.reset("b", "zk1")
        else:
            scene.lose_reply("b", Op.CHILDREN)
            await asyncio.sleep(T)
        await asyncio.sleep(2.0)
        assert b.asked[-3:] == ["children E", "get E/latch-0000000000 watch", "get E.aioha watch"] or what == "session"
        begun = scene.now
        await scene.candidates["a"].release(first)
        second = await waiting
        assert scene.now - begun == pytest.approx(2 * ONE_WAY)
        assert facts(second)["predecessor"] == ("a", first.token, True)

    played(play)


@pytest.mark.parametrize("operation", [Op.CHILDREN, Op.EXISTS, Op.GET])
def test_a_first_look_whose_reply_was_lost_costs_no_turn(operation: int) -> None:
    async def play(scene: Scene) -> None:
        (first,) = await in_line(scene, "a")
        b = await scene.candidate("b", "latch")
        scene.lose_reply("b", operation, b"latch" if operation != Op.CHILDREN else b"")
        waiting = b.stand_by()
        await asyncio.sleep(2.0)
        if operation == Op.CHILDREN:  # asked before it joins, too
            scene.lose_reply("b", operation)
            await asyncio.sleep(T)
        begun = scene.now
        await scene.candidates["a"].release(first)
        assert (await waiting).leader.identity == "b"
        assert scene.now - begun == pytest.approx(2 * ONE_WAY)

    played(play)


def test_a_place_that_is_gone_unheard_of_is_noticed_with_the_next_heartbeat() -> None:
    async def play(scene: Scene) -> None:
        await in_line(scene, "a", "b")
        for server in scene.ensemble.servers:
            assert server.front is not None
            server.front.watches = WatchTables()
        scene.operator.delete(member(scene, 1))
        await asyncio.sleep(T / 8 + 1.0)
        assert scene.data(member(scene, 1).removeprefix(PATH)) == b"b"

    played(play)


def test_who_goes_while_no_server_can_be_reached_is_gone_after_a_session_timeout() -> None:
    async def play(scene: Scene) -> None:
        _, waiting = await in_line(scene, "a", "b")
        scene.simulation.network.cut("b", "zk1")
        begun = scene.now
        waiting.cancel()
        await asyncio.wait({waiting})
        assert scene.now - begun == pytest.approx(T)

    played(play)


def test_a_term_that_is_given_up_while_old_work_may_go_on_holds_on_for_as_long() -> None:
    async def play(scene: Scene) -> None:
        await in_line(scene, "a", stop_grace=2.0)
        scene.candidates["a"].crash()
        b = await scene.candidate("b", "latch")
        second = await b.win()
        assert second.settle == pytest.approx(2.1 + 9 * ROUND_TRIP)
        await asyncio.sleep(1.0)
        begun = scene.now
        await b.release(second)
        assert scene.now - begun == pytest.approx(2.0 + ROUND_TRIP)

    played(play)
