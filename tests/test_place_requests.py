"""Joining a queue: exactly which requests make our place, whatever is answered, and what is heard of it."""

from typing import Any

import pytest
from places import COMMITTED, Joined, place, standing
from scripted import DONE, READABLE, listed, node, script

from aioha.wire.errors import BadVersion, ConnectionLoss, NoAuth, NoNode, ResponseError, SessionMoved


async def test_joining_is_one_request() -> None:
    session = script(Joined("/q/e/n_0000000005"))
    mine = place(session)
    assert (mine.name, mine.czxid, mine.is_watched, mine.must_stay, mine.may_be_there) == (None, None, False, False, False)
    assert await mine.join() is True
    assert mine.may_be_there
    session.assert_asked("create /q/e/n_ 'me' ephemeral sequential")
    assert (mine.name, mine.path, mine.session) == ("n_0000000005", "/q/e/n_0000000005", session)
    assert (mine.czxid, mine.is_watched) == (None, False)


async def test_the_path_is_made_with_the_acl_where_it_is_missing() -> None:
    session = script(NoNode(), object(), object(), Joined("/q/e/n_0000000005"))
    mine = place(session, acl=READABLE)
    assert await mine.join() is False
    assert (mine.name, mine.may_be_there) == (None, False)
    assert await mine.join() is True
    join, made = "create /q/e/n_ 'me' ephemeral sequential for world:anyone=1", "{} '' for world:anyone=1"
    session.assert_asked(join, made.format("create /q"), made.format("create /q/e"), join)


@pytest.mark.parametrize("error", [NoAuth(), BadVersion()])
async def test_a_refusal_goes_out_and_leaves_nothing_uncertain(error: ResponseError) -> None:
    session = script(error, Joined("/q/e/n_0000000005"))
    mine = place(session)
    with pytest.raises(type(error)):
        await mine.join()
    assert not mine.may_be_there
    assert await mine.join() is True
    assert len(session.asked) == 2


@pytest.mark.parametrize("error", [ConnectionLoss(), SessionMoved()])
async def test_after_a_lost_reply_the_node_is_looked_for_behind_a_committed_write(error: Exception) -> None:
    session = script(error, COMMITTED, listed("other-1", "m0000000005"), DONE)
    mine = place(session, "latch", "m")
    with pytest.raises(type(error)):
        await mine.join()
    assert mine.may_be_there
    assert await mine.join() is True
    assert mine.name == "m0000000005"
    await mine.leave()
    join = "create /q/e/m 'me' ephemeral sequential"
    session.assert_asked(join, "check /", "children /q/e", "delete /q/e/m0000000005")


@pytest.mark.parametrize("found", [listed("other-1"), listed(), NoNode()])
async def test_where_the_node_was_not_made_it_is_made_now(found: Any) -> None:
    join = "create /q/e/m 'me' ephemeral sequential"
    session = script(ConnectionLoss(), COMMITTED, found, Joined("/q/e/m5"))
    mine = place(session, "latch", "m")
    with pytest.raises(ConnectionLoss):
        await mine.join()
    assert await mine.join() is True
    session.assert_asked(join, "check /", "children /q/e", join)
    assert mine.name == "m5"


async def test_a_name_without_a_guid_tells_by_its_owner() -> None:
    session = script(
        ConnectionLoss(), COMMITTED, listed("n_1", "x", "n_2", "n_3"), node(owner=8), node(owner=7), NoNode()
    )  # fmt: skip
    mine = place(session)
    with pytest.raises(ConnectionLoss):
        await mine.join()
    await mine.join()
    assert session.asked[2:] == ["children /q/e", "exists /q/e/n_1", "exists /q/e/n_2", "exists /q/e/n_3"]
    assert mine.name == "n_2"
    session = script(ConnectionLoss(), COMMITTED, listed("n_1"), node(owner=8), Joined("/q/e/n_5"))
    mine = place(session)
    with pytest.raises(ConnectionLoss):
        await mine.join()
    await mine.join()
    assert mine.name == "n_5"


def test_who_was_deleted_by_hand_is_another_from_then_on() -> None:
    session = script()
    mine = standing(session)
    mine.is_watched = mine.must_stay = True
    mine.renew()
    assert (mine.name, mine.czxid, mine.is_watched, mine.must_stay, mine.may_be_there) == (None, None, False, False, False)
    assert mine._stem.startswith("_c_")
    assert session.forgotten == [mine.on_event]


def test_what_happens_to_the_node_is_heard_and_to_no_other() -> None:
    heard = list[tuple[int, str]]()
    mine = standing(script())
    mine.heard = lambda event, path: heard.append((event, path))
    mine.is_watched = True
    mine.on_event(2, "/q/e/m6")
    assert (mine.is_watched, heard) == (True, [])
    mine.on_event(2, "/q/e/m5")
    assert (mine.is_watched, heard) == (False, [(2, "/q/e/m5")])
    mine.renew()
    mine.is_watched = True
    mine.on_event(2, "/q/e/m5")
    assert mine.is_watched is True
