"""Puts the pieces together: after :func:`desktop` the modules load as they do in Slicer."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from packaging.requirements import Requirement

import system_libraries

REPOSITORY = Path(__file__).resolve().parents[2]
UTILITIES = (
    "loadUI",
    "childWidgetVariables",
    "errorDisplay",
    "warningDisplay",
    "infoDisplay",
    "confirmOkCancelDisplay",
    "confirmYesNoDisplay",
    "tryWithErrorDisplay",
    "showStatusMessage",
    "modulePath",
    "reloadScriptedModule",
    "resetSliceViews",
    "setSliceViewerLayers",
)
"""What of ``slicer.util`` needs the desktop; the rest is slicer-core's own."""


def missing() -> str:
    """Why the harness cannot run here and what to install, or an empty string."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    try:
        importlib.import_module("PySide6.QtUiTools")
    except ImportError as error:
        return f"Qt cannot be loaded ({error}). {system_libraries.sentence('qt') or 'Install PySide6-Essentials.'}"
    if importlib.util.find_spec("slicer") is None:
        return "slicer-core is not installed; it comes with the extra named test of this project."
    return ""


@dataclass
class Desktop:
    """The fake desktop.

    Attributes:
        messages: (kind, text) of all dialogs that would have been shown.
        confirm: what the user answers to questions.
        folder: what the user chooses where a folder is asked for; empty for a cancel.
        scene: the application around the present scene.
        views: the layout manager; None where no view is open.
        widgets: module name to the object of its open panel.
        status: texts of the status bar.
        shown: what slice views were told to show.
    """

    messages: list[tuple[str, str]] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    shown: list[dict[str, Any]] = field(default_factory=list)
    confirm: bool = True
    folder: str = ""
    widgets: dict[str, Any] = field(default_factory=dict)
    scene: Any = None
    views: Any = None

    def new_scene(self, folder: Path) -> Any:
        """Begin with an empty scene, and with no dialog shown yet; ``folder`` takes temporary files."""
        from MRML import scene

        self.close_scene()
        self.messages.clear()
        self.status.clear()
        self.shown.clear()
        self.confirm, self.folder, self.views = True, "", None
        self.scene = scene.Application(folder)
        self.scene.install()
        return self.scene.scene

    def close_scene(self) -> None:
        """Let go of the scene, if there is one."""
        if self.scene is not None:
            self.scene.close()
            self.scene = None

    def load(self, name: str) -> Any:
        """Import a module's file as Slicer does, build its panel and enter it; returns the module's widget object."""
        path = module_path(name)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        from .scripted import module_parent

        description = SimpleNamespace(path=str(path))
        getattr(module, name)(description)
        parent = module_parent(path)
        widget = getattr(module, f"{name}Widget")(parent)
        widget.description = description
        self.widgets[name] = widget
        widget.setup()
        self.enter(widget)
        return widget

    def enter(self, widget: Any) -> None:
        """The user opens the module."""
        widget.parent.qt_object.setProperty("isEntered", True)
        if hasattr(widget, "enter"):
            widget.enter()

    def leave(self, widget: Any) -> None:
        """The user opens another module."""
        widget.parent.qt_object.setProperty("isEntered", False)
        if hasattr(widget, "exit"):
            widget.exit()

    def unload(self, widget: Any) -> None:
        """Slicer closes, or the module is taken away."""
        widget.cleanup()
        self.widgets.pop(widget.moduleName, None)

    def process(self) -> None:
        """Let the GUI do what is due."""
        from PySide6.QtCore import QCoreApplication

        QCoreApplication.processEvents()

    def wait(self, done: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Let the GUI live until ``done()``; False when that took longer than ``seconds``."""
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                return False
            self.process()
            time.sleep(0.002)
        return True

    def picture(self, widget: Any, path: Path, width: int) -> None:
        """Save how a panel looks at a width in pixels and the height that it needs."""
        top = widget.parent.qt_object
        top.resize(width, 10)
        top.show()
        for _ in range(4):
            self.process()
            layout = top.layout()
            height = layout.totalHeightForWidth(width) if layout.hasHeightForWidth() else top.sizeHint().height()
            top.resize(width, height)
        self.process()
        path.parent.mkdir(parents=True, exist_ok=True)
        if not top.grab().save(str(path)):
            raise OSError(f"{path}: the picture cannot be written.")


def module_path(name: str) -> Path:
    """The file of one of our modules."""
    return REPOSITORY / name / f"{name}.py"


@lru_cache(maxsize=1)
def desktop() -> Desktop:
    """The one fake desktop of this process."""
    reason = missing()
    if reason:
        raise RuntimeError(reason)
    import slicer
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QIcon, QPixmap
    from PySide6.QtWidgets import QApplication

    from . import effects, parameters, pythonqt, scripted

    QApplication.instance() or QApplication(["medai-tests"])
    here = Desktop()
    for name, classes in (("qt", pythonqt.QT), ("ctk", pythonqt.CTK)):
        _module(name, {cls.__name__: cls for cls in classes})
    sys.modules["qt"].__dict__.update(QIcon=QIcon, QPixmap=QPixmap, Qt=Qt, QFileDialog=FileDialog)
    for cls in pythonqt.SLICER:
        setattr(slicer, cls.__name__, cls)
    _module(
        "SegmentEditorEffects", {"AbstractScriptedSegmentEditorEffect": effects.AbstractScriptedSegmentEditorEffect}
    )
    scripted_effect = {"qSlicerSegmentEditorScriptedEffect": effects.ScriptedEffect}
    _module("qSlicerSegmentationsEditorEffectsPythonQt", scripted_effect)
    slicer.qSlicerSegmentEditorEffectFactory = effects.EffectFactory
    slicer.qSlicerSegmentEditorAbstractEffect = effects.AbstractEffect
    _module("slicer.ScriptedLoadableModule", {name: getattr(scripted, name) for name in scripted.__all__})
    _module("slicer.i18n", {"tr": lambda text: text, "translate": lambda context, text: text})
    _module(
        "slicer.parameterNodeWrapper",
        {name: getattr(parameters, name) for name in ("parameterNodeWrapper", "GuiConnector", "WithinRange")},
    )
    packaging = {"load_requirements": _load_requirements, "pip_check": _pip_check, "pip_ensure": lambda *_, **__: None}
    _module("slicer.packaging", packaging)
    slicer.app = Application()
    for name, value in _utilities(here).items():
        setattr(slicer.util, name, value)
    return here


def _module(name: str, contents: dict[str, Any]) -> None:
    module = ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module
    package, _, short = name.rpartition(".")
    if package:
        setattr(sys.modules[package], short, module)


def _load_requirements(path: str | Path) -> list[Requirement]:
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def _pip_check(wanted: str | Requirement | list[Requirement]) -> bool:
    if isinstance(wanted, list):
        return all(map(_pip_check, wanted))
    wanted = Requirement(str(wanted))
    try:
        return importlib.metadata.version(wanted.name) in wanted.specifier
    except importlib.metadata.PackageNotFoundError:
        return False


class FileDialog:
    """The part of ``qt.QFileDialog`` that the modules use; nothing is shown."""

    @staticmethod
    def getExistingDirectory(parent: Any = None, title: str = "", folder: str = "") -> str:
        return desktop().folder


class Application:
    """The part of ``slicer.app`` that the modules use."""

    applicationName = "Slicer"

    def __init__(self) -> None:
        self._slots: dict[str, list[Callable[..., None]]] = {}

    def connect(self, signal: str, slot: Callable[..., None]) -> bool:
        self._slots.setdefault(signal, []).append(slot)
        return True

    def testingEnabled(self) -> bool:
        return False

    def layoutManager(self) -> Any:
        return desktop().views

    def setOverrideCursor(self, cursor: Any) -> None: ...

    def restoreOverrideCursor(self) -> None: ...

    def processEvents(self) -> None:
        desktop().process()


def _utilities(here: Desktop) -> dict[str, Any]:
    """Those functions of ``slicer.util`` that need the desktop."""
    from . import ui

    def shown(kind: str) -> Callable[..., None]:
        return lambda text, *_, **__: here.messages.append((kind, str(text)))

    def confirm(text: str, *_: Any, **__: Any) -> bool:
        here.messages.append(("question", text))
        return here.confirm

    @contextlib.contextmanager
    def try_with_error_display(
        message: str | None = None, show: bool = True, waitCursor: bool = False
    ) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            logging.getLogger(__name__).info("shown to the user", exc_info=error)
            here.messages.append(("error", f"{message}\n\n{error}" if message else str(error)))
            raise

    import slicer.util

    set_layers = slicer.util.setSliceViewerLayers

    def layers(*values: Any, **named: Any) -> None:
        here.shown.append(named)
        set_layers(*values, **named)

    def reload(name: str) -> None:
        here.unload(here.widgets[name])
        here.load(name)

    replacements = (
        ui.loadUI,
        ui.childWidgetVariables,
        shown("error"),
        shown("warning"),
        shown("information"),
        confirm,
        confirm,
        try_with_error_display,
        lambda text, *_: here.status.append(text),
        lambda name: str(module_path(name)),
        reload,
        lambda *_: None,
        layers,
    )
    return dict(zip(UTILITIES, replacements, strict=True))
