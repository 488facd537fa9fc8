"""Every small change to the code that mutmut can think of, one at a time, in the body of a function that is in use.

mutmut only says what to change. Its own way, a copy of each function for each change behind a switch, is slow, changes the
sources that some of our tests read, and leaves out properties; here the code object of the running function is exchanged.
"""
# pyright: reportMissingImports=false, reportUntypedBaseClass=false
# (what only `make mutate` installs)

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import libcst as cst
from mutmut.mutation.file_mutation import Mutation, MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode


@dataclass(frozen=True)
class Mutant:
    """One change of one function. `mutation`: None changes nothing, which nobody may notice."""

    module: str
    function: str
    number: int
    tree: cst.Module
    mutation: Mutation | None

    @property
    def reach(self) -> str:
        return f"{self.module}:{self.function}"

    @property
    def name(self) -> str:
        return f"{self.reach}#{self.number}"

    def begin(self) -> Callable[[], None]:
        """From now on the function does what it does with this change, until the function that is returned is called."""
        changed = function(self.module, self.function)
        before = changed.__code__
        if self.mutation is not None:
            code = compile(self._source(), self.module, "exec", dont_inherit=True)
            changed.__code__ = _within(code, self.function)

        def end() -> None:
            changed.__code__ = before

        return end

    def shown(self) -> str:
        """The lines that it changes."""
        if self.mutation is None:
            return ""
        before, after = (source.splitlines() for source in (self.tree.code, self._source()))
        lines = list(unified_diff(before, after, n=0, lineterm=""))[2:]
        return "\n".join(f"    {line}" for line in lines)

    def _source(self) -> str:
        assert self.mutation is not None
        changed = self.tree.deep_replace(self.mutation.original_node, self.mutation.mutated_node)
        assert isinstance(changed, cst.Module)
        return changed.code


def mutants_of(module: str, source: Path) -> list[Mutant]:
    """All of one file."""
    wrapper = cst.MetadataWrapper(cst.parse_module(source.read_text()))
    visitor = _Bodies(mutation_operators, IgnoredCode(set(), set(), set()))
    wrapper.visit(visitor)
    names: dict[Any, str] = dict(_functions(wrapper.module.body, ""))
    often = Counter(names.values())  # a name that is there twice (a property's setter) is left out
    found, numbers = [], Counter[str]()
    for mutation in visitor.mutations:
        name = names.get(mutation.contained_by_top_level_function, "")
        if often[name] == 1:
            numbers[name] += 1
            found.append(Mutant(module, name, numbers[name], wrapper.module, mutation))
    return found


def function(module: str, name: str) -> FunctionType:
    """The one that runs: below a property, a class method or a decorator that wraps it."""
    found: Any = import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    below: Any = found.fget if isinstance(found, property) else found
    return inspect.unwrap(below)


class _Bodies(MutationVisitor):
    """mutmut's, which leaves out decorated functions: their bodies are in, their parameters are not."""

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return False
        return isinstance(node, cst.Param) or super()._skip_node_and_children(node)


def _functions(body: Any, prefix: str) -> Iterator[tuple[cst.FunctionDef, str]]:
    for statement in body:
        if isinstance(statement, cst.FunctionDef):
            yield statement, prefix + statement.name.value
        elif isinstance(statement, cst.ClassDef) and not prefix:
            yield from _functions(statement.body.body, f"{statement.name.value}.")


def _within(code: CodeType, name: str) -> CodeType:
    if code.co_qualname == name:
        return code
    inside = (each for each in code.co_consts if isinstance(each, CodeType))
    return next(_within(each, name) for each in inside if f"{name}.".startswith(f"{each.co_qualname}."))
