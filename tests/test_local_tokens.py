"""One host: what keeps tokens rising and candidates of all versions in one election, in the file and the socket's name."""

from pathlib import Path

import pytest
from oldterms import crash, lead_once, win_and
from stores import local_store

from aioha.elections import Grant
from aioha.elections.local import record
from aioha.elections.local.presence import socket_name

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("terms_before", [1, 2])
@pytest.mark.parametrize("slot", [0, 1])
async def test_a_leap_to_a_floor_survives_a_torn_slot(tmp_path: Path, slot: int, terms_before: int) -> None:
    """Whichever slot a power cut spoils, the other one must know how high the tokens were: a leap is written on its own."""
    store = local_store(tmp_path)
    for _ in range(terms_before):
        await lead_once(store)
    leapt = await crash(store, "leapt", token_floor=1000)
    assert leapt == 1001
    file = Path(store.where.removeprefix("local:"))
    raw = bytearray(file.read_bytes())
    raw[slot * 4096 : slot * 4096 + 256] = b"\0" * 256
    file.write_bytes(raw)
    assert (await lead_once(store)).token > leapt


@pytest.mark.parametrize("slot", [0, 1])
async def test_what_a_hook_has_done_is_not_written_over_the_slot_that_counts(tmp_path: Path, slot: int) -> None:
    store = local_store(tmp_path)
    await crash(store, "dead")

    async def fenced(grant: Grant) -> None:
        await grant.fenced(grant.unfenced[0])

    token = (await win_and(store, fenced, identity="late")).token
    raw = bytearray(Path(store.where.removeprefix("local:")).read_bytes())
    assert not record.newest_slot(bytes(raw)).suspect
    raw[slot * 4096 : slot * 4096 + 256] = b"\0" * 256
    assert record.unpack_slot(bytes(raw[(1 - slot) * 4096 :])).token == token


def test_all_versions_bind_the_same_name() -> None:
    """Who binds another name for the same file leads beside the others."""
    assert socket_name("/run/lock/billing", 1000) == b"\0aioha/1000/af14b203b64589ef5fa69693ae317cc99a2a344f"
