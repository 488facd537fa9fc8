"""`aioha run`: CMD runs only while we lead, all of it is gone before the release, and its status is ours."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import PATIENCE, Running, aioha, alive, environment, kill_quietly, running, wait_dead

# Says when it has begun, and ends soon after SIGTERM with a status of its own. Short sleeps: a shell's child that has
# been forked and not yet become `sleep` can miss a SIGTERM, and would then last until SIGKILL.
POLITE = "trap 'echo polite; exit 7' TERM; echo began; while :; do sleep 0.05; done"
# A member of the group that only SIGKILL ends, besides the one that is CMD.
STUBBORN_MEMBER = "sh -c 'trap \"\" TERM; echo member $$; while :; do sleep 0.05; done' & "


def pid_in(line: str) -> int:
    return int(line.rsplit(maxsplit=1)[-1])


def leading(run: Running) -> None:
    run.out.until("began")


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_cmd_s_status_is_ours(tmp_path: Path, script: str, status: int) -> None:
    assert aioha(tmp_path, "run", "local:billing", "--", "sh", "-c", script).returncode == status
    assert aioha(tmp_path, "status", "local:billing").returncode == 1  # and the term was released


def test_cmd_that_is_not_there_is_127_and_never_campaigned_for(tmp_path: Path) -> None:
    with running(tmp_path, "run", "local:billing", "--", "sh", "-c", POLITE) as leader:
        leading(leader)
        result = aioha(tmp_path, "run", "local:billing", "--", "no-such-command")
    assert result.returncode == 127
    assert "no-such-command" in result.stderr
    assert "Traceback" not in result.stderr


def test_cmd_that_cannot_be_run_is_126(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("echo hello\n")
    assert aioha(tmp_path, "run", "local:billing", "--", str(plain)).returncode == 126
    plain.chmod(0o755)  # executable, but without "#!": the kernel refuses it
    result = aioha(tmp_path, "run", "local:billing", "--", str(plain))
    assert result.returncode == 126
    assert "Traceback" not in result.stderr


def test_cmd_sees_the_term_and_no_secret(tmp_path: Path) -> None:
    script = "echo $AIOHA_IDENTITY; echo $AIOHA_TOKEN; echo $AIOHA_TERM; echo $AIOHA_WHERE; env | grep -c hunter2"
    env = {"AIOHA_TERM": "999", "AIOHA_WHERE": "zk://me:hunter2@zk1/other"}
    result = aioha(tmp_path, "run", "local:billing", "--identity", "ann", "--", "sh", "-c", script, env=env)
    identity, token, term, where, secrets = result.stdout.splitlines()
    assert (identity, where, secrets) == ("ann", "local:billing", "0")
    assert int(token) >= 1
    assert term.isdigit()
    assert term != "999"


def test_cmd_has_our_stdin_and_stdout_and_all_its_arguments(tmp_path: Path) -> None:
    result = aioha(tmp_path, "run", "local:billing", "--", "echo", "--json", "--", "-x")
    assert result.stdout == "--json -- -x\n"


def test_tokens_rise_from_run_to_run(tmp_path: Path) -> None:
    tokens = [int(aioha(tmp_path, "run", "local:b", "--", "sh", "-c", "echo $AIOHA_TOKEN").stdout) for _ in range(3)]
    assert tokens == sorted(set(tokens))


def test_a_standby_starts_cmd_only_when_the_leader_has_ended(tmp_path: Path) -> None:
    with running(tmp_path, "run", "local:billing", "--identity", "ann", "--", "sh", "-c", POLITE) as first:
        leading(first)
        with running(tmp_path, "run", "local:billing", "--identity", "bob", "--", "sh", "-c", POLITE) as second:
            found = json.loads(aioha(tmp_path, "status", "local:billing", "--json").stdout)
            assert found["leader"]["identity"] == "ann"
            assert second.out.seen == []
            first.send(signal.SIGTERM)
            assert first.exit_code() == 7
            leading(second)
            second.send(signal.SIGINT)
            assert second.exit_code() == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_cmd_politely_and_its_status_is_ours(tmp_path: Path, number: int) -> None:
    with running(tmp_path, "run", "local:billing", "--", "sh", "-c", POLITE) as run:
        leading(run)
        run.send(number)
        assert run.exit_code() == 7
        assert run.out.rest() == ["began", "polite"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_a_standby_is_128_and_its_number(tmp_path: Path, number: int) -> None:
    with running(tmp_path, "run", "local:billing", "--", "sh", "-c", POLITE) as first:
        leading(first)
        with running(tmp_path, "run", "local:billing", "--", "sh", "-c", POLITE) as second:
            second.err.until("standing by")
            second.send(number)
            assert second.exit_code() == 128 + number
            assert second.out.rest() == []


def test_kill_after_bounds_a_cmd_that_ignores_sigterm(tmp_path: Path) -> None:
    script = "trap '' TERM; echo began; while :; do sleep 0.05; done"
    with running(tmp_path, "run", "local:billing", "--kill-after", "0.3", "--", "sh", "-c", script) as run:
        leading(run)
        start = time.monotonic()
        run.send(signal.SIGTERM)
        assert run.exit_code() == 137
        assert 0.3 <= time.monotonic() - start < PATIENCE / 2


def test_a_second_signal_kills_cmd_at_once(tmp_path: Path) -> None:
    script = "trap 'echo asked' TERM; echo began; while :; do sleep 0.05; done"
    with running(tmp_path, "run", "local:billing", "--kill-after", "1000", "--", "sh", "-c", script) as run:
        leading(run)
        run.send(signal.SIGINT)
        run.out.until("asked")
        run.send(signal.SIGINT)
        assert run.exit_code() == 137


def test_leftovers_of_the_group_are_killed_before_the_release(tmp_path: Path) -> None:
    """CMD ends by itself and leaves a member that ignores SIGTERM: no second leader may start beside it."""
    script = STUBBORN_MEMBER + "echo began; read line < ./go; exit 4"
    os.mkfifo(tmp_path / "go")
    arguments = ("run", "local:billing", "--kill-after", "0.3", "--", "sh", "-c", f"cd {tmp_path}; {script}")
    with running(tmp_path, *arguments) as first:
        member = pid_in(first.out.until("member"))
        look = f"grep -qs 'State:.[RSDT]' /proc/{member}/status && echo overlap; echo began"  # a zombie is no overlap
        with running(tmp_path, "run", "local:billing", "--", "sh", "-c", look) as second:
            (tmp_path / "go").write_text("go\n")
            assert first.exit_code() == 4
            assert not alive(member)
            assert second.exit_code() == 0
            assert second.out.rest() == ["began"]


def test_a_stopped_cmd_ends_all_the_same(tmp_path: Path) -> None:
    with running(tmp_path, "run", "local:billing", "--", "sh", "-c", "echo began $$; kill -STOP $$; sleep 1000") as run:
        cmd = pid_in(run.out.until("began"))
        run.send(signal.SIGTERM)
        assert run.exit_code() == 128 + signal.SIGTERM
        assert not alive(cmd)


def test_cmd_dies_with_us_when_we_are_killed(tmp_path: Path) -> None:
    with running(tmp_path, "run", "local:billing", "--", "sh", "-c", "echo began $$; while :; do sleep 0.05; done") as run:
        cmd = pid_in(run.out.until("began"))
        run.send(signal.SIGKILL)
        try:
            wait_dead(cmd)
        finally:
            kill_quietly(cmd)


def test_ctrl_z_does_not_stop_us_beside_a_running_cmd(tmp_path: Path) -> None:
    with running(tmp_path, "run", "local:billing", "--", "sh", "-c", POLITE) as run:
        leading(run)
        run.send(signal.SIGTSTP)
        run.err.until("Ctrl-Z")
        run.send(signal.SIGTERM)
        assert run.exit_code() == 7


def test_the_log_is_on_stderr_and_json_if_asked_for(tmp_path: Path) -> None:
    result = aioha(tmp_path, "run", "local:billing", "--log-json", "--", "echo", "hello")
    assert result.stdout == "hello\n"
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert lines
    assert all({"at", "level", "logger", "message"} <= set(line) for line in lines)


def test_the_last_word_is_json_too(tmp_path: Path) -> None:
    result = aioha(tmp_path, "run", "zk://127.0.0.1:1/b", "--connect-timeout", "0.2", "--log-json", "--", "true")
    assert result.returncode == 69
    assert [json.loads(line)["level"] for line in result.stderr.splitlines()][-1] == "error"


def test_a_stalled_reader_of_the_log_does_not_stall_us(tmp_path: Path) -> None:
    """stderr is a full pipe: CMD still starts, ends and gives its status."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "aioha", "run", "local:billing", "--", "sh", "-c", "exit 5"],
        stderr=writer,
        env=environment(tmp_path),
    )
    try:
        assert process.wait(PATIENCE) == 5
    finally:
        process.kill()
        os.close(reader)
        os.close(writer)
