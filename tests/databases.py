"""PostgreSQL and Redis for tests: servers of our own, in temporary directories, on Unix sockets, stopped by pid.

Nothing here touches a server that the machine runs for itself. They end by themselves should the tests be killed.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from aioha.testing import keeper

__all__ = ["postgres", "postgres_missing", "redis", "redis_missing"]

PATIENCE = 30.0  # seconds
USER = "postgres"  # the server refuses to be root; Debian's package makes this user


def postgres_missing() -> str | None:
    """What to do to get PostgreSQL, in one line; None if it is here."""
    return None if _postgres_programs() is not None else "no PostgreSQL server here: apt-get install postgresql"


def redis_missing() -> str | None:
    """What to do to get Redis, in one line; None if it is here."""
    return None if shutil.which("redis-server") else "no Redis server here: apt-get install redis-server"


@contextlib.contextmanager
def postgres() -> Generator[str]:
    """A PostgreSQL server: how to connect to it, as libpq writes that."""
    programs = _postgres_programs()
    assert programs is not None
    with _home("postgres") as home:
        account = pwd.getpwnam(USER) if os.geteuid() == 0 else None
        if account is not None:
            os.chown(home, account.pw_uid, account.pw_gid)
        initdb = [programs / "initdb", "--pgdata", home / "data", "--username=tests", "--auth=trust", "--no-sync"]
        with (home / "log").open("ab") as log:
            subprocess.run(
                [*initdb, "--encoding=UTF8", "--no-locale"], check=True, stdout=log, stderr=log, cwd=home, **_as(account)
            )
        settings = {"listen_addresses": "", "unix_socket_directories": str(home), "fsync": "off"}
        command = [str(programs / "postgres"), "-D", str(home / "data")]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with _running(command, home, home / ".s.PGSQL.5432", signal.SIGINT, account):  # SIGINT: it waits for no client
            yield f"host={home} user=tests dbname=postgres"


@contextlib.contextmanager
def redis() -> Generator[str]:
    """A Redis server: the path of its socket."""
    program = shutil.which("redis-server")
    assert program is not None
    with _home("redis") as home:
        command = [program, "--port", "0", "--unixsocket", str(home / "socket"), "--save", "", "--dir", str(home)]
        with _running(command, home, home / "socket", signal.SIGTERM, None):
            yield str(home / "socket")


def _postgres_programs() -> Path | None:
    """Where Debian keeps the newest version's programs, or where PATH does."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = packaged[-1] if packaged else shutil.which("initdb")
    return Path(found).parent if found is not None else None


def _as(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments of `subprocess` to run as somebody else."""
    return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def _home(name: str) -> Generator[Path]:
    home = Path(tempfile.mkdtemp(prefix=f"aioha-{name}-", dir="/tmp"))  # sockets want a short path
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _running(
    command: list[str], home: Path, socket: Path, stop: signal.Signals, account: pwd.struct_passwd | None
) -> Generator[None]:
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", str(keeper.__file__), str(os.getpid()), str(home)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    with (home / "log").open("ab") as log:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, start_new_session=True, **_as(account)
        )
    try:
        assert guard.stdin is not None
        guard.stdin.write(b"%d\n" % server.pid)
        guard.stdin.flush()
        due = time.monotonic() + PATIENCE
        while not (
            socket.is_socket() and "ready to accept connections" in (home / "log").read_text("utf-8", "replace").lower()
        ):
            if server.poll() is not None or time.monotonic() > due:
                raise RuntimeError(f"{command[0]} does not serve: {(home / 'log').read_text('utf-8', 'replace')[-1000:]}")
            time.sleep(0.02)
        yield
    finally:
        server.send_signal(stop)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        guard.communicate()
