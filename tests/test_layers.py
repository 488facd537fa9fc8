"""The layers of the package: imports run down this list, third-party packages stay where they belong.

A module that is in no layer fails the test, so that a new file has to be placed.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aioha

ROOT = Path(aioha.__file__).parent

# From the top down. A name stands for the module and everything below it; the longest one that fits counts.
LAYERS = {
    "face": ["aioha", "aioha.__main__", "aioha.cli", "aioha.decorator"],
    "elector": [
        "aioha.elector",
        "aioha.background",
        "aioha.campaign",
        "aioha.term",
        "aioha.transaction",
        "aioha.observe",
        "aioha.standing",
        "aioha.shared",
        "aioha.alarm",
        "aioha.timerfd",
        "aioha.tenure",
        "aioha.threshold",
        "aioha.steps",
    ],
    "elections": ["aioha.elections"],
    "session": [
        "aioha.attach",
        "aioha.session",
        "aioha.session_state",
        "aioha.sessions",
        "aioha.hearing",
        "aioha.heartbeat",
        "aioha.lease",
        "aioha.record",
        "aioha.ended",
        "aioha.guardian",
        "aioha.watchdog",
    ],
    "wire": ["aioha.wire"],
    "base": [
        "aioha.errors",
        "aioha.leaders",
        "aioha.settings",
        "aioha.clock",
        "aioha.where",
        "aioha.events",
        "aioha.host",
        "aioha.descendants",
        "aioha.cgroup",
    ],
    "testing": ["aioha.testing"],
}
ORDER = list(LAYERS)
PACKAGES = {"aioha.cli", "aioha.elections", "aioha.guardian", "aioha.wire", "aioha.testing"}  # more files may join these

# What each part may import besides the standard library and aioha; the longest name that fits counts.
THIRD_PARTY = {
    "aioha": {"anyio"},
    "aioha.wire": {"anyio", "aiozk"},
    "aioha.__main__": set[str](),  # it says what to install when the cli extra is missing
    "aioha.cli": {"anyio", "typer", "rich"},
    "aioha.testing.fixtures": {"pytest"},
}

USERS_OF_TESTING = "aioha.cli.demo"  # `aioha demo --zookeeper` shows a real ensemble


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports(name: str) -> Iterator[str]:
    """Absolute names of all that a module imports, wherever it does so; `from x import y` is y if y is a module."""
    package = name.split(".") if MODULES[name].name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (full if (full := f"{base}.{alias.name}") in MODULES else base for alias in node.names)


def is_below(name: str, parent: str) -> bool:
    return name == parent or name.startswith(parent + ".")


def layer_of(name: str) -> str | None:
    for layer, members in LAYERS.items():
        for member in members:
            if name == member or (member in PACKAGES and is_below(name, member)):
                return layer
    return None


def allowed_packages(name: str) -> set[str]:
    return THIRD_PARTY[max((part for part in THIRD_PARTY if is_below(name, part)), key=len)]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_layer(name: str) -> None:
    assert layer_of(name) is not None, f"{name} is new: place it in LAYERS"


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_down_the_layers(name: str) -> None:
    own = layer_of(name) or "face"
    for imported in imports(name):
        if not is_below(imported, "aioha"):
            continue
        other = layer_of(imported)
        assert other is not None, f"{name} imports {imported}, which is in no layer"
        if own == "testing":
            assert other == "testing" or imported == "aioha.errors", f"{name} (for users' tests) imports {imported}"
        elif other == "testing":
            assert is_below(name, USERS_OF_TESTING), f"{name} imports {imported}, which is for tests"
        else:
            assert ORDER.index(own) <= ORDER.index(other), f"{name} ({own}) imports {imported} ({other}), upwards"


@pytest.mark.parametrize("name", MODULES)
def test_third_party_packages_stay_where_they_belong(name: str) -> None:
    for imported in imports(name):
        package = imported.partition(".")[0]
        if package == "aioha" or package in sys.stdlib_module_names:
            continue
        assert package in allowed_packages(name), f"{name} imports {package}"


def test_the_rules_are_about_modules_that_exist() -> None:
    assert {"aioha.wire.connection", "aioha.errors", "aioha.testing.fixtures"} <= set(MODULES)
    assert "aioha.wire.connection" in imports_of_all("aioha.session")


def imports_of_all(name: str) -> set[str]:
    return set(imports(name))


def test_what_the_map_says_of_names() -> None:
    assert layer_of("aioha") == "face"
    assert layer_of("aioha.elections.zookeeper.queue") == "elections"
    assert layer_of("aioha.brandnew") is None
    assert allowed_packages("aioha.session") == {"anyio"}
    assert "aiozk" in allowed_packages("aioha.wire.errors")
