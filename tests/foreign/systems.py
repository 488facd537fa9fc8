"""The systems that we share elections with: what each needs on this machine, and how a candidate of it is started."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aioha.testing.java import JARS, NAMES

__all__ = ["SYSTEMS", "System"]

HERE = Path(__file__).parent
OF_CURATOR = ("curator-client", "curator-framework", "curator-recipes", "guava")
CLASS_PATH = [JARS / f"{name}.jar" for name in (*NAMES, *OF_CURATOR, "zookeeper-recipes-election")]
JVM = ("-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Xshare:auto")
LOGGING = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
NEEDS: dict[str, tuple[Sequence[Path], Sequence[str], str]] = {
    "java": (CLASS_PATH, ["java", "javac"], "libcurator-recipes-java zookeeper default-jdk-headless"),
    "c": ([Path("/usr/include/zookeeper/zookeeper.h")], ["gcc"], "libzookeeper-mt-dev gcc libc6-dev"),
    "python": ([], [], ""),
}
COMPILING = 120.0  # seconds, on a busy machine


@dataclass(frozen=True, slots=True)
class System:
    """`name`: also what Foreign.java calls it. `lists_all`: it can say who stands by. `queues`: it is no race.
    `has_our_line`: it is one, but ours stand in line for it.

    takeover_delay: seconds, of our candidates.
    """

    name: str
    language: Literal["java", "c", "python"]
    layout: str
    lists_all: bool = True
    queues: bool = True
    has_our_line: bool = False
    takeover_delay: float = 0.0

    @property
    def missing(self) -> str | None:
        """What to do to have it, in one line; None if it is here."""
        files, programs, packages = NEEDS[self.language]
        absent = [str(file) for file in files if not file.exists()]
        absent += [program for program in programs if shutil.which(program) is None]
        return (
            f"nothing to share layout={self.layout} with here ({', '.join(absent)} missing): apt-get install {packages}"
            if absent
            else None
        )

    def build(self, directory: Path) -> None:
        """Compile its program, if that has not been done there."""
        if self.language == "java" and not (directory / "Foreign.class").exists():
            options = ["-Xlint:all,-path", "-Werror", "-proc:none", "-sourcepath", str(HERE), "-cp", _path()]
            subprocess.run(
                ["javac", *options, "-d", str(directory), str(HERE / "Foreign.java")], check=True, timeout=COMPILING
            )
        elif self.language == "c" and not (directory / "mooon").exists():
            options = ["-O1", "-Wall", "-Wextra", "-Werror", "-DTHREADED", "-o", str(directory / "mooon")]
            source = str(HERE / "mooon.c")
            subprocess.run(["gcc", *options, source, "-lzookeeper_mt"], check=True, timeout=COMPILING)

    def command(self, directory: Path) -> Sequence[str]:
        """What starts a candidate of it, but for what every candidate is told."""
        if self.language == "java":
            return ["java", *JVM, LOGGING, "-cp", _path(directory), "Foreign", self.name]
        if self.language == "c":
            return [str(directory / "mooon")]
        return [sys.executable, str(HERE / f"{self.name}_candidate.py")]

    @property
    def of_ours(self) -> Sequence[str]:
        """What starts a candidate of ours in an election of this system."""
        options = json.dumps({"layout": self.layout, "takeover_delay": self.takeover_delay})
        return [sys.executable, "-X", "dev", "-W", "error", str(HERE / "aioha_candidate.py"), options]


def _path(*more: Path) -> str:
    return os.pathsep.join(map(str, (*CLASS_PATH, *more)))


SYSTEMS = (
    System("latch", "java", "latch"),
    System("kazoo", "python", "kazoo"),
    System("selector", "java", "selector"),
    System("support", "java", "zk-recipes", lists_all=False),
    System("hadoop", "python", "hadoop", lists_all=False, queues=False, has_our_line=True),
    System("mooon", "c", "mooon", lists_all=False, queues=False, takeover_delay=1.0),
)
