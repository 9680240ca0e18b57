"""Reading the repository's Python files without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
BACKEND = REPOSITORY / "MedAI" / "MedAILib"
SLICER_SIDE = REPOSITORY / "MedAI" / "MedAISlicer"
MODULE_FILES = tuple(REPOSITORY / name / f"{name}.py" for name in ("MedAI", "MedAIRegistration", "MedAISuperRes"))


def gui_files() -> list[Path]:
    """Every Python file that Slicer's own process loads, apart from the backend."""
    others = [path for module in MODULE_FILES[1:] for path in module.parent.rglob("*.py")]
    return sorted({MODULE_FILES[0], *others, *SLICER_SIDE.rglob("*.py")})


def backend_files() -> list[Path]:
    """Every Python file of MedAILib."""
    return sorted(BACKEND.rglob("*.py"))


def name_of(path: Path) -> str:
    """The file as the tests name it."""
    return path.relative_to(REPOSITORY).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path, file_scope_only: bool = False) -> set[str]:
    """Dotted names that the file imports, relative imports resolved, those for type checking left out.

    ``from a import b`` gives ``a.b``, as b may be a module; ``import_module("a")`` counts as well.
    """
    nodes = _at_file_scope(tree_of(path).body) if file_scope_only else _outside_type_checking(tree_of(path))
    return {name for node in nodes for name in _imported(node, path)}


def _imported(node: ast.AST, path: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = list(path.relative_to(REPOSITORY / "MedAI").parts[: -node.level])
            base = ".".join([*package, *([base] if base else [])])
        yield from (f"{base}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _at_file_scope(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Statements that run on import: those of the file, of its classes, and inside if, try and with."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(node):
            continue
        yield node
        for field in ("body", "orelse", "finalbody"):
            yield from _at_file_scope(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _at_file_scope(handler.body)


def _outside_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not _is_type_checking(child):
            yield from _outside_type_checking(child)


def backend_file(dotted: str) -> Path | None:
    """The file behind ``MedAILib.a.b`` (or behind ``MedAILib.a`` if b is a name in it), None for other packages."""
    parts = dotted.split(".")
    if parts[0] != "MedAILib":
        return None
    for length in range(len(parts), 0, -1):
        base = REPOSITORY / "MedAI" / Path(*parts[:length])
        for candidate in (base.with_suffix(".py"), base / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None


def loaded_with(path: Path) -> dict[Path, set[str]]:
    """What importing the file loads of the backend, step by step: each file reached with its imports at file scope."""
    reached: dict[Path, set[str]] = {}
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in reached:
            continue
        reached[current] = imports(current, file_scope_only=True)
        for dotted in reached[current]:
            target = backend_file(dotted)
            if target is not None:
                waiting += [target, *_packages_above(target)]
    return reached


def _packages_above(path: Path) -> list[Path]:
    return [folder / "__init__.py" for folder in path.parents if BACKEND in (folder, *folder.parents)]
