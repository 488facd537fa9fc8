"""The code of docs/fencing.md, section by section."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["recipe", "snippets"]

TEXT = (Path(__file__).parent.parent / "docs" / "fencing.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, flags=re.DOTALL | re.MULTILINE))


def snippets(section: str, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", SECTIONS[section], flags=re.DOTALL)


def recipe(section: str) -> Any:
    """What the section's Python defines."""
    space: dict[str, Any] = {"__name__": section}
    exec("".join(snippets(section)), space)  # noqa: S102 - our own document's
    return SimpleNamespace(**space)
