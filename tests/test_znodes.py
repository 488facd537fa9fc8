"""What every layout does to znodes: which requests are sent, and the whole text of each refusal."""

import pytest
from scripted import READABLE, failing, listed, node, script

from aioha.elections.zookeeper.znodes import commit_something, ensure, explain_refusal, ignore, mismatch, stat_or_none
from aioha.errors import LayoutMismatch, SessionFailed
from aioha.wire import requests
from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NodeExists, NoNode, ResponseError

CREATES = ["create /a ''", "create /a/b ''", "create /a/b/c ''"]


async def test_a_path_and_its_parents_are_made_in_one_round_trip() -> None:
    session = script(NodeExists(), object(), object())
    await ensure(session, "/a/b/c", None)
    session.assert_asked(*CREATES)


async def test_what_is_made_has_the_acl_that_was_asked_for() -> None:
    session = script(object(), object())
    await ensure(session, "/a/b", READABLE)
    session.assert_asked("create /a '' for world:anyone=1", "create /a/b '' for world:anyone=1")


async def test_every_letter_of_a_path_counts() -> None:
    session = script(object(), object())
    await ensure(session, "/X/aX", None)
    session.assert_asked("create /X ''", "create /X/aX ''")


async def test_of_no_path_nothing_is_made() -> None:
    session = script()
    await ensure(session, "", None)
    session.assert_asked()


@pytest.mark.parametrize("answers", [(NoAuth(), NodeExists(), object()), (NoAuth(), NoNode(), NoNode())], ids=["", "deep"])
async def test_who_may_not_create_is_refused_only_where_it_is_missing(answers: tuple[object, ...]) -> None:
    session = script(*answers, node())
    await ensure(session, "/a/b/c", None)
    session.assert_asked(*CREATES, "exists /a/b/c")
    session = script(*answers, NoNode())
    with pytest.raises(NoAuth):
        await ensure(session, "/a/b/c", None)
    session.assert_asked(*CREATES, "exists /a/b/c")


@pytest.mark.parametrize("error", [NoNode(), BadVersion(), ConnectionLoss()], ids=lambda error: type(error).__name__)
async def test_every_other_refusal_goes_out(error: ResponseError) -> None:
    session = script(NodeExists(), error, object())
    with pytest.raises(type(error)):
        await ensure(session, "/a/b/c", None)
    session.assert_asked(*CREATES)


async def test_what_is_asked_behind_a_committed_write_is_not_older() -> None:
    session = script(failing(0, BadVersion()))
    await commit_something(session)
    session.assert_asked("check /")


async def test_no_node_is_no_stat() -> None:
    session = script(node(5, version=3, owner=7), NoNode(), NoAuth())
    stat = await stat_or_none(session.send(requests.exists("/a")))
    assert stat is not None
    assert (stat.czxid, stat.version, stat.owner) == (5, 3, 7)
    assert await stat_or_none(session.send(requests.exists("/a"))) is None
    with pytest.raises(NoAuth):
        await stat_or_none(session.send(requests.exists("/a")))
    ignore(1, "/a")


def test_a_refusal_says_what_to_do() -> None:
    refused = explain_refusal(NoAuth(), "/service/e", "me")
    assert type(refused) is SessionFailed
    assert str(refused) == (
        "no permission for /service/e (candidate me); check its ACL and the credentials in `where`"
    )  # fmt: skip
    other = explain_refusal(BadVersion(), "/service/e", "me")
    assert type(other) is SessionFailed
    assert str(other) == f"the servers refused /service/e: {BadVersion()} (candidate me)"


NEEDS = "and layouts ephemeral and mooon need the path for themselves"
GUID = "32a7c6a4-1f5d-4f0e-9b61-0d6ac6f7ee1b"


@pytest.mark.parametrize(
    ("children", "what", "advice"),
    [
        ([], "a node that no session owns", "delete it, if nothing needs it, or choose"),
        (["b", "a"], "a node that no session owns (it holds a, b)", "choose"),
        (["d", "c", "b", "a"], "a node that no session owns (it holds a, b, c)", "choose"),
        (
            [f"_c_{GUID}-latch-0000000001"],
            f"the root of a Curator LeaderLatch election (it holds _c_{GUID}-latch-0000000001)",
            "choose layout=latch, or",
        ),
        (
            ["_c_1-lock-02"],
            "the root of a Curator LeaderSelector or go-zookeeper election (it holds _c_1-lock-02)",
            "choose layout=selector or go-zk, or",
        ),
        (
            ["z", "1__lock__02"],
            "the root of a kazoo election (it holds 1__lock__02, z)",
            "choose layout=kazoo, or",
        ),
        (
            ["ActiveStandbyElectorLock"],
            "the root of a Hadoop election (it holds ActiveStandbyElectorLock)",
            "choose layout=hadoop, or",
        ),
        (
            ["n_01"],
            "the root of a ZooKeeper's LeaderElectionSupport election (it holds n_01)",
            "choose layout=zk-recipes, or",
        ),
    ],
)
async def test_what_a_path_holds_that_is_no_leaders_node_is_named(children: list[str], what: str, advice: str) -> None:
    session = script(listed(*children))
    error = await mismatch(session, "/service/e")
    session.assert_asked("children /service/e")
    assert type(error) is LayoutMismatch
    assert str(error) == f"/service/e is {what}, {NEEDS}: {advice} another path"
