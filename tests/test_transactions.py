"""Fenced transactions on real servers: all or nothing, at the end of the block, and what a refusal says."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiozk
import pytest
from kazoo.security import make_acl
from operator_client import operator

from aioha import ElectionError, Elector, Fenced, Session, Term, Unavailable
from aioha.testing import Ensemble, Op, Proxy
from aioha.transaction import Transaction

BOUND = 20.0  # seconds: more than anything here takes


@pytest.fixture
def path() -> str:
    return f"/tests/{uuid.uuid4().hex}"


@contextlib.asynccontextmanager
async def leading(where: str, **options: Any) -> AsyncIterator[Term]:
    options.setdefault("session_timeout", 4.0)
    async with asyncio.timeout(BOUND), Elector(where, **options) as elector, elector.campaign() as term:
        yield term


async def data_of(term: Term, path: str) -> bytes:
    return bytes((await term.zookeeper.get_data(path)) or b"")


# ---------------------------------------------------------------------- what is carried out


async def test_all_of_it_happens_at_once_and_only_at_the_end_of_the_block(zookeeper: Ensemble, path: str) -> None:
    async with leading(zookeeper.where(path)) as term:
        async with term.transaction() as t:
            t.create(f"{path}-a", b"1")
            t.create(f"{path}-a/child", b"")
            t.create(f"{path}-b", b"1")
        async with term.transaction() as t:
            t.check(f"{path}-b", 0)
            t.set_data(f"{path}-a", b"2", 0)
            t.delete(f"{path}-a/child")
            t.create(f"{path}-c", b"3")
            t.delete(f"{path}-b", 0)
            assert await data_of(term, f"{path}-a") == b"1"
            assert await term.zookeeper.exists(f"{path}-b")
        with operator(zookeeper.connect_string) as client:
            data, changed = await asyncio.to_thread(client.get, f"{path}-a")
            created = (await asyncio.to_thread(client.get, f"{path}-c"))[1]
            assert (data, changed.version, changed.mzxid) == (b"2", 1, created.czxid)
            assert await asyncio.to_thread(client.exists, f"{path}-b") is None
            assert created.ephemeralOwner == 0


async def test_a_block_that_raises_writes_nothing(zookeeper: Ensemble, path: str) -> None:
    with Proxy(zookeeper.servers[0].address) as link:
        async with leading(f"zk://{link.address}{path}") as term:
            with pytest.raises(KeyError, match="mine"):
                async with term.transaction() as t:
                    t.create(f"{path}-a", b"")
                    raise KeyError("mine")
            assert not await term.zookeeper.exists(f"{path}-a")
            term.check()


async def test_an_empty_one_asks_the_store_all_the_same(zookeeper: Ensemble, path: str) -> None:
    with Proxy(zookeeper.servers[0].address) as link:
        async with leading(f"zk://{link.address}{path}", session_timeout=20.0) as term:
            asked = link.requests[Op.MULTI]
            async with term.transaction():
                pass
            assert link.requests[Op.MULTI] > asked


async def test_created_nodes_get_the_electors_acl(zookeeper: Ensemble, path: str) -> None:
    everybody = aiozk.ACL.make("world", "anyone", read=True, write=True, create=True, delete=True)  # not admin
    async with leading(zookeeper.where(path), acl=[everybody]) as term, term.transaction() as t:
        t.create(f"{path}-a", b"")
    with operator(zookeeper.connect_string) as client:
        acls, _ = await asyncio.to_thread(client.get_acls, f"{path}-a")
        assert [(acl.perms, acl.id.scheme) for acl in acls] == [(15, "world")]


async def test_what_a_term_writes_to_its_leaders_node_does_not_end_it(zookeeper: Ensemble, path: str) -> None:
    """Also not what somebody else writes there: the node stays ours."""
    async with leading(zookeeper.where(path)) as term:
        for number in range(3):
            async with term.transaction() as t:
                t.set_data(path, b"%d" % number)
        with operator(zookeeper.connect_string) as client:
            client.set(path, b"by hand")
        async with term.transaction() as t:
            t.create(f"{path}-a", b"")
        await term.confirm()
        assert await data_of(term, path) == b"by hand"


# ---------------------------------------------------------------------- what an operation can be refused for

REFUSED: dict[str, tuple[Callable[[Transaction, str], None], str]] = {
    "set_data, version": (lambda t, p: t.set_data(f"{p}/full", b"x", 3), "set_data {p}/full: version is not 3"),
    "set_data, missing": (lambda t, p: t.set_data(f"{p}/no", b"x"), "set_data {p}/no: it does not exist"),
    "set_data, acl": (lambda t, p: t.set_data(f"{p}/closed", b"x"), "set_data {p}/closed: no permission; check the ACL"),
    "create, exists": (lambda t, p: t.create(f"{p}/full", b""), "create {p}/full: it exists already"),
    "create, parent": (lambda t, p: t.create(f"{p}/no/a", b""), "create {p}/no/a: its parent does not exist"),
    "create, acl": (lambda t, p: t.create(f"{p}/closed/a", b""), "create {p}/closed/a: no permission; check the ACL of its"),
    "create, ephemeral": (lambda t, p: t.create(f"{p}/passing/a", b""), "the servers answered NoChildrenForEphemerals"),
    "delete, version": (lambda t, p: t.delete(f"{p}/full/child", 3), "delete {p}/full/child: version is not 3"),
    "delete, missing": (lambda t, p: t.delete(f"{p}/no"), "delete {p}/no: it does not exist"),
    "delete, full": (lambda t, p: t.delete(f"{p}/full"), "delete {p}/full: it has children"),
    "check, version": (lambda t, p: t.check(f"{p}/full", 1), "check {p}/full: version is not 1"),
    "check, missing": (lambda t, p: t.check(f"{p}/no", -1), "check {p}/no: it does not exist"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_operation_is_named_and_nothing_is_written(zookeeper: Ensemble, path: str, case: str) -> None:
    refused, message = REFUSED[case]
    below = f"{path}-data"
    with operator(zookeeper.connect_string) as client:
        client.create(f"{below}/full/child", b"", makepath=True)
        client.create(f"{below}/closed", b"", acl=[make_acl("world", "anyone", read=True)])
        client.create(f"{below}/passing", b"", ephemeral=True)
        async with leading(zookeeper.where(path)) as term:
            with pytest.raises(Fenced) as raised:
                async with term.transaction() as t:
                    t.create(f"{below}/a", b"")
                    refused(t, below)
                    t.create(f"{below}/b", b"")
            assert str(raised.value).startswith("nothing was written: operation 2, ")
            assert message.format(p=below) in str(raised.value)
            assert raised.value.operation == 2
            assert raised.value.__cause__ is None
            assert raised.value.__suppress_context__
            assert sorted(client.get_children(below)) == ["closed", "full", "passing"]
            term.check()
            await term.confirm()


async def test_a_refused_operation_is_the_bodys_own_exception(zookeeper: Ensemble, path: str) -> None:
    async with asyncio.timeout(BOUND), Elector(zookeeper.where(path), session_timeout=4) as elector:
        terms: list[int] = []

        async def work(term: Term) -> None:
            terms.append(term.token)
            async with term.transaction() as t:
                t.delete(f"{path}-no")

        with pytest.raises(Fenced) as raised:
            await elector.lead(work)
        assert raised.value.operation == 1
        assert len(terms) == 1


# ---------------------------------------------------------------------- where nothing can be fenced


async def test_without_a_record_there_are_none_and_the_error_says_what_to_do(zookeeper: Ensemble, path: str) -> None:
    for options, why in (({"record": False}, "record=False"), ({"layout": "mooon"}, "layout=mooon")):
        async with leading(zookeeper.where(path), **options) as term:
            with pytest.raises(ElectionError, match=rf"^{path}: .*without a record \({why}\): allow one at {path}\.aioha"):
                term.transaction()
    with operator(zookeeper.connect_string) as client:
        client.create(f"{path}.aioha", b"", makepath=True, acl=[make_acl("world", "anyone", read=True)])
    async with leading(zookeeper.where(path)) as term:
        with pytest.raises(ElectionError, match=r"\(no permission for it\).* send term\.token"):
            term.transaction()


async def test_on_one_host_there_are_none(tmp_path: Path) -> None:
    async with Elector(f"local:{tmp_path}/lock") as elector, elector.campaign() as term:
        with pytest.raises(ElectionError, match=r"no store to write to: send term\.token"):
            term.transaction()


async def test_it_belongs_to_the_electors_loop(zookeeper: Ensemble, path: str) -> None:
    async with leading(zookeeper.where(path)) as term:

        async def elsewhere() -> None:
            async with term.transaction() as t:
                t.create(f"{path}-a", b"")

        with pytest.raises(ElectionError, match="elector's event loop"):
            await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert not await term.zookeeper.exists(f"{path}-a")


# ---------------------------------------------------------------------- many at once


async def test_many_at_once_on_one_term(zookeeper: Ensemble, path: str) -> None:
    async with leading(zookeeper.where(path)) as term:
        async with term.transaction() as t:
            t.create(f"{path}-a", b"")

        refusals: list[int | None] = []

        async def write(number: int) -> bool:
            """Compare and set: of all that expect version 0, one succeeds."""
            try:
                async with term.transaction() as t:
                    t.create(f"{path}-a/{number}", b"")
                    t.set_data(f"{path}-a", b"%d" % number, 0)
            except Fenced as fenced:
                refusals.append(fenced.operation)
                return False
            return True

        done = await asyncio.gather(*(write(number) for number in range(200)))
        winner = b"%d" % done.index(True)
        assert sum(done) == 1
        assert refusals == [2] * 199
        assert await data_of(term, f"{path}-a") == winner
        assert [name.encode() for name in await term.zookeeper.get_children(f"{path}-a")] == [winner]


async def test_terms_that_share_a_session_are_fenced_each_for_itself(zookeeper: Ensemble, path: str) -> None:
    async with asyncio.timeout(BOUND), Session(f"zk://{zookeeper.connect_string}", session_timeout=4) as session:
        one, two = session.elector(f"{path}/one"), session.elector(f"{path}/two")
        async with one, two, two.campaign() as stays:
            with pytest.raises(ElectionError, match="took over"):
                async with one.campaign() as lost:
                    async with lost.transaction() as t, stays.transaction() as other:
                        t.create(f"{path}/a", b"")
                        other.create(f"{path}/b", b"")
                    with operator(zookeeper.connect_string) as client:
                        client.set(f"{path}/one.aioha", b"")  # the loop does not run meanwhile
                    with pytest.raises(Fenced):
                        async with lost.transaction() as t:
                            t.set_data(f"{path}/a", b"stale")
                    async with stays.transaction() as t:
                        t.set_data(f"{path}/b", b"fresh")
                    async with lost.transaction():
                        pytest.fail("Fenced comes at the end")
            assert await data_of(stays, f"{path}/a") == b""
            assert await data_of(stays, f"{path}/b") == b"fresh"


async def test_across_killed_servers_each_is_done_once_or_not_at_all_or_not_known(ensemble: Ensemble, path: str) -> None:
    done = unknown = 0
    elector = Elector(ensemble.where(path), session_timeout=8)
    async with asyncio.timeout(BOUND), elector, elector.campaign() as term:
        async with term.transaction() as t:
            t.create(f"{path}-a", b"")
        for number in range(90):
            assert elector.session is not None
            server = next((each for each in ensemble.servers if each.address == elector.session.server), None)
            if number % 30 == 10 and server is not None:
                server.kill()
            try:
                async with term.transaction() as t:
                    t.set_data(f"{path}-a", b"")
            except Unavailable:
                unknown += 1
            else:
                done += 1
            if number % 30 == 29:
                await asyncio.to_thread(ensemble.restore)
    with operator(ensemble.connect_string) as client:
        version = client.get(f"{path}-a")[1].version
    assert done <= version <= done + unknown
    assert unknown <= 6
