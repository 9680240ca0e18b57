"""The panels' .ui files, and every widget attribute that the code uses, against what a running Slicer has."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

import sources
import ui_files

INTERFACE = sources.REPOSITORY.parent / "shared" / "guide" / "slicer-widgets.json"
SCENE_SIGNAL, SCENE_SLOT = "mrmlSceneChanged(vtkMRMLScene*)", "setMRMLScene(vtkMRMLScene*)"
OF_EVERY_OBJECT = {"property", "setProperty", "findChildren", "blockSignals", "connect", "disconnect", "parent"}
"""QObject's own, which the interface file does not repeat for each class."""
OF_EVERY_WIDGET = {"layout", "setLayout", "resize", "isWidgetType", "mrmlScene"}
PYTHON_ONLY = {"isEntered"}
NO_CONTROLS = {"QLabel", "QTabWidget", "QWidget"}
"""What is no control: a tool tip of a page would be shown wherever the page is empty."""
PICTURES = {"QIcon", "QPixmap", "Qt"}
"""Names of Qt that Slicer's own scripted effects and modules use, which the interface file does not describe."""

LOADABLE = {
    "ctkCollapsibleButton",
    "ctkPathLineEdit",
    "ctkSliderWidget",
    "qMRMLCheckableNodeComboBox",
    "qMRMLNodeComboBox",
    "qMRMLSegmentSelectorWidget",
    "qMRMLTableView",
    "qMRMLWidget",
}
"""Classes of ours for which Slicer has a designer plugin; others (qMRMLPlotView, ...) are made in Python."""

needs_interface = pytest.mark.skipif(not INTERFACE.is_file(), reason="../shared with slicer-widgets.json is not here")


@pytest.fixture(params=ui_files.UI_FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Any:
    return request.param


@cache
def interface() -> dict[str, Any]:
    return json.loads(INTERFACE.read_text(encoding="utf-8"))


def described(cls: str) -> dict[str, Any]:
    """What a running Slicer says about a widget class."""
    package = "ctk" if cls.startswith("ctk") else "slicer" if cls.startswith("qMRML") else "qt"
    return interface()[f"{package}.{cls}"]


def known(cls: str, kind: str) -> set[str]:
    """Properties, signals (full signatures) or callables of a class, those of QWidget included."""
    of_class, of_widget = described(cls), {} if cls == "QTimer" else interface()["qt.QWidget"]
    if kind == "callables":
        names = {signature.split("(")[0] for d in (of_class, of_widget) for signature in d.get("slots", [])}
        return names | set(of_class.get("other attributes", [])) | OF_EVERY_OBJECT | OF_EVERY_WIDGET
    return {name for d in (of_class, of_widget) for name in d.get(kind, [])}


def classes_of_widgets() -> dict[tuple[Any, str], str]:
    """(.ui file, name of the widget) to its class."""
    return {(path, widget.name): widget.cls for path in ui_files.UI_FILES for widget in ui_files.widgets(path)}


def test_the_top_widget_is_a_scene_widget_named_like_its_module(path):
    top = ui_files.widgets(path)[0]
    assert (top.cls, top.name) == ("qMRMLWidget", path.stem)


def test_names_are_unique_and_python_can_say_them(path):
    names = [widget.name for widget in ui_files.widgets(path)]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() for name in names)


def test_every_parameter_name_is_a_parameter(path):
    named = {widget.properties.get("SlicerParameterName") for widget in ui_files.widgets(path)} - {None}
    assert named <= ui_files.parameter_names(path)


def test_every_scene_widget_hears_of_the_scene(path):
    top, *others = ui_files.widgets(path)
    wired = ui_files.connections(path)
    for widget in others:
        if widget.cls.startswith("qMRML"):
            assert (top.name, SCENE_SIGNAL, widget.name, SCENE_SLOT) in wired, widget.name


def test_every_connection_is_between_widgets_that_are_there(path):
    names = {widget.name for widget in ui_files.widgets(path)}
    assert all({sender, receiver} <= names for sender, _, receiver, _ in ui_files.connections(path))


def test_every_class_is_one_that_slicers_loader_can_make(path):
    own = {widget.cls for widget in ui_files.widgets(path) if widget.cls.startswith(("ctk", "qMRML", "qSlicer"))}
    assert own <= LOADABLE


def test_every_control_has_a_tooltip_that_is_a_sentence(path):
    for widget in ui_files.widgets(path)[1:]:
        if widget.cls not in NO_CONTROLS:
            assert widget.properties.get("toolTip", "").endswith("."), f"{widget.name} ({widget.cls})"


def test_no_panel_has_a_style_of_its_own(path):
    assert not [widget.name for widget in ui_files.widgets(path) if "styleSheet" in widget.properties]


def test_the_code_touches_only_widgets_that_the_panel_has():
    names = {path: {widget.name for widget in ui_files.widgets(path)} for path in ui_files.UI_FILES}
    uses = list(ui_files.uses())
    assert {use.panel for use in uses} >= {path for path in ui_files.UI_FILES if ui_files.parameter_names(path)}
    assert [use for use in uses if use.widget not in names[use.panel]] == []


@needs_interface
def test_every_property_of_the_panels_exists_in_slicer(path):
    for widget in ui_files.widgets(path):
        wrong = set(widget.properties) - known(widget.cls, "properties") - {"SlicerParameterName"}
        assert wrong == set(), widget.name


@needs_interface
def test_every_widget_attribute_that_the_code_uses_exists_in_slicer():
    classes = classes_of_widgets()
    for use in ui_files.uses():
        cls = classes[use.panel, use.widget]
        if use.attribute == "connect":
            assert use.signal in known(cls, "signals"), f"{use.where}: {cls} has no signal {use.signal}"
            continue
        names = known(cls, "properties") if use.written else known(cls, "properties") | known(cls, "callables")
        assert use.attribute in names, f"{use.where}: {cls} has no {use.attribute}"


@needs_interface
def test_properties_that_can_only_be_read_are_not_written():
    classes = classes_of_widgets()
    for use in ui_files.uses():
        if use.written:
            own = described(classes[use.panel, use.widget])["properties"]
            properties = {**interface()["qt.QWidget"]["properties"], **own}
            assert "read-only" not in properties[use.attribute], f"{use.where}: {use.widget}.{use.attribute}"


@needs_interface
@pytest.mark.parametrize("part", ["slicer.util", "slicer.app"])
def test_what_the_code_takes_from_slicer_is_there(part):
    known_names = set(interface()[part]["attributes"])
    assert [f"{where}: {part}.{name}" for where, name in ui_files.attributes_of(part) if name not in known_names] == []


@needs_interface
def test_every_qt_class_that_the_code_makes_is_described():
    assert [
        f"{where}: qt.{name}"
        for where, name in ui_files.attributes_of("qt")
        if f"qt.{name}" not in interface() and name not in PICTURES
    ] == []


@needs_interface
def test_the_harness_shows_nothing_that_slicer_has_not():
    pythonqt = pytest.importorskip("Harness.pythonqt", reason="Qt cannot be loaded", exc_type=ImportError)
    for cls in (*pythonqt.QT, *pythonqt.CTK, *pythonqt.SLICER):
        if cls.__name__ in ("QObject", "QVBoxLayout"):
            continue
        name = cls.__name__
        assert cls.names("properties") - known(name, "properties") - {"objectName"} == set(), name
        assert cls.names("methods") - known(name, "callables") == set(), name
        signals = {signature.split("(")[0] for signature in known(name, "signals")}
        assert cls.names("signals") - signals == set(), name


@needs_interface
def test_what_the_harness_replaces_in_slicer_util_and_app_exists_there():
    desktop = pytest.importorskip("Harness.desktop", reason="Qt cannot be loaded", exc_type=ImportError)
    assert set(desktop.UTILITIES) <= set(interface()["slicer.util"]["attributes"])
    shown = {name for name in vars(desktop.Application) if not name.startswith("_")}
    assert shown <= set(interface()["slicer.app"]["attributes"])
