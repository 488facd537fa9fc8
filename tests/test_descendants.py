"""Who runs, and below whom: exact in spite of zombies, orphans, threads, sessions, and of processes that end as we look."""

import os
import subprocess
from pathlib import Path

import pytest
from trees import known, pids, state, tree_of, until

from aioha import descendants
from aioha.descendants import Process


def test_we_run_and_are_told_by_our_start() -> None:
    me = known(os.getpid())
    assert me == Process(os.getpid(), me.started)
    assert (me.pid, me.started) == tuple(me)
    assert me.started > 0
    assert len({me, known(os.getpid())}) == 1
    assert descendants.runs(me)
    assert not descendants.runs(Process(me.pid, me.started + 1))


def test_a_zombie_does_not_run() -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert descendants.process(process.pid) is None
        living, dead = descendants.tree(os.getpid())
        assert process.pid in pids(dead) - pids(living)
    assert descendants.process(process.pid) is None


def test_a_name_that_looks_like_the_rest_of_the_line_does_not_confuse(tmp_path: Path) -> None:
    script = tmp_path / "a) Z 1 ("
    script.write_text("#!/bin/sh\nread line\n")
    script.chmod(0o755)
    with subprocess.Popen([str(script)], stdin=subprocess.PIPE) as process:
        until(lambda: "a) Z 1 (" in Path(f"/proc/{process.pid}/comm").read_text(), "it has no such name")
        assert process.pid in pids(descendants.descendants(os.getpid()))
        process.kill()


def test_a_process_whose_first_thread_has_ended_runs_on() -> None:
    body = """
def work():
    if not os.fork(): stay()
    tell(1)
    stay_asleep.wait()
stay_asleep = threading.Event()
if not os.fork():
    threading.Thread(target=work).start()
    ctypes.CDLL(None).pthread_exit(None)
"""
    with tree_of(body, 1) as (root, _):

        def first() -> list[Process]:
            return [one for one in descendants.descendants(root) if state(one.pid) == "Z"]

        until(lambda: len(first()) == 1, "no process with its first thread ended")
        assert len(descendants.descendants(root)) == 2  # its child, too, is found through it


def test_descendants_are_all_of_them_however_they_hide() -> None:
    body = """
tell(os.getpid())
for leave in (False, True):
    if not os.fork():                    # a child
        tell(os.getpid())
        if leave: os.setsid()
        if not os.fork():                # a grandchild
            tell(os.getpid())
            if not os.fork():            # double fork: its parent is gone, the root has adopted it
                tell(os.getpid()); os.setsid(); stay()
            os._exit(0)
        stay()
"""
    with tree_of(body, 7) as (root, (_, *told)):
        grandchildren: set[int] = set()

        def settled() -> bool:
            nonlocal grandchildren
            living, dead = descendants.tree(root)
            grandchildren = pids(dead)
            return len(dead) == 2 and len(living) == 4

        until(settled, f"not four living and two dead below the root, but {descendants.tree(root)}")
        assert pids(descendants.descendants(root)) | grandchildren == set(told)
        assert root not in pids(descendants.descendants(root))
        assert root in pids(descendants.descendants(os.getpid()))


def test_an_orphan_read_before_its_parent_was_gone_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a look at all processes finds when a parent ends, and is reaped, halfway through."""
    with tree_of("if not os.fork(): tell(os.getpid()); stay()", 1) as (root, (orphan,)):
        table = descendants._table()
        table[orphan].parent = 2**30  # the parent it had, of which nothing is left
        monkeypatch.setattr(descendants, "_table", lambda: table)
        assert pids(descendants.descendants(root)) == {orphan}


def test_a_child_listed_without_its_parent_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent was born behind the place in the list that had been read (numbers start anew at the top)."""
    with tree_of("if not os.fork(): tell(os.getpid()); stay()", 1) as (root, (child,)):
        table = descendants._table()
        del table[root]
        monkeypatch.setattr(descendants, "_table", lambda: table)
        assert {root, child} <= pids(descendants.descendants(os.getpid()))


def test_a_parent_that_is_hidden_from_us_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    look = descendants._look
    with tree_of("if not os.fork(): tell(os.getpid()); stay()", 1) as (root, (child,)):
        monkeypatch.setattr(descendants, "_look", lambda pid: None if pid == root else look(pid))
        assert child not in pids(descendants.descendants(os.getpid()))
        assert pids(descendants.descendants(root)) == {child}


def test_spared_ones_and_those_of_before_are_left_out_with_all_below_them() -> None:
    body = """
for _ in "12":
    if not os.fork():
        child = os.getpid()
        if not os.fork(): tell(child, os.getpid()); stay()
        stay()
"""
    with tree_of(body, 4) as (root, (first, below_first, second, below_second)):
        assert pids(descendants.tree(root, spare={first})[0]) == {second, below_second}
        assert pids(descendants.tree(root, spare={below_second})[0]) == {first, below_first, second}
        assert len(descendants.tree(root, since=known(root).started)[0]) == 4
        assert descendants.tree(root, since=known(root).started + 1000) == (set(), set())


def test_nobody_is_below_a_leaf_or_a_number_without_a_process() -> None:
    with tree_of("tell(os.getpid())", 1) as (root, _):
        assert descendants.descendants(root) == set()
    assert descendants.tree(root) == (set(), set())


def test_many_processes_are_all_found_and_all_killed() -> None:
    count = 150
    body = f"""
tell(os.getpid())
for _ in range({count} - 1):
    if not os.fork():
        os.setsid() if os.getpid() % 2 else None
        tell(os.getpid()); stay()
"""
    with tree_of(body, count) as (root, (_, *told)):
        found = descendants.descendants(root)
        assert pids(found) == set(told)
        for one in found:
            descendants.kill(one)
        for pid in told:
            until(lambda pid=pid: descendants.process(pid) is None, "it survived SIGKILL")  # type: ignore[misc]
        assert descendants.descendants(root) == set()


def test_a_group_is_its_living_members_wherever_they_hang() -> None:
    body = """
if not os.fork():
    os.setpgid(0, 0)
    if not os.fork():
        if not os.fork():
            tell(os.getpid()); stay()
        os._exit(0)
    tell(os.getpid(), os.getpgid(0)); stay()
"""
    with tree_of(body, 3) as (root, told):
        leader = next(pid for pid in told if told.count(pid) == 2)
        # The middle one is a zombie of that group: the root has not reaped it.
        until(lambda: pids(descendants.group(leader)) == set(told), f"{descendants.group(leader)} is not {told}")
        assert pids(descendants.group(root)) == {root}
    assert descendants.group(leader) == set()
