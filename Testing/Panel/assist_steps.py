"""What a user does with AI assist in a Segment Editor, and what there is to see."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from MedAISlicer import mrml
from MedAISlicer.assist import prompt_tags
from MedAISlicer.assist.target import Target

Voxel = tuple[int, int, int]


class Bench:
    """An open Segment Editor with a volume, a segment, and a slice view through the volume's middle.

    Args:
        desk: the desktop.
        editor: qMRMLSegmentEditorWidget (the PySide6 side).
        volume: source volume node.
        segmentation: node with one segment or more.
    """

    def __init__(self, desk: Any, editor: Any, volume: Any, segmentation: Any) -> None:
        self.desk, self.editor = desk, editor
        self.volume, self.segmentation = volume, segmentation

    @property
    def effect(self) -> Any:
        """The python side of this editor's clone."""
        return self.editor.effectByName("AI assist").self()

    @property
    def ui(self) -> Any:
        return self.effect.desk.ui

    @property
    def controller(self) -> Any:
        return self.effect.desk.controller

    @property
    def view(self) -> Any:
        return self.desk.views.sliceWidget("Axial")

    def ras(self, voxel: Voxel) -> np.ndarray:
        """Where a voxel (k, j, i) is seen."""
        at = [0.0, 0.0, 0.0]
        self.volume.TransformPointToWorld((mrml.local_affine(self.volume) @ [*voxel[::-1], 1.0])[:3].tolist(), at)
        return np.array(at)

    def event(self, name: str, at: tuple[int, int] = (0, 0), view: Any = None, **held: Any) -> bool:
        """Something happens over a view; True if the effect keeps it from Slicer."""
        import vtk

        from Harness.views import Interactor

        interactor = Interactor(at, **held)
        code = int(getattr(vtk.vtkCommand, f"{name}Event"))
        return self.effect.processInteractionEvents(interactor, code, view or self.view)

    def key(self, key: str) -> bool:
        return self.event("KeyPress", key=key)

    def draw(self, voxels: Iterable[Voxel], view: Any = None, **held: Any) -> list[bool]:
        """Drag the mouse over voxels."""
        view = view or self.view
        pixels = [view.pixel(self.ras(voxel)) for voxel in voxels]
        kept = [self.event("LeftButtonPress", pixels[0], view, **held)]
        kept += [self.event("MouseMove", pixel, view, **held) for pixel in pixels[1:]]
        return [*kept, self.event("LeftButtonRelease", pixels[-1], view, **held)]

    def click(self, voxel: Voxel, **held: Any) -> list[bool]:
        return self.draw([voxel], **held)

    def asked(self, answerers: Any, count: int = 1) -> Any:
        """Wait until somebody was asked that often, all in all; returns the newest one who was."""
        from MRML.assist import Answerer

        assert self.desk.wait(lambda: sum(len(one.questions) for one in Answerer.made) >= count, 5.0)
        return answerers()

    def until_idle(self) -> None:
        assert self.desk.wait(lambda: not self.controller.busy, 5.0)

    def answer(self, answerers: Any, count: int = 1, **how: Any) -> None:
        """Wait for the question, answer it, and wait until that is written."""
        self.asked(answerers, count).finish(**how)
        assert self.desk.wait(lambda: self.controller.status.state.value != "running", 5.0)

    def segment_id(self, name: str) -> str:
        return self.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)

    def mask(self, name: str = "Liver") -> np.ndarray:
        return Target(self.volume, self.segmentation, self.segment_id(name)).current()

    def prompts(self, name: str = "Liver") -> list[Any]:
        segment = self.segmentation.GetSegmentation().GetSegment(self.segment_id(name))
        return prompt_tags.read(segment, self.volume)

    @property
    def line(self) -> str:
        return self.ui.statusLabel.text


def ball(*voxel: int) -> np.ndarray:
    """What the answerer finds around a point."""
    from MRML.assist import SHAPE

    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(one - 1, one + 2) for one in voxel)] = True
    return mask


def open_bench(desk: Any, affine: np.ndarray, parent: np.ndarray | None = None) -> Bench:
    """Register the effect and open an editor with it."""
    import slicer

    from Harness.segment_editor import qMRMLSegmentEditorWidget
    from Harness.views import LayoutManager, SliceView
    from MedAISlicer.assist.register import register_effect
    from MRML.assist import add_volume
    from MRML.nodes import add_transform

    scene = desk.scene.scene
    volume = add_volume(scene, affine)
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    segmentation.CreateDefaultDisplayNodes()
    if parent is not None:
        transform = add_transform(scene, parent)
        for node in (volume, segmentation):
            node.SetAndObserveTransformNodeID(transform.GetID())
    segmentation.GetSegmentation().AddEmptySegment("liver", "Liver")
    assert register_effect()
    editor = qMRMLSegmentEditorWidget()
    bench = Bench(desk, editor, volume, segmentation)
    center = bench.ras((5, 7, 8))
    desk.views = LayoutManager([SliceView(name, tuple(center)) for name in ("Axial", "Coronal")])
    node = scene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
    editor.setMRMLSegmentEditorNode(node)
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("liver")
    editor.setActiveEffectByName("AI assist")
    return bench
