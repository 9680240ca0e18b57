"""Writes the file lists of the modules' CMakeLists.txt from the tree; ``test_cmake.py`` compares them.

Slicer installs only what is listed, and stops when something listed is missing, so nobody keeps the lists by hand:
``make cmake-lists`` after adding, moving or deleting a file.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = ("MedAI", "MedAIRegistration", "MedAISuperRes")
SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"
LEFT_OUT_FOLDERS = {"__pycache__", "Testing"}


def files_of(module: str) -> dict[str, list[str]]:
    """What the module's folder holds: list name to sorted paths relative to the module's folder."""
    folder = REPOSITORY / module
    lists: dict[str, list[str]] = {SCRIPTS: [], RESOURCES: []}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or path.name == "CMakeLists.txt" or path.suffix in (".pyc", ".tmp"):
            continue
        if any(
            part in LEFT_OUT_FOLDERS or part.startswith(".") or part.endswith(".egg-info") for part in relative.parts
        ):
            continue
        lists[SCRIPTS if path.suffix == ".py" else RESOURCES].append(relative.as_posix())
    return lists


def listed_in(text: str) -> dict[str, list[str]]:
    """What a CMakeLists.txt lists: list name to paths in their order."""
    return {name: _pattern(name).search(text).group("entries").split() for name in (SCRIPTS, RESOURCES)}


def with_lists(text: str, lists: dict[str, list[str]]) -> str:
    """The CMakeLists.txt text with both lists replaced."""
    for name, entries in lists.items():
        block = "".join(f"\n  {entry}" for entry in entries)
        text = _pattern(name).sub(lambda match, block=block: f"{match['head']}{block}\n  )", text)
    return text


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?P<head>set\({name})(?P<entries>[^)]*)\)")


def main() -> int:
    """Rewrite the three CMakeLists.txt; prints those that changed."""
    for module in MODULES:
        path = REPOSITORY / module / "CMakeLists.txt"
        before = path.read_text(encoding="utf-8")
        after = with_lists(before, files_of(module))
        if after != before:
            path.write_text(after, encoding="utf-8")
            print(f"{module}/CMakeLists.txt rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
