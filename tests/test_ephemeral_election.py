"""The `ephemeral` layout on real servers: what lies where, and what happens when somebody meddles with it."""

import asyncio
import contextlib
import itertools
import json
import uuid
from typing import Any

import pytest
from kazoo.security import make_acl, make_digest_acl
from operator_client import operator

from aioha import ElectionError, Elector, LayoutMismatch, LeadershipLost, Session, SessionFailed, Term, TermEnded
from aioha.settings import MOST_DATA
from aioha.testing import Ensemble, Op, Proxy

BOUND = 20.0


@pytest.fixture
def path() -> str:
    return f"/tests/{uuid.uuid4().hex}"


async def started(
    elector: Elector, *, cleanup: float = 0.0
) -> "tuple[asyncio.Task[None], asyncio.Future[Term], list[float]]":
    """A campaign in a task of its own: the task, its term, and when its work began and ended."""
    loop = asyncio.get_running_loop()
    entered: asyncio.Future[Term] = loop.create_future()
    times: list[float] = []

    async def campaign() -> None:
        async with elector.campaign() as term:
            times.append(loop.time())
            entered.set_result(term)
            try:
                await asyncio.sleep(BOUND)
            finally:
                await asyncio.sleep(cleanup)
                times.append(loop.time())

    task = asyncio.create_task(campaign())
    async with asyncio.timeout(BOUND):
        await asyncio.wait({task, entered}, return_when=asyncio.FIRST_COMPLETED)
    return task, entered, times


@pytest.mark.parametrize("options", [{}, {"record": False}, {"layout": "mooon"}], ids=str)
async def test_the_most_data_that_is_taken_fits_into_a_takeover(
    zookeeper: Ensemble, path: str, options: dict[str, Any]
) -> None:
    """Servers hang up on who sends more than 1 MiB, again and again."""
    data = b"x" * MOST_DATA
    async with asyncio.timeout(BOUND), Elector(zookeeper.where(path), data=data, **options) as elector, elector.campaign():
        with operator(zookeeper.connect_string) as client:
            found, _ = await asyncio.to_thread(client.get, path)
            assert found.rstrip(b"\0") == data


async def test_nodes_are_where_the_layout_says(zookeeper: Ensemble, path: str) -> None:
    async with Elector(zookeeper.where(path), identity="a", data=b"10.0.0.1") as elector, elector.campaign() as term:
        with operator(zookeeper.connect_string) as client:
            data, stat = await asyncio.to_thread(client.get, path)
            assert data == b"10.0.0.1"
            assert elector.session is not None
            assert stat.ephemeralOwner == elector.session.id
            assert stat.czxid == term.token
            record, record_stat = await asyncio.to_thread(client.get, f"{path}.aioha")
            assert json.loads(record)["identity"] == "a"
            assert record_stat.mzxid == term.token
            assert (await asyncio.to_thread(client.exists, f"{path}.aioha/seat")).ephemeralOwner == elector.session.id
    with operator(zookeeper.connect_string) as client:
        assert await asyncio.to_thread(client.exists, path) is None
        assert await asyncio.to_thread(client.exists, f"{path}.aioha/seat") is None
        assert int((await asyncio.to_thread(client.get, f"{path}.aioha/ended"))[0]) == term.token


async def test_nobody_works_beside_work_that_still_ends_after_its_node_was_deleted(zookeeper: Ensemble, path: str) -> None:
    async with Elector(zookeeper.where(path), identity="old") as old, Elector(zookeeper.where(path), identity="new") as new:
        old_task, old_term, old_times = await started(old, cleanup=0.5)
        waiting = asyncio.create_task(started(new))
        await asyncio.sleep(0.2)  # let it stand by; nothing tells when it does
        with operator(zookeeper.connect_string) as client:
            await asyncio.to_thread(client.delete, path)
            with pytest.raises(LeadershipLost, match="deleted by someone"):
                await old_task
            new_task, new_term, new_times = await waiting
            assert new_times[0] >= old_times[1]
            assert new_times[0] - old_times[1] < 0.5
            assert new_term.result().token > old_term.result().token
            assert (await asyncio.to_thread(client.get, path))[0] == b"new"
        new_task.cancel()
        await asyncio.gather(new_task, return_exceptions=True)


async def test_a_node_made_anew_by_a_stranger_ends_the_term_and_stays_untouched(zookeeper: Ensemble, path: str) -> None:
    async with Elector(zookeeper.where(path)) as elector:
        task, _, _ = await started(elector)
        with operator(zookeeper.connect_string) as client:

            def replace() -> None:
                transaction = client.transaction()
                transaction.delete(path)
                transaction.create(path, b"stranger", ephemeral=True)
                transaction.commit()

            await asyncio.to_thread(replace)
            with pytest.raises(LeadershipLost):
                await task
            assert (await asyncio.to_thread(client.get, path))[0] == b"stranger"
            assert await asyncio.to_thread(client.exists, f"{path}.aioha/seat") is None
            leader = await elector.leader()
            assert leader is not None
            assert leader.identity == "stranger"


async def test_a_session_closed_by_a_stranger_ends_the_term_before_the_next_works(ensemble: Ensemble, path: str) -> None:
    where = ensemble.where(path)
    async with (
        Elector(where, identity="old", session_timeout=4) as old,
        Elector(where, identity="new", session_timeout=4) as new,
    ):
        old_task, _, old_times = await started(old, cleanup=0.2)
        waiting = asyncio.create_task(started(new))
        await asyncio.sleep(0.3)
        session = old.election._sessions.current  # type: ignore[attr-defined]
        stranger_id = (session.id, session.password)
        with operator(ensemble.connect_string, client_id=stranger_id):
            pass  # attaching takes the session, stopping closes it
        with pytest.raises(LeadershipLost):
            await old_task
        new_task, new_term, new_times = await waiting
        assert new_times[0] >= old_times[1]
        predecessor = new_term.result().predecessor
        assert predecessor is not None
        assert not predecessor.ended_cleanly
        new_task.cancel()
        await asyncio.gather(new_task, return_exceptions=True)


async def test_a_lost_reply_to_the_takeover_is_recognised_as_ours(zookeeper: Ensemble, path: str) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with Elector(zookeeper.where(path)) as first, first.campaign():
            pass  # the record exists
        async with Elector(f"zk://{proxy.address}{path}", session_timeout=4) as elector:
            proxy.drop_reply(Op.MULTI)
            async with asyncio.timeout(BOUND), elector.campaign() as term:
                assert proxy.dropped == 1
                assert term.number == 2
                await term.confirm()


async def test_cancelled_while_the_takeover_is_under_way_leaves_no_leader(zookeeper: Ensemble, path: str) -> None:
    with Proxy(zookeeper.servers[0].address) as proxy:
        async with Elector(f"zk://{proxy.address}{path}", session_timeout=4) as elector:
            for pause in (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12):
                proxy.delay(0.02)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(pause), elector.campaign():
                        await asyncio.sleep(BOUND)
                proxy.heal()
                with operator(zookeeper.connect_string) as client:
                    assert await asyncio.to_thread(client.exists, path) is None
                    assert await asyncio.to_thread(client.exists, f"{path}.aioha/seat") is None


async def test_record_overwritten_with_rubbish_is_survived(zookeeper: Ensemble, path: str) -> None:
    async with Elector(zookeeper.where(path)) as elector:
        async with elector.campaign() as first:
            pass
        with operator(zookeeper.connect_string) as client:
            await asyncio.to_thread(client.set, f"{path}.aioha", b"\xff not json")
        async with asyncio.timeout(BOUND), elector.campaign() as second:
            assert second.token > first.token


async def test_everything_beside_the_election_deleted_while_standing_by(zookeeper: Ensemble, path: str) -> None:
    async with (
        Elector(zookeeper.where(path), identity="a") as leader,
        Elector(zookeeper.where(path), identity="b") as standby,
    ):
        task, _, _ = await started(leader)
        waiting = asyncio.create_task(started(standby))
        await asyncio.sleep(0.2)
        with operator(zookeeper.connect_string) as client:
            await asyncio.to_thread(client.delete, f"{path}.aioha", recursive=True)
            with pytest.raises(LeadershipLost):  # what fenced the term is gone
                await task
        async with asyncio.timeout(3.0):  # the node is released, no session has to expire for it
            new_task, _, _ = await waiting
        new_task.cancel()
        await asyncio.gather(new_task, return_exceptions=True)


async def test_without_a_record_it_is_a_plain_race(zookeeper: Ensemble, path: str) -> None:
    where = zookeeper.where(path)
    async with Elector(where, identity="a", record=False) as one, Elector(where, record=False) as two:
        task, term, _ = await started(one)
        assert term.result().number is None
        await term.result().confirm()
        waiting = asyncio.create_task(started(two))
        await asyncio.sleep(0.2)
        with operator(zookeeper.connect_string) as client:
            assert await asyncio.to_thread(client.exists, f"{path}.aioha") is None
        await one.resign()
        with pytest.raises(TermEnded):
            await task
        second, second_term, _ = await waiting
        assert second_term.result().token > term.result().token
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)


async def test_mooon_ends_its_data_with_a_nul_and_keeps_no_record(zookeeper: Ensemble, path: str) -> None:
    where = zookeeper.where(path)
    async with Elector(where, layout="mooon", data=b"10.0.0.1") as elector, elector.campaign():
        with operator(zookeeper.connect_string) as client:
            assert (await asyncio.to_thread(client.get, path))[0] == b"10.0.0.1\0"
            assert await asyncio.to_thread(client.exists, f"{path}.aioha") is None
        leader = await elector.leader()
        assert leader is not None
        assert leader.data == b"10.0.0.1"


async def test_takeover_delay_keeps_the_work_waiting(zookeeper: Ensemble, path: str) -> None:
    loop = asyncio.get_running_loop()
    async with Elector(zookeeper.where(path), takeover_delay=2.0) as elector:
        begun = loop.time()
        task = asyncio.create_task(started(elector))
        async with Elector(zookeeper.where(path)) as observer:
            async for leader in observer.observe():
                if leader is not None:
                    break
            assert not elector.is_leading
        campaign, _, _ = await task
        assert loop.time() - begun >= 2.0
        assert elector.is_leading
        campaign.cancel()
        await asyncio.gather(campaign, return_exceptions=True)


@pytest.mark.parametrize(
    ("child", "kind"),
    [
        ("_c_a1b2-latch-0000000000", "LeaderLatch"),
        ("_c_a1b2-lock-0000000000", "LeaderSelector"),
        ("0a1b__lock__0000000000", "kazoo"),
        ("ActiveStandbyElectorLock", "Hadoop"),
        ("n_0000000000", "LeaderElectionSupport"),
    ],
)
async def test_a_path_of_another_layout_is_refused(zookeeper: Ensemble, path: str, child: str, kind: str) -> None:
    with operator(zookeeper.connect_string) as client:
        await asyncio.to_thread(client.create, f"{path}/{child}", b"", makepath=True)
    with pytest.raises(LayoutMismatch, match=kind):
        async with Elector(zookeeper.where(path)):
            pytest.fail("accepted")


async def test_a_persistent_node_at_the_path_is_refused(zookeeper: Ensemble, path: str) -> None:
    with operator(zookeeper.connect_string) as client:
        await asyncio.to_thread(client.create, path, b"", makepath=True)
    with pytest.raises(LayoutMismatch, match="no session owns"):
        async with Elector(zookeeper.where(path)):
            pytest.fail("accepted")


async def test_no_permission_for_the_path_is_said(zookeeper: Ensemble, path: str) -> None:
    parent = f"{path}-closed"
    readers = [make_acl("world", "anyone", read=True)]
    with operator(zookeeper.connect_string) as client:
        await asyncio.to_thread(client.create, parent, b"", makepath=True, acl=readers)
    with pytest.raises(SessionFailed, match="no permission"):
        async with Elector(zookeeper.where(f"{parent}/election"), identity="me") as elector, elector.campaign():
            pytest.fail("elected")


async def test_without_permission_for_the_record_the_race_goes_on(
    zookeeper: Ensemble, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with operator(zookeeper.connect_string) as client:
        await asyncio.to_thread(
            client.create, f"{path}.aioha", b"", makepath=True, acl=[make_acl("world", "anyone", read=True)]
        )
    async with Elector(zookeeper.where(path)) as elector:
        for _ in range(2):
            async with asyncio.timeout(BOUND), elector.campaign() as term:
                assert term.number is None
    assert sum("no permission to keep a record" in record.message for record in caplog.records) == 1


async def test_with_permission_again_a_record_is_kept_again(zookeeper: Ensemble, path: str) -> None:
    """Also by who has campaigned without: else its terms would not fit into the order of everybody else's."""
    readers, everybody = make_acl("world", "anyone", read=True, admin=True), make_acl("world", "anyone", all=True)
    with operator(zookeeper.connect_string) as client:
        await asyncio.to_thread(client.create, f"{path}.aioha", b"", makepath=True, acl=[readers])
        async with asyncio.timeout(BOUND), Elector(zookeeper.where(path)) as elector:
            async with elector.campaign() as without:
                assert without.number is None
            await asyncio.to_thread(client.set_acls, f"{path}.aioha", [everybody])
            async with elector.campaign() as term:
                assert term.number == 1
                assert term.token > without.token


async def test_digest_credentials_open_what_is_closed_to_the_world(zookeeper: Ensemble, path: str) -> None:
    parent = f"{path}-closed"
    with operator(zookeeper.connect_string) as client:
        await asyncio.to_thread(client.create, parent, b"", makepath=True, acl=[make_digest_acl("user", "s3cret", all=True)])
    where = zookeeper.where(f"{parent}/election").replace("zk://", "zk://user:s3cret@")
    async with Elector(where) as elector, elector.campaign() as term:
        assert term.number == 1
        assert "s3cret" not in repr(elector) + str(term)


async def test_token_floor_lifts_tokens_for_all_later_terms(zookeeper: Ensemble, path: str) -> None:
    floor = 1 << 60
    async with Elector(zookeeper.where(path), token_floor=floor) as elector, elector.campaign() as lifted:
        assert lifted.token > floor
    async with Elector(zookeeper.where(path)) as elector, elector.campaign() as later:
        assert later.token > lifted.token
        leader = await elector.leader()
        assert leader is not None
        assert leader.token == later.token


async def test_token_floor_without_a_record_is_refused(zookeeper: Ensemble, path: str) -> None:
    with pytest.raises(SessionFailed, match="token"):
        async with Elector(zookeeper.where(path), token_floor=1 << 60, record=False) as elector, elector.campaign():
            pytest.fail("elected")
    with operator(zookeeper.connect_string) as client:
        assert await asyncio.to_thread(client.exists, path) is None


async def test_stop_grace_that_does_not_fit_the_negotiated_timeout_is_refused() -> None:
    async with Ensemble(1, max_session_timeout=2.0) as lone:
        with pytest.raises(SessionFailed, match=r"2\.4 s .* 2 s"):
            async with Elector(lone.where("/e"), session_timeout=10, stop_grace=2.4):
                pytest.fail("accepted")


async def test_many_electors_share_one_session(zookeeper: Ensemble, path: str) -> None:
    leading: list[int] = []
    all_lead = asyncio.Event()

    async def work(term: Term) -> None:
        leading.append(term.token)
        if len(leading) == 50:
            all_lead.set()
        await asyncio.sleep(BOUND)

    async with asyncio.timeout(BOUND), Session(f"zk://{zookeeper.connect_string}", session_timeout=4) as session:
        electors = [session.elector(f"{path}/{n}", work) for n in range(50)]
        for elector in electors:
            await elector.__aenter__()
        await all_lead.wait()
        assert len({elector.session.id for elector in electors if elector.session}) == 1
        with pytest.raises(ElectionError, match="already"):
            async with session.elector(f"{path}/1"):
                pytest.fail("two electors on one path")
        with pytest.raises(ValueError, match="session_timeout"):
            session.elector(f"{path}/x", session_timeout=3)
        await asyncio.gather(*(elector.__aexit__(None, None, None) for elector in electors))
        async with session.elector(f"{path}/1") as again, again.campaign():
            pass
    with operator(zookeeper.connect_string) as client:
        left = await asyncio.to_thread(client.get_children, path)
    assert all(name.endswith(".aioha") for name in left)


async def test_resigning_before_the_work_has_started_gives_the_term_to_others(zookeeper: Ensemble, path: str) -> None:
    where = zookeeper.where(path)
    async with Elector(where, identity="waits", takeover_delay=3.0) as first, Elector(where, identity="next") as second:
        campaign = asyncio.create_task(started(first))
        async for leader in second.observe():
            if leader is not None:
                break
        standby = asyncio.create_task(started(second))
        async with asyncio.timeout(2):
            await first.resign()
            task, _, _ = await standby
        assert not first.is_leading
        for each in (task, campaign):
            each.cancel()
        await asyncio.gather(task, campaign, return_exceptions=True)


async def test_who_gave_way_sees_that_others_have_led_meanwhile(zookeeper: Ensemble, path: str) -> None:
    """Each resigns at once: nobody ever sees another *leading*, only that others have led."""
    takeovers: list[float] = []
    loop = asyncio.get_running_loop()

    async def candidate(elector: Elector) -> None:
        while len(takeovers) < 31:
            with contextlib.suppress(TermEnded):
                async with elector.campaign() as term:
                    takeovers.append(loop.time())
                    await term.resign()

    async with contextlib.AsyncExitStack() as stack:
        electors = [await stack.enter_async_context(Elector(zookeeper.where(path))) for _ in range(3)]
        await asyncio.gather(*map(candidate, electors))
    gaps = sorted(after - before for before, after in itertools.pairwise(takeovers))
    assert gaps[len(gaps) * 3 // 4] < 0.5, "giving way takes a second if nobody else is there"
