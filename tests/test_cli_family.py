"""What belongs to CMD, in a process of its own: who is signalled, who is spared, who is reaped, and what a guard is told.

Each test runs a small program, since a subreaper adopts and reaps whatever it finds below it.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import PATIENCE, ROOT, environment

PRELUDE = f"""
import asyncio, logging, os, select, signal, subprocess, sys, time
sys.path.insert(0, {str(ROOT)!r})
from aioha import cgroup, descendants
from aioha.descendants import become_subreaper
from aioha.cli import child as child_module
from aioha.cli.child import Child, Unguarded
from aioha.cli.family import Family, reap
cgroup.own_path = lambda: None   # as most users: no control group
become_subreaper()

def start(script):
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import os, signal, time\\n" + script],
                               process_group=0, stdout=writer)
    os.close(writer)
    return process, open(reader)

def patiently(condition):
    due = time.monotonic() + {PATIENCE}
    while not condition():
        assert time.monotonic() < due
        time.sleep(0.002)

def childless():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False
"""


def run(program: str, *, directory: Path | None = None) -> list[str]:
    """The lines that it prints; it must not fail."""
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        stdin=subprocess.DEVNULL,
        env=None if directory is None else environment(directory),
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


# Each leaves its successor to us and ends: whoever looks at them one after another comes too late. They stop by themselves.
HOPS = """
due = time.monotonic() + 10
if os.fork(): os._exit(0)
{once}
print("hopping", flush=True)
while time.monotonic() < due:
    if os.fork(): os._exit(0)
    {each}
"""


@pytest.mark.parametrize(
    ("once", "each"),
    [("", ""), ("os.setsid()", ""), ("", "os.setsid()")],
    ids=["in the group", "in one other", "in ever new ones"],
)
def test_a_chain_of_daemons_is_caught_without_a_control_group(once: str, each: str) -> None:
    program = f"""
cmd, out = start({HOPS.format(once=once or "pass", each=each or "pass")!r})
out.readline()
family = Family(cmd)
while not family.gone():
    family.kill()
print(childless(), out.read())
"""
    assert run(program) == ["True "]


def test_a_family_that_forks_while_it_is_killed_is_gone_all_the_same() -> None:
    """Short-lived and long-lived ones, in the group and out of it, deaf to SIGTERM; at most 200 of them."""
    script = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in range(200):
    if not os.fork():
        if number % 2: os.setsid()
        if number % 3: os._exit(0)
        print("more", flush=True)
        time.sleep(100)
    time.sleep(0.002)
time.sleep(100)
"""
    program = f"""
cmd, out = start({script!r})
for _ in range(10): out.readline()
family = Family(cmd)
family.terminate()
assert not family.gone()
while not family.gone():
    family.kill()
print(childless(), cmd.returncode)
assert set(out.read().split()) <= {{"more"}}
"""
    assert run(program) == ["True -9"]


def test_each_gets_sigterm_once_wherever_it_is() -> None:
    """In the group, in a session below the group, and orphaned; a stopped one as well."""
    script = """
def say(what): os.write(1, f"{what} {os.getpid()}\\n".encode())   # `print` is not for signal handlers: they may be in it
signal.signal(signal.SIGTERM, lambda *_: say("term"))
def idle():
    while True: time.sleep(0.01)   # not `signal.pause`: a signal just before it would be told after the next one only
def stay():
    say("ready")
    idle()
if not os.fork(): stay()
if not os.fork(): os.setsid(); stay()
if not os.fork():
    os.setsid()
    if os.fork(): os._exit(0)
    say("ready")
    os.kill(os.getpid(), signal.SIGSTOP)
    idle()
stay()
"""
    program = f"""
cmd, out = start({script!r})
ready = {{out.readline().split()[1] for _ in range(4)}}
def stopped(): return any(open(f"/proc/{{pid}}/stat").read().split()[2] == "T" for pid in ready)
patiently(stopped)
family = Family(cmd)
patiently(lambda: len(family.left()) == 4)
family.terminate()
told = [out.readline().split()[1] for _ in range(4)]
while not family.gone():
    family.kill()
told += [line.split()[1] for line in out]
print(sorted(told) == sorted(ready))
"""
    assert run(program) == ["True"]


def test_what_was_there_before_cmd_and_what_is_spared_lives() -> None:
    """A shell's background job that we became the parent of by `exec`, with its child; a guardian, born later."""
    job = (
        "if not os.fork(): print(os.getpid(), flush=True); time.sleep(100)\nprint(os.getpid(), flush=True); time.sleep(100)"
    )
    program = f"""
before, told = start({job!r})
earlier = {{int(told.readline()) for _ in range(2)}}
ticks = descendants.process(before.pid).started
def later():
    with subprocess.Popen(["true"]) as probe:
        os.waitid(os.P_PID, probe.pid, os.WEXITED | os.WNOWAIT)
        return descendants.identify(probe.pid).started > ticks
patiently(later)   # starts are told in ticks of 10 ms
cmd, _ = start("time.sleep(100)")
guardian, told = start({job!r})
spared = {{int(told.readline()) for _ in range(2)}}
family = Family(cmd, None, lambda: {{guardian.pid}})
print({{one.pid for one in family.left()}} == {{cmd.pid}})
while not family.gone():
    family.kill()
print(all(map(descendants.process, earlier | spared)), cmd.poll())
for pid in earlier | spared: os.kill(pid, signal.SIGKILL)
"""
    assert run(program) == ["True", "True -9"]


def test_only_orphans_and_cmd_are_reaped_and_cmd_keeps_its_status() -> None:
    program = """
guardian, cmd = (subprocess.Popen(["sh", "-c", f"exit {code}"]) for code in (5, 6))
for one in (guardian, cmd):
    os.waitid(os.P_PID, one.pid, os.WEXITED | os.WNOWAIT)
parent = subprocess.run(["sh", "-c", "(sh -c 'exit 1' &); (sh -c 'exit 2' &)"])   # both orphans are ours, behind those two
orphans = lambda: {one.pid for one in descendants.tree(os.getpid())[1]} - {guardian.pid, cmd.pid}
patiently(lambda: len(orphans()) == 2)
reap({guardian.pid}, cmd)
print(len(descendants.tree(os.getpid())[1]), cmd.returncode, guardian.returncode)
print(guardian.wait(), cmd.wait(), childless())
"""
    assert run(program) == ["1 6 None", "5 6 True"]


def test_where_there_is_no_proc_the_group_is_all_that_is_known(tmp_path: Path) -> None:
    program = """
descendants._read = lambda path: b""
descendants._pids = lambda: []
cmd, out = start("if not os.fork(): print('member', flush=True)\\ntime.sleep(100)")
out.readline()
family = Family(cmd)
assert not family.gone()
family.terminate()
while not family.gone():
    family.kill()
print(childless(), cmd.returncode)
"""
    assert run(program) == ["True -15"]


def test_destroy_gives_in_to_no_cancellation() -> None:
    """Killed ones take their time to die (here: a look that says so); whoever cancels meanwhile must wait, too."""
    program = """
async def main():
    child_module.STUBBORN = 0
    child = Child(["sh", "-c", "sleep 100 & sleep 100"], os.environ, Unguarded())
    gone, looks = child._family.gone, 0
    def not_yet():
        nonlocal looks
        looks += 1
        return looks > 20 and gone()
    child._family.gone = not_yet
    task = asyncio.ensure_future(child.destroy())
    for _ in range(10):
        await asyncio.sleep(0)
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("cancelled", looks > 20, childless(), child.status)
logging.basicConfig(stream=sys.stdout, format="%(message)s")
asyncio.run(main())
"""
    complaint, outcome = run(program)
    assert "the term is not released before" in complaint
    assert outcome == "cancelled True True 137"


def test_no_descriptor_left_leaves_no_cmd_behind() -> None:
    program = """
def refuse(pid, flags=0): raise OSError(24, "Too many open files")
async def main():
    os.pidfd_open = refuse
    try:
        Child(["sh", "-c", "sleep 100 & sleep 100"], os.environ, Unguarded())
    except OSError as error:
        print(error.errno, childless())
asyncio.run(main())
"""
    assert run(program) == ["24 True"]


GUARDED = """
from aioha import Elector
from aioha.cli import run as run_command
from aioha.cli.report import Failure
class Guard:
    def __getattr__(self, name):
        return lambda *what: print(name, *what, flush=True) if name != "pids" else set()
async def main(*command):
    plan = run_command.Plan("local:guarded", command, False, 5.0, lambda timeout: 1.0)
    try:
        print("status", await run_command.run(Elector("local:guarded"), plan, Guard()))
    except Failure as failure:
        print("failure", failure.code)
asyncio.run(main(*{command!r}))
"""


def test_a_guard_knows_how_to_find_cmd_before_it_starts_and_forgets_it_when_it_is_gone(tmp_path: Path) -> None:
    command = ["sh", "-c", "env | grep AIOHA_RUN; echo cmd $$; (setsid sleep 100 &)"]
    lines = run(GUARDED.format(command=command), directory=tmp_path)
    tag, seen = lines[0], lines[1:4]
    assert tag.startswith("tag b'AIOHA_RUN_")
    assert tag.removeprefix("tag b'").removesuffix("'") in seen
    cmd = next(line for line in seen if line.startswith("cmd")).removeprefix("cmd ")
    assert f"group {cmd}" in seen  # told by us while CMD is starting: the two lines may come either way
    assert lines[4:] == ["forget", "status 0"]


def test_a_guard_forgets_a_cmd_that_cannot_be_started(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("no interpreter\n")
    script.chmod(0o755)
    lines = run(GUARDED.format(command=[str(script)]), directory=tmp_path)
    assert lines[0].startswith("tag")
    assert lines[1:] == ["forget", "failure 126"]


def test_no_two_tags_are_the_same(tmp_path: Path) -> None:
    """Two candidates may be given one identity; what one's guardian kills must not be the other's."""
    lines = run("from aioha.cli.spawn import make_tag\nimport json\nprint(json.dumps([make_tag()[0] for _ in range(100)]))")
    names = json.loads(lines[0])
    assert len(set(names)) == 100
    assert all(name.isidentifier() for name in names)
