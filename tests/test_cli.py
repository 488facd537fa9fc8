"""The command line's surface: what it lists, exit codes, one line for a mistake, and the JSON of `status` and `watch`."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from commands import PATIENCE, aioha, environment, running

NOWHERE = "zk://127.0.0.1:1/billing?connect_timeout=0.3"
FAR = "zk://FAR/billing?connect_timeout=inf"
FOREVER = ("--", "sh", "-c", "echo started; exec sleep 1000")


def one_line(result: "subprocess.CompletedProcess[str]") -> str:
    """What was said on stderr, which has to be a single line."""
    assert result.stderr.count("\n") == 1, result.stderr
    assert "Traceback" not in result.stderr
    return result.stderr.strip()


def test_help_lists_the_commands_that_there_are(tmp_path: Path) -> None:
    result = aioha(tmp_path, "--help")
    assert result.returncode == 0
    listed = [line.split()[1] for line in result.stdout.partition("Commands")[2].splitlines() if line.startswith("│ ")]
    assert [name for name in listed if name.isalpha() and name.islower()][:4] == ["run", "status", "watch", "demo"]


def test_without_arguments_it_helps_and_calls_it_a_usage_error(tmp_path: Path) -> None:
    result = aioha(tmp_path)
    assert result.returncode == 64
    assert "Usage: aioha" in result.stdout


@pytest.mark.parametrize("command", ["run", "status", "watch", "demo"])
def test_each_command_helps(tmp_path: Path, command: str) -> None:
    result = aioha(tmp_path, command, "--help")
    assert result.returncode == 0
    assert f"Usage: aioha {command}" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "billing"], "local:name"),
        (["status"], "WHERE"),
        (["status", "zk://zk1:http/billing"], "'http'"),
        (["status", "local:billing", "--nonsense"], "--nonsense"),
        (["status", "local:billing", "more"], "more"),
        (["status", "local:billing?session_timeout=soon"], "soon"),
        (["status", "local:billing", "--connect-timeout", "soon"], "--connect-timeout"),
        (["watch", "local:billing", "--layout", "odd"], "odd"),
        (["run", "local:billing", "--layout", "odd", "--", "true"], "odd"),
        (["run", NOWHERE, "--layout", "hadoop", "--", "true"], "layout=hadoop: not with run"),
        (["run", f"{NOWHERE}&layout=hadoop", "--", "true"], "layout=hadoop: not with run"),
        (["run", "local:billing", "--stop-grace", "5", "--session-timeout", "8", "--", "true"], "stop_grace 5 s"),
        (["run", "local:billing", "--kill-after", "-1", "--", "true"], "--kill-after"),
        (["run", "local:billing", "--kill-after", "nan", "--", "true"], "--kill-after"),
        (["run", "local:billing", "true"], "--"),
        (["run", "local:billing", "--"], "--"),
        (["run", "--", "true"], "WHERE"),
        (["campaign", "local:billing"], "campaign"),
    ],
)
def test_a_usage_error_is_one_line_and_64(tmp_path: Path, arguments: list[str], said: str) -> None:
    result = aioha(tmp_path, *arguments)
    line = one_line(result)
    assert result.returncode == 64, line
    assert said in line
    assert result.stdout == ""


def test_a_password_is_not_shown_in_an_error(tmp_path: Path) -> None:
    for where in (
        "zk://me:hunter2@zk1:x/billing",
        "me:hunter2@zk1/billing",
        "zk://me:hunter2@127.0.0.1:1/b?connect_timeout=0.2",
    ):
        result = aioha(tmp_path, "status", where)
        assert "hunter2" not in result.stderr + result.stdout


@pytest.mark.parametrize("command", [["status", NOWHERE], ["watch", NOWHERE], ["run", NOWHERE, "--", "true"]])
def test_an_unreachable_server_is_69_and_named(tmp_path: Path, command: list[str]) -> None:
    result = aioha(tmp_path, *command)
    assert result.returncode == 69
    last = result.stderr.splitlines()[-1]
    assert "127.0.0.1:1" in last
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [["status", FAR], ["watch", FAR], ["run", FAR, "--", "true"]])
def test_waiting_for_a_server_can_be_interrupted(tmp_path: Path, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with running(tmp_path, *(part.replace("FAR", address) for part in command)) as process:
            silent.accept()[0].close()
            process.send(signal.SIGTERM)
            assert process.exit_code() == 128 + signal.SIGTERM
            assert "Traceback" not in "\n".join(process.err.rest())


def test_an_unreachable_server_is_one_line_to_status(tmp_path: Path) -> None:
    one_line(aioha(tmp_path, "status", NOWHERE, "--json"))


def test_status_of_an_election_without_a_leader_is_1(tmp_path: Path) -> None:
    result = aioha(tmp_path, "status", "local:billing")
    assert (result.returncode, result.stdout, result.stderr) == (1, "local:billing: nobody leads\n", "")


def test_status_json_without_a_leader(tmp_path: Path) -> None:
    result = aioha(tmp_path, "status", "local:billing", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout) == {"where": "local:billing", "leader": None, "candidates": []}


def test_status_shows_the_leader(tmp_path: Path) -> None:
    with running(tmp_path, "run", "local:billing", "--identity", "ann", "--data", "10.0.0.1:80", *FOREVER) as leader:
        leader.out.until("started")
        plain = aioha(tmp_path, "status", "local:billing")
        found = json.loads(aioha(tmp_path, "status", "local:billing", "--json").stdout)
    assert plain.returncode == 0
    assert "led by ann" in plain.stdout
    assert "10.0.0.1:80" in plain.stdout
    assert found["where"] == "local:billing"
    assert found["candidates"] == [{"identity": "ann", "data": "10.0.0.1:80"}]
    assert set(found["leader"]) == {"identity", "data", "token", "since"}
    assert isinstance(found["leader"]["token"], int)
    assert isinstance(found["leader"]["since"], float)


def test_data_that_is_no_text_is_base64(tmp_path: Path) -> None:
    data = b"\xff\xfe\x01"
    with running(tmp_path, "run", "local:billing", "--identity", "ann", "--data", os.fsdecode(data), *FOREVER) as leader:
        leader.out.until("started")
        found = json.loads(aioha(tmp_path, "status", "local:billing", "--json").stdout)["leader"]
    assert "data" not in found
    assert base64.b64decode(found["data_base64"]) == data


def test_a_stranger_s_data_cannot_steer_the_terminal(tmp_path: Path) -> None:
    with running(tmp_path, "run", "local:billing", "--data", "\x1b[2Jred\nnobody leads", *FOREVER) as leader:
        leader.out.until("started")
        result = aioha(tmp_path, "status", "local:billing")
    assert "\x1b" not in result.stdout
    assert "\\x1b[2Jred\\nnobody leads" in result.stdout


def test_where_may_come_from_the_environment(tmp_path: Path) -> None:
    env = {"AIOHA_WHERE": "local:billing"}
    assert aioha(tmp_path, "status", env=env).stdout == "local:billing: nobody leads\n"
    assert aioha(tmp_path, "status", "local:other", env=env).stdout == "local:other: nobody leads\n"
    assert aioha(tmp_path, "run", "--identity", "ann", "--", "sh", "-c", "exit 3", env=env).returncode == 3


def test_watch_tells_each_change_as_it_happens(tmp_path: Path) -> None:
    with running(tmp_path, "watch", "local:billing", "--json") as watch:
        first = json.loads(watch.out.until("{"))
        with running(tmp_path, "run", "local:billing", "--identity", "ann", *FOREVER) as leader:
            leader.out.until("started")
            second = json.loads(watch.out.until("{"))
            leader.send(signal.SIGTERM)
            third = json.loads(watch.out.until("{"))
            assert leader.exit_code() == 128 + signal.SIGTERM
        watch.send(signal.SIGINT)
        assert watch.exit_code() == 130
        assert watch.err.rest() == []
    assert [event["event"] for event in (first, second, third)] == ["vacant", "leader", "vacant"]
    assert all(set(event) == {"event", "at", "identity", "token"} for event in (first, second, third))
    assert (second["identity"], type(second["token"]), type(second["at"])) == ("ann", int, float)
    assert (third["identity"], third["token"]) == (None, None)
    assert first["at"] <= second["at"] <= third["at"]


def test_watch_for_people_is_a_line_per_change(tmp_path: Path) -> None:
    with running(tmp_path, "watch", "local:billing") as watch:
        watch.out.until("nobody leads")
        with running(tmp_path, "run", "local:billing", "--identity", "ann", *FOREVER):
            watch.out.until("ann leads, token ")
        watch.send(signal.SIGTERM)
        assert watch.exit_code() == 128 + signal.SIGTERM
        assert watch.err.rest() == []


def test_watch_ends_when_its_reader_does(tmp_path: Path) -> None:
    """With nothing more to write: as in `aioha watch | head -1`, while the leader stays."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aioha", "watch", "local:billing"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        assert process.stdout.readline().endswith(b"nobody leads\n")
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""


def test_status_to_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-m", "aioha", "status", "local:billing"],
            stdout=closed,
            stderr=subprocess.PIPE,
            env=environment(tmp_path),
            timeout=PATIENCE,
            check=False,
        )
    assert (result.returncode, result.stderr) == (141, b"")


def closed_first(numbers: Sequence[int], tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run it as a shell does after `2>&-`."""
    closing = " ".join(f"{number}>&-" for number in numbers)
    command = ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-m", "aioha", *arguments]
    return subprocess.run(command, capture_output=True, env=environment(tmp_path), timeout=PATIENCE, check=False)


@pytest.mark.parametrize("closed", [[0], [1], [0, 1, 2]])
def test_status_without_standard_files_tells_by_its_exit_code(tmp_path: Path, closed: list[int]) -> None:
    result = closed_first(closed, tmp_path, "status", "local:billing")
    shown = b"" if 1 in closed else b"local:billing: nobody leads\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, shown, b"")


def test_watch_without_a_stdout_goes_on(tmp_path: Path) -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "aioha", "watch", "local:billing"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(tmp_path)) as process:
        assert process.stderr is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2.0)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_status_to_a_full_disk_says_so(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "aioha", "status", "local:billing"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(tmp_path),
            timeout=PATIENCE,
            check=False,
        )
    assert (result.returncode, result.stderr) == (74, b"aioha: stdout cannot be written: No space left on device\n")


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "aioha", "status", b"local:/tmp/\xff"]
    result = subprocess.run(command, capture_output=True, env=environment(tmp_path), timeout=PATIENCE, check=False)
    assert (result.returncode, result.stdout) == (64, b"")
    assert result.stderr == b"aioha: where: what stands at position 11 is no UTF-8 text\n"


def test_status_is_shown_as_well_as_the_terminal_can(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "aioha", "status", f"local:{tmp_path}/主备"],
        capture_output=True,
        env={**environment(tmp_path), "PYTHONIOENCODING": "ascii:strict"},
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 1
    assert result.stdout.endswith(b"/\\u4e3b\\u5907: nobody leads\n")


def test_run_works_where_all_standard_files_are_closed(tmp_path: Path) -> None:
    """Else a socket or a pipe of ours has the number 2, and our log goes there."""
    done = tmp_path / "done"
    result = closed_first([0, 1, 2], tmp_path, "run", "local:billing", "--", "sh", "-c", f"sleep 0.3; touch {done}")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert done.exists()


def test_without_typer_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['typer'] = None; from aioha.__main__ import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment(tmp_path),
    )
    assert result.returncode == 64
    assert "pip install 'aioha[cli]'" in one_line(result)
