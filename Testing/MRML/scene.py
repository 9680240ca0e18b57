"""A Slicer application without a desktop: slicer-core's scene, logics and managers put together by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

LOGICS = {
    # Colors comes first: the others ask it for the default colors.
    "Colors": "vtkMRMLColorLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Sequences": "vtkSlicerSequencesLogic",
}


class Application:
    """The scene with everything that reading, converting and saving nodes needs.

    Args:
        folder: for the cache and unpacked scene bundles.
    """

    def __init__(self, folder: Path) -> None:
        import slicer
        import vtk

        self.scene = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerApplicationLogic()
        self.logic.SetTemporaryPath(str(folder))
        self.logic.SetMRMLScene(self.scene)
        self.logic.GetColorLogic().SetMRMLScene(self.scene)
        self.logic.GetColorLogic().AddDefaultColorNodes()
        self.logic.SetSliceLogics(vtk.vtkCollection())
        self.logic.SetViewLogics(vtk.vtkCollection())

        self.logics: dict[str, Any] = {}
        for name, class_name in LOGICS.items():
            logic = getattr(slicer, class_name)()
            logic.SetMRMLApplicationLogic(self.logic)
            logic.SetMRMLScene(self.scene)
            self.logic.SetModuleLogic(name, logic)
            self.logics[name] = logic

        # The default colors of label maps are a file of the desktop application.
        colors = slicer.vtkMRMLColorTableNode()
        colors.SetSingletonTag("FileGenericColors.txt")
        colors.SetTypeToRandom()
        colors.SetSaveWithScene(False)
        self.scene.AddNode(colors)

        # Without these two a scene bundle (.mrb) cannot be read.
        self.cache = slicer.vtkCacheManager()
        self.cache.SetRemoteCacheDirectory(str(folder))
        self.cache.SetMRMLScene(self.scene)
        self.scene.SetCacheManager(self.cache)
        self.io = slicer.vtkDataIOManager()
        self.io.SetCacheManager(self.cache)
        self.scene.SetDataIOManager(self.io)

    def install(self) -> None:
        """Make this the scene that ``slicer.mrmlScene`` and ``slicer.util`` mean."""
        import slicer

        slicer.mrmlScene = self.scene
        slicer.modules = SimpleNamespace(
            **{name.lower(): SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in self.logics.items()}
        )

    def save(self, path: Path) -> None:
        """Save the scene as a bundle (.mrb)."""
        assert self.scene.WriteToMRB(str(path))

    def load(self, path: Path) -> None:
        """Replace the scene by that of a bundle (.mrb)."""
        self.scene.Clear(False)
        assert self.scene.ReadFromMRB(str(path), True)
