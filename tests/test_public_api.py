"""What `import aioha` gives: the names of its documentation, all of them, and no others."""

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

import aioha
import aioha.testing

DOCUMENTED = {
    "ElectionError",
    "Elector",
    "Fenced",
    "LayoutMismatch",
    "Leader",
    "LeadershipLost",
    "LeadershipResigned",
    "Predecessor",
    "Session",
    "SessionFailed",
    "Standing",
    "Term",
    "TermEnded",
    "TransferRefused",
    "Unavailable",
    "active_standby",
}


def public_names(module: types.ModuleType) -> set[str]:
    """What a reader finds in the module: no submodules, no private names."""
    return {
        name for name, value in vars(module).items() if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }


@pytest.mark.parametrize("module", [aioha, aioha.testing])
def test_all_is_sorted_and_the_truth(module: types.ModuleType) -> None:
    names = list(module.__all__)
    assert names == sorted(names, key=str.lower) or names == sorted(names)
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(module, name) is not None
    assert public_names(module) == {name for name in names if not name.startswith("_")}


def test_the_documented_names_are_there() -> None:
    assert set(aioha.__all__) >= DOCUMENTED
    assert len(aioha.__all__) <= 25


def test_every_public_name_is_documented_where_it_is_defined() -> None:
    undocumented = [
        name
        for name in aioha.__all__
        if not name.startswith("_") and callable(value := getattr(aioha, name)) and not (value.__doc__ or "").strip()
    ]
    assert not undocumented


def test_errors_form_one_family() -> None:
    public = [getattr(aioha, name) for name in aioha.__all__]
    errors = [value for value in public if isinstance(value, type) and issubclass(value, Exception)]
    assert len(errors) >= 9
    assert all(issubclass(error, aioha.ElectionError) for error in errors)
    assert issubclass(aioha.LeadershipLost, aioha.TermEnded)
    assert issubclass(aioha.LeadershipResigned, aioha.TermEnded)


@pytest.mark.parametrize("module", ["aioha", "aioha.testing"])
def test_importing_loads_no_extras(module: str) -> None:
    program = f"import sys, {module}; print([name for name in ('typer', 'rich', 'pytest', 'kazoo') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout.strip() == "[]"


def test_modules_that_say_what_is_public_say_the_truth() -> None:
    root = Path(aioha.__file__).parent
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List() as listed):
                    names = [str(ast.literal_eval(element)) for element in listed.elts]
                    missing = set(names) - top_level_names(tree)
                    assert not missing, f"{path.relative_to(root)}: __all__ names {missing}"
                case _:
                    pass


def top_level_names(tree: ast.Module) -> set[str]:
    names: set[str] = {"__version__"}
    guarded = [inner for each in tree.body if isinstance(each, ast.If) for inner in each.body]
    for node in [*tree.body, *guarded]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        for target in ast.walk(node):
            if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                names.add(target.id)
    return names
