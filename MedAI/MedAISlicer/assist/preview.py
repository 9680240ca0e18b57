"""Shows an answer that is not written yet, in all views."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from MedAILib.geometry import centre_shift

from .. import mrml
from .target import Box, Target

Node = Any

COLOR = (1.0, 0.85, 0.1)
NAME = "AI assist preview"
SURFACE = "Closed surface"


class Preview:
    """A segmentation of its own that nobody edits, lists or saves."""

    def __init__(self) -> None:
        self._node: Node | None = None

    def show(self, shown: tuple[Target, Box, np.ndarray] | None) -> None:
        """Show an answer; None shows none any more.

        Args:
            shown: the target, and the answer's box and content.
        """
        self._remove()
        if shown is None:
            return
        target, box, inside = shown
        scene = target.segmentation.GetScene()
        if scene is None or not inside.any():
            return
        node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName(NAME)
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self._node = scene.AddNode(node)
        self._node.CreateDefaultDisplayNodes()
        self._node.SetAndObserveTransformNodeID(target.segmentation.GetTransformNodeID())
        segment = slicer.vtkSegment()
        segment.SetName(_("Preview"))
        segment.SetColor(*COLOR)
        affine = centre_shift(target.affine(), (box[0].start, box[1].start, box[2].start))
        segment.AddRepresentation(mrml.BINARY_LABELMAP, mrml.layer_from_array(inside.astype(np.uint8), affine))
        self._node.GetSegmentation().AddSegment(segment)
        if target.segmentation.GetSegmentation().ContainsRepresentation(SURFACE):
            self._node.CreateClosedSurfaceRepresentation()  # 3D views show the segments, so they show this, too
        display = self._node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetOpacity2DFill(0.4)

    def _remove(self) -> None:
        node, self._node = self._node, None
        if node is not None and node.GetScene() is not None:
            scene, display = node.GetScene(), node.GetDisplayNode()
            scene.RemoveNode(node)
            if display is not None and display.GetScene() is not None:
                scene.RemoveNode(display)
