"""What a transaction refuses before anything is sent: what ZooKeeper would not take, and blocks used twice."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aioha import ElectionError, Elector
from aioha.elections.zookeeper.fencing import LARGEST
from aioha.testing import Ensemble, Proxy
from aioha.transaction import Transaction

TIMEOUT = 4.0


@pytest.fixture
def path() -> str:
    return f"/tests/{uuid.uuid4().hex}"


@pytest.mark.parametrize("name", ["create", "set_data", "delete", "check"])
@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ("orders", ValueError, r"path 'orders' must begin"),
        ("", ValueError, r"path '' must begin"),
        ("/orders/", ValueError, r"path '/orders/' has an empty part"),
        ("/a//b", ValueError, r"path '/a//b' has an empty part"),
        ("/a/../b", ValueError, r"path '/a/\.\./b' has a part"),
        ("/a\0b", ValueError, r"path '/a\\x00b' has a character"),
        ("/a\ud800", ValueError, r"has a character"),
        (b"/orders", TypeError, r"path: must be text, got bytes"),
        (None, TypeError, r"path: must be text, got NoneType"),
    ],
)
async def test_bad_paths_are_refused_at_the_call(
    unsent: Transaction, name: str, bad: Any, error: type[Exception], says: str
) -> None:
    more = {"create": (b"",), "set_data": (b"",), "check": (0,), "delete": ()}[name]
    with pytest.raises(error, match=says):
        getattr(unsent, name)(bad, *more)


@pytest.mark.parametrize("bad", ["text", bytearray(b"x"), None, 7])
async def test_data_must_be_bytes(unsent: Transaction, bad: Any) -> None:
    for call in (unsent.create, unsent.set_data):
        with pytest.raises(TypeError, match=r"data of /orders: must be bytes, got \w+"):
            call("/orders", bad)


@pytest.mark.parametrize(("bad", "error"), [("3", TypeError), (None, TypeError), (1.0, TypeError), (True, TypeError)])
async def test_versions_must_be_integers(unsent: Transaction, bad: Any, error: type[Exception]) -> None:
    for call in (lambda: unsent.set_data("/a", b"", bad), lambda: unsent.delete("/a", bad), lambda: unsent.check("/a", bad)):
        with pytest.raises(error, match=r"version of /a: must be an integer, got \w+"):
            call()


@pytest.mark.parametrize("bad", [-2, 2**31])
async def test_versions_must_be_versions(unsent: Transaction, bad: int) -> None:
    with pytest.raises(ValueError, match=rf"version of /a: must be from 0 to 2147483647, or -1 for any, got {bad}"):
        unsent.check("/a", bad)


@pytest.fixture
async def unsent() -> AsyncIterator[Transaction]:
    """In its block, of a grant that nobody asks for anything."""
    grant: Any = None
    try:
        async with Transaction(grant, "term 7 of /x", lambda: None) as transaction:
            yield transaction
            raise KeyError("nothing is to be sent")
    except KeyError:
        pass


async def test_a_transaction_has_one_block(zookeeper: Ensemble, path: str) -> None:
    async with Elector(zookeeper.where(path), session_timeout=TIMEOUT) as elector, elector.campaign() as term:
        transaction = term.transaction()
        with pytest.raises(ElectionError, match=r"create /a: the transaction is used before its block"):
            transaction.create("/a", b"")
        async with transaction as t:
            t.create(f"{path}-a", b"")
            with pytest.raises(ElectionError, match="entered once"):
                await transaction.__aenter__()
        with pytest.raises(ElectionError, match=r"delete /a: the transaction is used after the end of its block"):
            t.delete("/a")
        with pytest.raises(ElectionError, match="entered once"):
            async with transaction:
                pytest.fail("entered")
        assert repr(transaction) == f"<Transaction of term 1 of {path}: 1 operations>"


async def test_one_that_servers_would_not_take_costs_no_connection(zookeeper: Ensemble, path: str) -> None:
    """A server hangs up on a request that is too large. The largest that passes here passes there."""
    with Proxy(zookeeper.servers[0].address) as link:
        where = f"zk://{link.address}{path}"
        async with Elector(where, session_timeout=TIMEOUT) as elector, elector.campaign() as term:
            with pytest.raises(
                ValueError, match=r"\d+ bytes are more than the 1048575 .* create /\S+, has 2000000 bytes"
            ) as raised:
                async with term.transaction() as t:
                    t.create(f"{path}-a", b"x" * 2_000_000)
            around = int(str(raised.value).split()[1]) - 2_000_000
            with pytest.raises(ValueError, match=r"1048576 bytes"):
                async with term.transaction() as t:
                    t.create(f"{path}-a", b"x" * (LARGEST - around + 1))
            async with term.transaction() as t:
                t.create(f"{path}-a", b"x" * (LARGEST - around))
            assert link.accepted == 1
