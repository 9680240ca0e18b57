"""Whether there is an image in what the user chose."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from .sequences import frame_count, is_sequence

Node = Any


def why_no_image(node: Node) -> str:
    """Why a volume or a sequence gives no image, as a sentence; empty if it does."""
    if is_sequence(node):
        first = node.GetNthDataNode(0) if frame_count(node) else None
        if first is None or not first.IsA("vtkMRMLScalarVolumeNode"):
            return _("The sequence {name} holds no volumes. Choose another one.").format(name=node.GetName())
    elif node.GetImageData() is None:
        return _("The volume {name} holds no image. Choose another one.").format(name=node.GetName())
    return ""
