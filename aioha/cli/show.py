"""`aioha status` and `aioha watch`: who leads, for people and, with --json, for programs."""

import asyncio
import base64
import json
import os
import stat
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from ..elections.protocol import Leader
from ..elector import Elector
from .report import BROKEN_PIPE, Failure, deliver, printable

__all__ = ["status", "watch"]


async def status(elector: Elector, where: str, *, as_json: bool) -> int:
    """Print who leads. Returns 0 if somebody does, else 1."""
    async with elector:
        leader, standbys = await elector.election.candidates()
    shown = _status_object(where, leader, standbys) if as_json else None
    deliver(json.dumps(shown) if shown is not None else _status_text(where, leader, standbys))
    return 0 if leader else 1


async def watch(elector: Elector, *, as_json: bool) -> int:
    """Print who leads, and each change, until cancelled or until nobody reads any more."""
    line = _event_line if as_json else _event_text
    with _reader_gone_raises():
        async with elector:
            async for leader in elector.observe():
                deliver(line(leader, time.time()))
    return 0


def _status_object(where: str, leader: Leader | None, standbys: Sequence[Leader]) -> dict[str, Any]:
    candidates = [*([leader] if leader else []), *standbys]
    return {
        "where": where,
        "leader": leader and {**_candidate(leader), "token": leader.token, "since": leader.since},
        "candidates": [_candidate(each) for each in candidates],
    }


def _candidate(one: Leader) -> dict[str, str]:
    return {"identity": one.identity, **_data(one.data)}


def _data(data: bytes) -> dict[str, str]:
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data_base64": base64.b64encode(data).decode()}


def _status_text(where: str, leader: Leader | None, standbys: Sequence[Leader]) -> str:
    line = [f"  then   {printable(each.identity)}" for each in standbys]
    if leader is None:
        return "\n".join([f"{where}: nobody leads", *line])
    lines = [f"{where}: led by {printable(leader.identity)}", f"  token  {leader.token}", f"  since  {_since(leader.since)}"]
    if leader.data != leader.identity.encode():
        lines.append(f"  data   {printable(leader.data.decode(errors='backslashreplace'))}")
    return "\n".join([*lines, *line])


def _since(moment: float) -> str:
    seconds = max(0, round(time.time() - moment))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    ago = f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"
    return f"{_clock(moment)} ({ago} ago)"


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().isoformat(sep=" ", timespec="milliseconds")


def _event_line(leader: Leader | None, at: float) -> str:
    event = "leader" if leader else "vacant"
    identity, token = (leader.identity, leader.token) if leader else (None, None)
    return json.dumps({"event": event, "at": at, "identity": identity, "token": token})


def _event_text(leader: Leader | None, at: float) -> str:
    return f"{_clock(at)}  " + (f"{printable(leader.identity)} leads, token {leader.token}" if leader else "nobody leads")


@contextmanager
def _reader_gone_raises() -> Generator[None, None, None]:
    """Without it `aioha watch | head -1` would end only at the next change: a write is the first to meet a broken pipe."""
    descriptor = sys.stdout.fileno()
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        yield
        return
    loop, task, gone = asyncio.get_running_loop(), asyncio.current_task(), False

    def on_gone() -> None:
        nonlocal gone
        gone = True
        loop.remove_reader(descriptor)
        if task:
            task.cancel()

    loop.add_reader(descriptor, on_gone)  # the writing end of a pipe is "readable" only once no reader is left
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        raise Failure(BROKEN_PIPE) from None
    finally:
        loop.remove_reader(descriptor)
