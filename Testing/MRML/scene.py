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

SEEN = ("vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLTableNode", "vtkMRMLTransformNode")
"""Classes whose nodes have an item in the subject hierarchy."""


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

        self._keep_subject_hierarchy()

    def _keep_subject_hierarchy(self) -> None:
        """What the desktop's plugins do: each node that users see has an item as long as it is in the scene."""
        import slicer
        import vtk

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def added(scene: Any, _: str, node: Any) -> None:
            if is_seen(scene, node) and not hierarchy().GetItemByDataNode(node):
                hierarchy().CreateItem(hierarchy().GetSceneItemID(), node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(scene: Any, _: str, node: Any) -> None:
            if is_seen(scene, node) and hierarchy().GetItemByDataNode(node):
                hierarchy().RemoveItem(hierarchy().GetItemByDataNode(node), False, False)

        def is_seen(scene: Any, node: Any) -> bool:
            return not scene.IsClosing() and not scene.IsImporting() and any(node.IsA(name) for name in SEEN)

        def hierarchy() -> Any:
            return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)

        self.observations = [
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added),
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeRemovedEvent, removed),
        ]

    def close(self) -> None:
        """Empty the scene and let go of it."""
        for observation in self.observations:
            self.scene.RemoveObserver(observation)
        self.scene.Clear(False)

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
