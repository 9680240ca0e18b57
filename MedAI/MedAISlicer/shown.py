"""What the user looks at."""

from __future__ import annotations

from typing import Any

import slicer

Node = Any


def likely_input() -> Node | None:
    """The volume that a slice view shows, else the first one that holds an image; None if there is none."""
    views = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    seen = [slicer.mrmlScene.GetNodeByID(view.GetBackgroundVolumeID() or "") for view in views]
    for node in [*seen, *slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]:
        # A label map is a scalar volume too.
        chosen = node is not None and node.GetClassName() == "vtkMRMLScalarVolumeNode"
        if chosen and not node.GetHideFromEditors() and node.GetImageData() is not None:
            return node
    return None
