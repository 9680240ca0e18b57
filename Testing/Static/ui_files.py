"""Reading the modules' .ui files, and which widgets the Python side touches, without running anything."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sources

ASSIST_UI = sources.REPOSITORY / "MedAI" / "Resources" / "UI" / "AIAssist.ui"
"""The options of the Segment Editor effect."""
TRAIN_UI = ASSIST_UI.with_name("MedAITrain.ui")
"""The tab Train of the MedAI module."""
UI_FILES = (
    *(module.parent / "Resources" / "UI" / f"{module.stem}.ui" for module in sources.MODULE_FILES),
    ASSIST_UI,
    TRAIN_UI,
)
UI_VARIABLES = ("ui", "_ui")
PACKAGES = {
    "MedAIRegistration": sources.SLICER_SIDE / "registration",
    "MedAISuperRes": sources.SLICER_SIDE / "superres",
    "AIAssist": sources.SLICER_SIDE / "assist",
    "MedAITrain": sources.SLICER_SIDE / "train",
}
"""Module to the part of the Slicer side that is its own; the rest is the MedAI module's."""
SHARED = {
    "module_widget.py": UI_FILES[:3],
    "run_panel.py": (*UI_FILES[:3], TRAIN_UI),
    "result_panel.py": UI_FILES[1:3],
    "result_widget.py": UI_FILES[1:3],
}
"""File of the Slicer side to the .ui files that all have what it touches."""


@dataclass(frozen=True)
class Widget:
    """One widget of a .ui file."""

    cls: str
    name: str
    properties: dict[str, str]


@cache
def root_of(path: Path) -> ElementTree.Element:
    """The file's top element."""
    return ElementTree.parse(path).getroot()


@cache
def widgets(path: Path) -> list[Widget]:
    """All widgets, the top one first."""
    return [
        Widget(
            element.attrib["class"],
            element.attrib["name"],
            {item.attrib["name"]: "".join(item.itertext()).strip() for item in element.findall("property")},
        )
        for element in root_of(path).iter("widget")
    ]


def connections(path: Path) -> set[tuple[str, str, str, str]]:
    """(sender, signal, receiver, slot)."""
    return {
        tuple(str(connection.findtext(end)) for end in ("sender", "signal", "receiver", "slot"))  # type: ignore[misc]
        for connection in root_of(path).iter("connection")
    }


def panels_of(source: Path) -> tuple[Path, ...]:
    """The .ui files whose widgets a Python file touches."""
    if source.parent == sources.SLICER_SIDE and source.name in SHARED:
        return SHARED[source.name]
    for path in UI_FILES[1:]:
        folders = (PACKAGES[path.stem], *([path.parents[2]] if path not in (ASSIST_UI, TRAIN_UI) else []))
        if any(folder in source.parents for folder in folders):
            return (path,)
    return UI_FILES[:1]


def parameter_names(path: Path) -> set[str]:
    """The parameters behind a .ui file, off the class that ``parameterNodeWrapper`` decorates."""
    own = PACKAGES.get(path.stem) if path != UI_FILES[0] else sources.SLICER_SIDE
    if own is None or not (own / "parameters.py").is_file():
        return set()
    tree = sources.tree_of(own / "parameters.py")
    return {
        statement.target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("parameterNodeWrapper" in ast.unparse(d) for d in node.decorator_list)
        for statement in node.body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }


@dataclass(frozen=True)
class Use:
    """The Python side touches a widget: ``ui.<widget>.<attribute>``.

    Attributes:
        panel: the .ui file that has the widget.
        signal: the signature, where the attribute is ``connect``.
        written: the attribute is assigned to.
    """

    where: str
    panel: Path
    widget: str
    attribute: str
    signal: str = ""
    written: bool = False


def uses() -> Iterator[Use]:
    """Every touch of a widget by its name, in the module files and the Slicer side."""
    for path in sources.gui_files():
        tree = sources.tree_of(path)
        signals = {
            id(node.func): ast.literal_eval(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".connect") and len(node.args) == 2
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                holder = node.value.value
                if not isinstance(holder, ast.Attribute) or holder.attr not in UI_VARIABLES:
                    continue
                for panel in panels_of(path):
                    yield Use(
                        f"{sources.name_of(path)}:{node.lineno}",
                        panel,
                        node.value.attr,
                        node.attr,
                        signals.get(id(node), ""),
                        isinstance(node.ctx, ast.Store),
                    )


def attributes_of(dotted: str) -> Iterator[tuple[str, str]]:
    """(where, name) for each ``<dotted>.<name>`` on the Slicer side, e.g. of ``slicer.util`` or ``qt``."""
    for path in sources.gui_files():
        for node in ast.walk(sources.tree_of(path)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == dotted:
                yield f"{sources.name_of(path)}:{node.lineno}", node.attr
