"""Elections on one host, with real processes: run as a program, this file is a candidate (see `candidate`)."""

import asyncio
import contextlib
import fcntl
import itertools
import json
import logging
import os
import random
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from aioha.elections.local import LocalElection, LocalGrant, record  # noqa: E402
from aioha.elections.local.place import file_system_type, locate, shared_file_system  # noqa: E402
from aioha.elections.local.presence import connect, first_readable, socket_name, this_process  # noqa: E402
from aioha.elections.protocol import Election, Grant  # noqa: E402
from aioha.errors import ElectionError, SessionFailed  # noqa: E402
from aioha.settings import Settings  # noqa: E402

BOUND = 10.0  # seconds; nothing here takes that long unless it is broken


def election(path: Path | str, identity: str = "me", **options: Any) -> LocalElection:
    return LocalElection(str(path), Settings(identity=identity, **options))


def run(main: Callable[[], Coroutine[Any, Any, None]], bound: float = 60.0) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(bound):
            await main()

    asyncio.run(bounded())


async def soon(wins: Coroutine[Any, Any, LocalGrant]) -> LocalGrant:
    async with asyncio.timeout(BOUND):
        return await wins


@contextlib.contextmanager
def same_descriptors() -> Iterator[None]:
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "election.lock"


# --- candidates in processes of their own


def _say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def candidate(path: str, identity: str, extra: str) -> None:
    """Say when we lead, in one line of JSON; then do as told by lines on stdin: "release", "win"."""
    mine = election(path, identity)
    await mine.open()
    if extra == "standby":  # say so once we can be expected to wait
        _say(standby=True)
    for again in itertools.chain([False], itertools.repeat(True)):
        grant = await mine.win(yielding=again)
        _say(token=grant.token, at=time.monotonic(), clean=_clean(grant))
        child = None
        if extra == "fork" and (child := os.fork()) == 0:
            _say(child=os.getpid())
            signal.pause()
        if extra == "popen":
            child = subprocess.Popen(["sleep", "60"], close_fds=False).pid
            _say(child=child)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        await grant.release()


def _clean(grant: LocalGrant) -> bool | None:
    return None if grant.predecessor is None else grant.predecessor.ended_cleanly


class Candidate:
    def __init__(self, path: Path, identity: str = "other", extra: str = "") -> None:
        # Unbuffered: `select` must see a second line that came with the first.
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(path), identity, extra], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def says(self, bound: float = BOUND) -> dict[str, Any]:
        """The next line, None of which is ever waited for beyond the bound."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], bound)
        assert ready, "the candidate said nothing in time"
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def silent(self, seconds: float) -> bool:
        assert self.process.stdout is not None
        return not select.select([self.process.stdout], [], [], seconds)[0]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def release(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()


@pytest.fixture
def start() -> Iterator[Callable[..., Candidate]]:
    begun: list[Candidate] = []

    def begin(*args: Any) -> Candidate:
        begun.append(Candidate(*args))
        return begun[-1]

    yield begin
    for each in begun:
        with contextlib.suppress(ProcessLookupError):
            each.process.send_signal(signal.SIGCONT)
        each.kill()
        for stream in (each.process.stdin, each.process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()


def until_connected(path: Path, guests: int) -> None:
    """Wait until so many standbys are connected to the leader of `path`, according to the kernel."""
    name = socket_name(str(path), os.geteuid())[1:].decode()
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        lines = Path("/proc/net/unix").read_text().splitlines()
        if sum(line.endswith("@" + name) for line in lines) >= guests + 1:  # the listener, and one for each guest
            return
        time.sleep(0.002)
    pytest.fail(f"no {guests} standbys within {BOUND} s")


# --- terms and handover


def test_protocols(path: Path) -> None:
    async def main() -> None:
        mine: Election = election(path, data=b"10.0.0.1:80", session_timeout=20.0)
        await mine.open()
        assert mine.session is None
        assert not path.exists()
        grant: Grant = await mine.win()
        assert (grant.token, grant.number, grant.predecessor, grant.settle, grant.stop_grace) == (1, 1, None, 0.0, 2.0)
        assert grant.deadline == grant.lease == float("inf")
        assert (grant.doubtful, grant.ended) == (False, None)
        assert (grant.leader.identity, grant.leader.data) == ("me", b"10.0.0.1:80")
        assert path.stat().st_mode & 0o777 == 0o600
        await grant.confirm()
        with pytest.raises(ElectionError, match="no ZooKeeper"):
            grant.client()
        await grant.release()
        await grant.release()
        await mine.close()
        await mine.close()

    with same_descriptors():
        run(main)


def test_one_at_a_time_and_handover_by_release(path: Path) -> None:
    async def main() -> None:
        first, second = election(path, "first"), election(path, "second", data=b"\xff\x00text")
        grant = await first.win()
        waiting = asyncio.create_task(second.win())
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        assert not done
        await grant.release()
        after = await soon(_result(waiting))
        assert (after.token, after.number) == (2, 2)
        assert after.predecessor is not None
        assert (after.predecessor.identity, after.predecessor.ended_cleanly) == ("first", True)
        assert await first.leader() == after.leader
        assert (await first.leader()).data == b"\xff\x00text"  # type: ignore[union-attr]
        await after.release()
        assert [(term.identity, term.how) for term in await first.history()] == [
            ("first", "released"),
            ("second", "released"),
        ]

    with same_descriptors():
        run(main)


async def _result(task: "asyncio.Task[LocalGrant]") -> LocalGrant:
    return await task


def test_uvloop(path: Path) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        first, second = election(path, "first"), election(path, "second")
        for _ in range(5):
            grant = await first.win()
            waiting = asyncio.create_task(second.win())
            await asyncio.sleep(0.05)
            began = time.monotonic()
            await grant.release()
            grant = await soon(_result(waiting))
            assert time.monotonic() - began < 0.6
            await grant.release()

    uvloop.run(main())


def test_handover_times(path: Path, start: Callable[..., Candidate]) -> None:
    """From kill -9 of the leader, or from its release, to the next one's first line of work."""
    leader = start(path, "c0")
    leader.says()
    killed: list[float] = []
    for index in range(15):
        standby = start(path, f"c{index + 1}", "standby")
        standby.says()
        until_connected(path, 1)
        time.sleep(random.uniform(0.02, 0.06))
        began = time.monotonic()
        leader.process.kill()
        said = standby.says()
        killed.append((said["at"] - began) * 1000)
        assert said["clean"] is False
        leader.kill()
        leader = standby
    released: list[float] = []
    other = start(path, "cx", "standby")
    other.says()
    for _ in range(15):
        until_connected(path, 1)
        time.sleep(random.uniform(0.02, 0.06))
        began = time.monotonic()
        leader.release()
        said = other.says()
        released.append((said["at"] - began) * 1000)
        assert said["clean"] is True
        leader, other = other, leader
    for name, times in (("kill -9", killed), ("release", released)):
        times.sort()
        print(f"{name} to work: median {statistics.median(times):.2f} ms, p90 {times[13]:.2f} ms, max {times[-1]:.2f} ms")
    assert statistics.median(killed) < 20
    assert statistics.median(released) < 20


def test_token_rises_over_terms_and_processes(path: Path, start: Callable[..., Candidate]) -> None:
    tokens: list[int] = []

    async def main() -> None:
        mine = election(path)
        for index in range(50):
            mine = election(path, f"c{index % 3}")
            grant = await soon(mine.win())
            tokens.append(grant.token)
            if index % 2:
                await grant.release()
            await mine.close()
        assert len(await mine.history()) == 50

    run(main)
    for _ in range(3):
        other = start(path)
        tokens.append(other.says()["token"])
        other.kill()
    assert tokens == list(range(1, 54))


def test_history_keeps_64_terms(path: Path) -> None:
    async def main() -> None:
        mine = election(path)
        for _ in range(70):
            await (await mine.win()).release()
        assert [term.token for term in await mine.history()] == list(range(7, 71))

    run(main)


def test_token_floor(path: Path) -> None:
    async def main() -> None:
        for number, (floor, token) in enumerate([(1000, 1001), (1000, 1002), (0, 1003)], 1):
            grant = await election(path, token_floor=floor).win()
            assert (grant.token, grant.number) == (token, number)
            await grant.release()

    run(main)


def test_resigned_candidate_lets_others_go_first(path: Path) -> None:
    async def main() -> None:
        first, second = election(path, "first"), election(path, "second")
        grant = await first.win()
        waiting = asyncio.create_task(second.win())
        await asyncio.sleep(0.05)
        await grant.release()
        again = asyncio.create_task(first.win(yielding=True))
        won = await soon(_result(waiting))
        assert won.token == 2
        await won.release()
        grant = await soon(_result(again))
        assert grant.token == 3
        await grant.release()
        alone = election(path, session_timeout=4.0)
        await (await alone.win()).release()
        began = time.monotonic()
        grant = await soon(alone.win(yielding=True))
        assert 0.9 < time.monotonic() - began < 2.5  # session_timeout / 4
        await grant.release()

    run(main)


def test_thirty_standbys(path: Path) -> None:
    async def main() -> None:
        leading: list[int] = []
        most = 0

        async def one(index: int) -> None:
            nonlocal most
            mine = election(path, f"c{index}")
            grant = await mine.win()
            leading.append(grant.token)
            most = max(most, grant.token - len(leading))
            await asyncio.sleep(0.002)
            assert leading[-1] == grant.token
            await grant.release()

        began = time.process_time()
        async with asyncio.TaskGroup() as group:
            for index in range(31):
                group.create_task(one(index))
        assert leading == list(range(1, 32))
        assert time.process_time() - began < 5.0  # no busy loop

    with same_descriptors():
        run(main, 30.0)


def test_standing_by_costs_next_to_nothing(path: Path, start: Callable[..., Candidate]) -> None:
    start(path).says()

    async def main() -> None:
        tasks = [asyncio.create_task(election(path, f"c{index}").win()) for index in range(20)]
        await asyncio.sleep(0.3)
        began = time.process_time()
        await asyncio.sleep(1.5)
        assert time.process_time() - began < 0.3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main)


# --- processes that misbehave


@pytest.mark.parametrize("how", ["fork", "popen"])
def test_child_of_a_dead_leader_does_not_keep_the_lock(path: Path, start: Callable[..., Candidate], how: str) -> None:
    leader = start(path, "parent", how)
    leader.says()
    child = leader.says()["child"]
    try:
        leader.process.kill()
        leader.process.wait()
        os.kill(child, 0)  # it lives
        assert start(path).says()["token"] == 2
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_standbys_of_a_dead_leader_with_a_child_are_woken(path: Path, start: Callable[..., Candidate]) -> None:
    """The child is forked while a standby is connected: its copy of that connection must not hide the death."""

    async def main() -> None:
        first = election(path, "first")
        grant = await first.win()
        start(path, "second", "standby").says()
        while not grant._lock._accepted:
            await asyncio.sleep(0.01)
        if (child := os.fork()) == 0:
            open_still = [fd for fd in os.listdir("/proc/self/fd") if _is_socket_of(fd, path)]
            os._exit(len(open_still))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert grant._lock.intact()
        await grant.release()

    run(main)


def _is_socket_of(fd: str, path: Path) -> bool:
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")
        if target == str(path):
            return True
        if not target.startswith("socket:"):
            return False
        with socket.socket(fileno=os.dup(int(fd))) as copy:
            return copy.family == socket.AF_UNIX and bool(copy.getsockname())
    except OSError:
        return False


def test_a_forked_child_does_not_believe_or_release(path: Path) -> None:
    async def main() -> None:
        mine = election(path)
        grant = await mine.win()
        heard: list[int] = []
        grant.listen(lambda: heard.append(1))
        if (child := os.fork()) == 0:
            code = 1
            with contextlib.suppress(BaseException):
                # No event loop belongs to the child: the coroutines are driven by hand.
                for step in (grant.confirm(), grant.release(), mine.close()):
                    with contextlib.suppress(StopIteration):
                        step.send(None)
                code = 0 if grant.ended is not None and heard == [1] else 2
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        await grant.confirm()
        assert grant.ended is None
        assert await mine.leader() == grant.leader
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await election(path, "other").win()
        await grant.release()

    run(main)


def test_stopped_leader_keeps_the_lock(path: Path, start: Callable[..., Candidate]) -> None:
    leader = start(path)
    leader.says()
    leader.process.send_signal(signal.SIGSTOP)
    standby = start(path, "standby")
    assert standby.silent(1.2)
    leader.process.send_signal(signal.SIGCONT)
    leader.process.kill()
    assert standby.says()["token"] == 2


def test_descriptors_closed_behind_our_back(path: Path) -> None:
    async def main() -> None:
        grant = await election(path).win()
        heard: list[str | None] = []
        grant.listen(lambda: heard.append(grant.ended))
        os.close(grant._lock._fd)
        await grant.confirm()
        assert heard == ["something in this process closed the lock file"]
        await grant.release()

    run(main)


def test_cancelled_win_leaves_nothing(path: Path) -> None:
    """Cancelled while standing by, while the lock changes hands, and after it was won."""

    async def main() -> None:
        with same_descriptors():
            for _ in range(60):
                first, second = election(path, "first"), election(path, "second")
                grant = await soon(first.win())
                waiting = asyncio.create_task(second.win(yielding=random.random() < 0.2))
                await asyncio.sleep(random.choice([0.0, 0.001, 0.005]))
                released = asyncio.create_task(_release_after(grant, random.uniform(0.0, 0.006)))
                await asyncio.sleep(random.uniform(0.0, 0.010))
                waiting.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await (await waiting).release()
                await released
                assert await first.leader() is None
                assert connect(socket_name(str(path), os.geteuid())) == (False, None)
                await second.close()
                await first.close()
                await asyncio.sleep(0)

    run(main)


async def _release_after(grant: LocalGrant, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await grant.release()


# --- the file: lost, replaced, torn


@pytest.mark.parametrize("how", ["unlinked", "replaced", "emptied in place"])
def test_lost_lock_file_makes_no_second_leader(path: Path, how: str) -> None:
    async def main() -> None:
        first, second = election(path, "first"), election(path, "second")
        await _terms(path, 5)
        grant = await first.win()
        if how == "unlinked":
            path.unlink()
        elif how == "replaced":
            (path.parent / "new").touch(mode=0o600)
            os.rename(path.parent / "new", path)
        else:
            os.truncate(path, 0)
        waiting = asyncio.create_task(second.win())
        done, _ = await asyncio.wait([waiting], timeout=1.0)
        assert not done
        if how != "emptied in place":
            assert await second.leader() == grant.leader  # the leader wrote it anew
        await grant.release()
        after = await soon(_result(waiting))
        assert after.token == 7
        assert after.predecessor is not None
        assert (after.predecessor.identity, after.predecessor.ended_cleanly) == ("first", True)
        await after.release()

    with same_descriptors():
        run(main)


def test_tokens_rise_past_a_lost_file_after_a_crash(path: Path, start: Callable[..., Candidate]) -> None:
    leader = start(path)
    leader.says()

    async def main() -> None:
        mine = election(path)
        waiting = asyncio.create_task(mine.win())
        while mine._seen == 0:
            await asyncio.sleep(0.005)
        path.unlink()
        leader.process.kill()
        grant = await soon(_result(waiting))
        assert grant.token == 2
        await grant.release()

    run(main)


async def _terms(path: Path, count: int) -> None:
    mine = election(path)
    for _ in range(count):
        await (await mine.win()).release()


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("harm", [b"\0" * 256, b"rubbish", b"aioha-slot-1 9 9 9 0 00000000"])
def test_one_torn_slot(path: Path, slot: int, harm: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await _terms(path, 3)
        raw = bytearray(path.read_bytes())
        raw[slot * 4096 : slot * 4096 + len(harm)] = harm
        path.write_bytes(raw)
        with caplog.at_level(logging.WARNING, "aioha"):
            grant = await election(path).win()
        assert grant.token > 3  # whichever slot it was
        assert grant.predecessor is not None
        assert not grant.predecessor.ended_cleanly
        assert len(caplog.records) == 1
        await grant.release()
        repaired = record.newest_slot(path.read_bytes())
        assert not repaired.suspect
        assert repaired.ended

    run(main)


def test_both_slots_rubbish(path: Path) -> None:
    async def main() -> None:
        await _terms(path, 3)
        raw = bytearray(path.read_bytes())
        raw[0:64] = raw[4096 : 4096 + 64] = b"?" * 64
        path.write_bytes(raw)
        with same_descriptors(), pytest.raises(SessionFailed, match=r"damaged.*remove the file.*token_floor"):
            await election(path).win()
        path.unlink()
        grant = await election(path, token_floor=3).win()
        assert grant.token == 4
        await grant.release()

    run(main)


def test_account_rubbish(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        await _terms(path, 3)
        raw = bytearray(path.read_bytes())
        raw[8192 + 60 : 8192 + 70] = b"!" * 10
        path.write_bytes(raw)
        with caplog.at_level(logging.WARNING, "aioha"):
            for token in (4, 5):
                grant = await election(path).win()
                assert (grant.token, grant.number) == (token, token)
                await grant.release()
        assert ["history of terms starts anew" in each.getMessage() for each in caplog.records] == [True]

    run(main)


def test_every_prefix_of_a_write_keeps_tokens_rising(path: Path) -> None:
    """A power cut after any part of the writes of a term: no token comes twice."""

    async def main() -> None:
        await _terms(path, 4)

    run(main)
    raw = path.read_bytes()
    last = record.newest_slot(raw)
    following = record.begin(last)
    packed, at = record.pack_slot(following), record.slot_offset(following)
    for length in range(len(packed) + 1):
        torn = record.newest_slot(raw[:at] + packed[:length] + raw[at + length :])
        assert torn.token in (last.token, following.token)
        assert torn == following or record.begin(record.raised(torn, 0)).token > last.token
        if length == len(packed):
            assert torn == following


def test_record_round_trip() -> None:
    terms = tuple(
        record.RecordedTerm(f"c{index}", bytes(range(256)), index, index, 0.1 * index, process=this_process())
        for index in range(1, 71)
    )
    raw = b"\0" * record.ACCOUNT_AT + record.pack_account(record.Account(terms))
    back = record.unpack_account(raw).terms
    assert len(back) == 64
    assert back[-2:] == terms[-2:]
    assert back[0].token == 7
    for cut in range(record.ACCOUNT_AT + 1, record.ACCOUNT_AT + 3000, 97):
        with pytest.raises(record.Unreadable):
            record.unpack_account(raw[:cut])


# --- where the file may lie


def test_named_elections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIOHA_DIR", raising=False)
    assert locate("billing").path == f"/var/tmp/aioha-{os.geteuid()}/billing.lock"  # noqa: S108
    directory = tmp_path / "new" / "aioha"
    monkeypatch.setenv("AIOHA_DIR", str(directory))

    async def main() -> None:
        mine = election("billing")
        await mine.open()
        assert await mine.leader() is None
        assert not directory.exists()  # looking makes nothing
        grant = await mine.win()
        assert directory.stat().st_mode & 0o777 == 0o700
        assert (directory / "billing.lock").exists()
        await grant.release()
        for mode in (0o777, 0o720):
            directory.chmod(mode)
            with pytest.raises(SessionFailed, match=r"written by others.*chmod 700"):
                await mine.open()
            with pytest.raises(SessionFailed, match="written by others"):
                await mine.win()
        directory.chmod(0o700)
        link = tmp_path / "link"
        link.symlink_to(directory)
        monkeypatch.setenv("AIOHA_DIR", str(link))
        with pytest.raises(SessionFailed, match="symbolic link"):
            await election("billing").win()
        file = tmp_path / "file"
        file.touch()
        monkeypatch.setenv("AIOHA_DIR", str(file))
        with pytest.raises(SessionFailed, match="not a directory"):
            await election("billing").win()
        monkeypatch.setenv("AIOHA_DIR", "relative")
        with pytest.raises(SessionFailed, match="absolute"):
            election("billing")

    run(main)


def test_directory_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("NEEDS ROOT: a directory of another user cannot be made")
    directory = tmp_path / "theirs"
    directory.mkdir(mode=0o700)
    os.chown(directory, 12345, 12345)
    monkeypatch.setenv("AIOHA_DIR", str(directory))

    async def main() -> None:
        with pytest.raises(SessionFailed, match="belongs to uid 12345"):
            await election("billing").open()
        with pytest.raises(SessionFailed, match="belongs to uid 12345"):
            await election("billing").win()
        file = tmp_path / "their.lock"
        file.touch(mode=0o600)
        os.chown(file, 12345, 12345)
        with same_descriptors(), pytest.raises(SessionFailed, match="belongs to uid 12345"):
            await election(file).win()

    run(main)


def test_without_permission(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("NEEDS ROOT: to become another user")
    code = (
        "import asyncio, os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from aioha.elections.local import LocalElection\nfrom aioha.settings import Settings\n"
        "from aioha.errors import SessionFailed\n"
        "os.setresuid(12345, 12345, 12345)\n"
        "for call in ('open', 'win'):\n"
        "    try: asyncio.run(getattr(LocalElection('/etc/x.lock', Settings()), call)())\n"
        "    except SessionFailed as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT)], capture_output=True, text=True, timeout=BOUND, check=False
    )
    assert done.stdout.count("cannot create /etc/x.lock: Permission denied") == 2, done


def test_unusable_files(tmp_path: Path) -> None:
    async def main() -> None:
        target, link, fifo = tmp_path / "target", tmp_path / "link", tmp_path / "fifo"
        target.touch(mode=0o600)
        link.symlink_to(target)
        os.mkfifo(fifo)
        shared = tmp_path / "shared"
        shared.touch()
        shared.chmod(0o666)
        for name, why in (
            (link, "symbolic link"),
            (fifo, "not a regular file"),
            (tmp_path, "directory"),
            (shared, "written by others.*chmod 600"),
            (tmp_path / "no" / "x.lock", r"does not exist; create it"),
        ):
            with same_descriptors(), pytest.raises(SessionFailed, match=why) as caught:
                await election(name).win()
            assert "\n" not in str(caught.value)
        with pytest.raises(SessionFailed, match="does not exist"):
            await election(tmp_path / "no" / "x.lock").open()
        assert await election(tmp_path / "no" / "x.lock").leader() is None
        for bad in ("", "a/b", "../a", "/a/"):
            with pytest.raises(ValueError, match="where"):
                election(bad)

    run(main)


def test_two_spellings_of_a_path_are_one_election(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert locate(f"{tmp_path}/link/x.lock").path == locate(f"{tmp_path}/real/../real/x.lock").path


def test_shared_file_systems_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, name in (
        (0x6969, "NFS"),
        (0xFF534D42, "CIFS"),
        (0xFE534D42, "SMB2"),
        (0x65735546, "FUSE"),
        (-11317950, "CIFS"),
    ):
        assert shared_file_system(kind) == name
    for kind in (None, 0xEF53, 0x01021994, 0x58465342, 0x9123683E, 0x794C7630):  # ext4, tmpfs, xfs, btrfs, overlay
        assert shared_file_system(kind) is None
    assert file_system_type("/proc") == 0x9FA0
    assert file_system_type("/no/such/file") is None
    monkeypatch.setattr("aioha.elections.local.place.file_system_type", lambda _path: 0x6969)

    async def main() -> None:
        for call in (election(path).open, election(path).win):
            with pytest.raises(SessionFailed, match="lies on NFS"):
                await call()
        assert not path.exists()

    run(main)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = shutil.which("mount") is not None and os.geteuid() == 0
    mounted = (
        mounted
        and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=False).returncode == 0
    )
    if not mounted:
        pytest.skip("NEEDS ROOT: no tmpfs can be mounted for a full disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(place: Path) -> None:
    with contextlib.suppress(OSError), open(place / "ballast", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)


def test_full_disk(tiny_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        path = tiny_disk / "x.lock"
        _fill(tiny_disk)
        with same_descriptors(), pytest.raises(SessionFailed, match="No space left on device; make room"):
            await election(path).win()
        assert await election(path).leader() is None
        (tiny_disk / "ballast").unlink()
        await _terms(path, 20)
        _fill(tiny_disk)
        # What is there already has its room; only a longer account needs more.
        with same_descriptors(), pytest.raises(SessionFailed, match="No space left on device"):
            await election(path, data=b"x" * 20000).win()
        assert len(await election(path).history()) == 20
        (tiny_disk / "ballast").unlink()
        grant = await election(path).win()
        assert grant.token == 21
        assert grant.predecessor is not None
        assert grant.predecessor.ended_cleanly
        await grant.release()

    run(main)


def test_failure_to_write_the_end_is_logged(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        mine = election(path)
        grant = await mine.win()

        def full(*args: Any, **options: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched, caplog.at_level(logging.ERROR, "aioha"):
            patched.setattr("aioha.elections.local.lockfile.write", full)
            await grant.release()
        assert "cannot write that it ended" in caplog.text
        after = await mine.win()
        assert after.predecessor is not None
        assert not after.predecessor.ended_cleanly
        await after.release()

    run(main)


def test_out_of_descriptors_is_waited_out(path: Path) -> None:
    import resource

    async def main() -> None:
        mine = election(path)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(int(fd) for fd in os.listdir("/proc/self/fd"))
        spare: list[int] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    spare.append(os.open("/dev/null", os.O_RDONLY))
            waiting = asyncio.create_task(mine.win())
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            for fd in spare:
                os.close(fd)
            spare.clear()
            await (await soon(_result(waiting))).release()
        finally:
            for fd in spare:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    run(main)


# --- who leads, seen from outside


def test_leader_and_leader_after(path: Path) -> None:
    async def main() -> None:
        observer, first, second = election(path, "observer"), election(path, "first"), election(path, "second")
        assert await observer.leader() is None
        assert await observer.leader_after(None, first=True) is None
        assert not path.exists()
        watching = asyncio.create_task(observer.leader_after(None, first=False))
        await asyncio.sleep(0.3)
        grant = await first.win()
        async with asyncio.timeout(BOUND):
            assert await watching == grant.leader
        watching = asyncio.create_task(observer.leader_after(grant.leader, first=False))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await grant.release()
        assert await watching is None
        assert time.monotonic() - began < 0.6
        watching = asyncio.create_task(observer.leader_after(None, first=False))
        grant = await second.win()
        assert await watching == grant.leader
        await grant.release()

    with same_descriptors():
        run(main)


def test_a_dead_leader_does_not_lead(path: Path, start: Callable[..., Candidate]) -> None:
    leader = start(path)
    leader.says()

    async def main() -> None:
        observer = election(path, "observer")
        seen = await observer.leader()
        assert seen is not None
        assert seen.identity == "other"
        watching = asyncio.create_task(observer.leader_after(seen, first=False))
        await asyncio.sleep(0.05)
        leader.kill()
        async with asyncio.timeout(BOUND):
            assert await watching is None
        assert await observer.leader() is None

    run(main)


def test_looking_does_not_disturb(path: Path) -> None:
    """Not a flock held by somebody else, nor a name that is bound and silent, makes a leader."""

    async def main() -> None:
        path.touch(mode=0o600)
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            assert await election(path).leader() is None
            waiting = asyncio.create_task(election(path).win())
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
        grant = await soon(_result(waiting))
        for _ in range(300):  # more than the leader takes in at once
            assert await election(path).leader() == grant.leader
        async with asyncio.timeout(BOUND):
            while grant._lock._accepted:  # it hears of each end in its own time
                await asyncio.sleep(0.01)
        await grant.release()

    run(main)


def test_more_standbys_than_are_accepted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioha.elections.local.lockfile.MOST_ACCEPTED", 3)
    monkeypatch.setattr("aioha.elections.local.lockfile.ACCEPT_AGAIN", 0.02)

    async def main() -> None:
        grant = await election(path).win()
        guests = [connect(socket_name(str(path), os.geteuid()))[1] for _ in range(8)]
        await asyncio.sleep(0.1)
        assert len(grant._lock._accepted) == 3
        for guest in guests[:4]:
            assert guest is not None
            guest.close()
        await asyncio.sleep(0.2)
        await grant.release()
        for guest in guests[4:]:
            assert guest is not None
            assert await first_readable([guest.fileno()], 1.0)
            guest.close()

    with same_descriptors():
        run(main)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(candidate(*sys.argv[1:4]))
