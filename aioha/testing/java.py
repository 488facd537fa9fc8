"""ZooKeeper as Debian packages it: where its jars are, how a server is configured and started quickly."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .ports import HOST

__all__ = ["Layout", "ZooKeeperMissing", "command", "configuration", "missing"]

JARS = Path("/usr/share/java")
NAMES = (
    "zookeeper",
    "zookeeper-jute",
    "slf4j-api",
    "slf4j-simple",
    "netty-all",
    "metrics-core",
    "snappy-java",
    "commons-cli",
)
OPTIONAL = ("audience-annotations",)  # annotations only: found in some releases' class path

# Small and quick to start rather than fast for long: 3 servers share a test machine's 2 cores.
JVM = (
    "-Xms32m",
    "-Xmx96m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Djava.net.preferIPv4Stack=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dzookeeper.preAllocSize=1024",  # KiB; 64 MiB of log preallocated per server is slow on a small disk
    "-Dzookeeper.jmx.log4j.disable=true",
)


class ZooKeeperMissing(RuntimeError):
    """This machine has no ZooKeeper server (or no Java) to test with; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What all servers of an ensemble have in common. `tick` and the session timeouts are seconds, the limits ticks."""

    tick: float
    sync_limit: int
    init_limit: int
    min_session_timeout: float | None
    max_session_timeout: float | None
    fsync: bool
    extra: Sequence[str]
    jvm: Sequence[str]


def missing() -> str | None:
    """What to do to get ZooKeeper, in one line; None if it is here."""
    absent = [f"{name}.jar" for name in NAMES if not (JARS / f"{name}.jar").exists()]
    if shutil.which("java") is None:
        absent.append("java")
    return f"no ZooKeeper server here ({', '.join(absent)} missing): apt-get install zookeeper" if absent else None


def command(layout: Layout, config: Path) -> list[str]:
    """The command line that runs one server in the foreground. Raises `ZooKeeperMissing`."""
    if (hint := missing()) is not None:
        raise ZooKeeperMissing(hint)
    class_path = os.pathsep.join(str(JARS / f"{name}.jar") for name in NAMES + OPTIONAL)
    sync = () if layout.fsync else ("-Dzookeeper.forceSync=no",)
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    return ["java", *JVM, *sync, *layout.jvm, "-cp", class_path, main, str(config)]


def configuration(layout: Layout, data: Path, port: int, peers: Mapping[int, tuple[int, int]]) -> str:
    """The text of a zoo.cfg. `peers`: quorum and election port of each server as this one sees it; empty: standalone."""
    lines = [
        f"tickTime={_ms(layout.tick)}",
        f"initLimit={layout.init_limit}",
        f"syncLimit={layout.sync_limit}",
        f"dataDir={data}",
        f"clientPort={port}",
        f"clientPortAddress={HOST}",
        "admin.enableServer=false",
        "maxClientCnxns=0",
        "4lw.commands.whitelist=*",
        *_limit("minSessionTimeout", layout.min_session_timeout),
        *_limit("maxSessionTimeout", layout.max_session_timeout),
        *(f"server.{number}={HOST}:{quorum}:{election}" for number, (quorum, election) in peers.items()),
        *layout.extra,
    ]
    return "\n".join(lines) + "\n"


def _limit(name: str, seconds: float | None) -> Iterable[str]:
    return () if seconds is None else (f"{name}={_ms(seconds)}",)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
