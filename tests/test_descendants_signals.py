"""Processes told by their environment or their age; a signal reaches exactly the one that was meant; all of it is light."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import PATIENCE, wait_dead
from trees import known, pids, state, tree_of, until

from aioha import descendants
from aioha.descendants import Process

BIRTH_OF_NOBODY = 1  # a tick at which only the kernel's own threads began


def test_tagged_are_those_with_the_whole_entry_in_their_environment() -> None:
    tag = f"AIOHA_TEST={os.getpid()}"
    longer = {"AIOHA_TEST": f"{os.getpid()}0", "XAIOHA_TEST": str(os.getpid()), "NOTE": tag}
    body = "tell(os.getpid())\nif not os.fork(): tell(os.getpid()); os.setsid(); stay()"
    with (
        tree_of(body, 2, env={"AIOHA_TEST": str(os.getpid())}) as (_, told),
        tree_of("tell(os.getpid())", 1, env=longer),
        subprocess.Popen(["true"], env={"AIOHA_TEST": str(os.getpid())}) as zombie,
    ):
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        assert pids(descendants.tagged(tag.encode())) == set(told)
    assert descendants.tagged(tag.encode()) == set()


def test_an_environment_of_many_pages_is_read_to_its_end() -> None:
    padding = {f"PAD{number:03}": "x" * 1000 for number in range(200)}
    tag = f"ZZ_LAST={os.getpid()}"
    with tree_of("tell(os.getpid())", 1, env={**padding, "ZZ_LAST": str(os.getpid())}) as (root, _):
        assert pids(descendants.tagged(tag.encode())) == {root}


def test_the_newest_number_grows_with_each_process() -> None:
    before = descendants.newest_pid()
    with subprocess.Popen(["true"]) as process:
        pass
    assert before > 0
    assert process.pid > before or process.pid < 1000  # wrapped round
    assert descendants.newest_pid() >= process.pid or descendants.newest_pid() < 1000


def test_born_after_are_processes_with_their_parents_and_no_threads() -> None:
    body = """
if not os.fork():
    tell(os.getpid()); stay()
event = threading.Event()
threading.Thread(target=event.wait, daemon=True).start()
tell(os.getpid())
"""
    before = descendants.newest_pid()
    with tree_of(body, 2) as (root, told):
        threads = set(map(int, os.listdir(f"/proc/{root}/task"))) - {root}
        born = descendants.born_after(before)
        found = {one.pid: parent for one, parent in born}
        child = next(pid for pid in told if pid != root)
        assert found[root] == os.getpid()
        assert found[child] == root
        assert threads
        assert not threads & set(found)
        assert os.getpid() not in found
        assert known(root) in {one for one, _ in born}
        assert not {root, child} & {one.pid for one, _ in descendants.born_after(max(root, child))}


@pytest.mark.parametrize("since", [0, 1, 2**30])
def test_born_after_a_number_that_tells_nothing_is_everybody(since: int) -> None:
    """Unknown, so far back that listing is cheaper, and one above the newest: the numbers have wrapped round."""
    assert os.getpid() in {one.pid for one, _ in descendants.born_after(since)}


def test_kill_ends_exactly_that_process() -> None:
    body = "tell(os.getpid())\nfor _ in '12':\n    if not os.fork(): tell(os.getpid()); stay()"
    with tree_of(body, 3) as (root, told):
        first, second = map(known, (pid for pid in told if pid != root))
        descendants.kill(Process(first.pid, BIRTH_OF_NOBODY))  # an earlier process with this number, long gone
        descendants.kill(second)
        wait_dead(second.pid)
        assert descendants.runs(first)
        assert not descendants.runs(second)
        descendants.kill(second)  # a zombie now: nothing happens
    descendants.kill(first)  # gone: nothing happens


def test_kill_takes_neither_itself_nor_init() -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from aioha.descendants import Process, kill, process
kill(process(os.getpid())); kill(Process(0, 0))
print("alive")
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True, timeout=PATIENCE) == "alive\n"
    init = descendants.process(1)
    if init is not None:
        descendants.kill(init)
        assert descendants.runs(init)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGSTOP])
def test_other_signals_reach_it_as_well(number: int) -> None:
    with tree_of("tell(os.getpid())\nif not os.fork(): tell(os.getpid()); stay()", 2) as (root, told):
        one = known(next(pid for pid in told if pid != root))
        descendants.send(one, number)
        after = "T" if number == signal.SIGSTOP else "Z"
        until(lambda: state(one.pid) == after, "the signal had no effect")


def test_without_a_descriptor_to_spare_kill_works_all_the_same() -> None:
    """`pidfd_open` fails at the limit of open files; so does reading /proc, until another one is closed."""
    with tree_of("tell(os.getpid())\nif not os.fork(): tell(os.getpid()); stay()", 2) as (root, told):
        one = known(next(pid for pid in told if pid != root))

        def refuse(pid: int, flags: int = 0) -> int:
            raise OSError(24, "Too many open files")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "pidfd_open", refuse)
            descendants.kill(Process(one.pid, BIRTH_OF_NOBODY))
            assert descendants.runs(one)
            descendants.kill(one)
        wait_dead(one.pid)


def test_a_subreaper_adopts() -> None:
    script = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from aioha.descendants import become_subreaper, descendants
become_subreaper()
reader, writer = os.pipe()
if not os.fork():
    if not os.fork():
        os.setsid()
        os.read(reader, 1)
        os._exit(7)
    os._exit(0)
os.wait()
print(len(descendants(os.getpid())), flush=True)
os.write(writer, b"x")
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert subprocess.check_output([sys.executable, "-c", script], text=True, timeout=PATIENCE) == "1\n7\n"


def run_light(code: str) -> Sequence[str]:
    """What `code` prints in an interpreter like the guardian's: no site, and no `aioha/__init__`."""
    package = Path(descendants.__file__).parent
    script = f"""
import sys
fake = type(sys)("aioha"); fake.__path__ = [{str(package)!r}]; sys.modules["aioha"] = fake
{code}
"""
    return subprocess.check_output([sys.executable, "-I", "-S", "-c", script], text=True, timeout=PATIENCE).split()


@pytest.mark.parametrize("name", ["descendants", "cgroup"])
def test_it_costs_the_guardian_little(name: str) -> None:
    loaded = run_light(f"import aioha.{name}\nprint(*sys.modules)")
    heavy = {"asyncio", "typing", "dataclasses", "contextlib", "ctypes", "logging", "subprocess", "re", "threading"}
    assert not heavy & set(loaded)
    assert [module for module in loaded if module.startswith("aioha")] == ["aioha", f"aioha.{name}"]
