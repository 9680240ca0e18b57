"""What kind of image a volume is, as far as its DICOM origin tells."""

from __future__ import annotations

from typing import Any

import slicer

Node = Any


def modality_of(volume: Node) -> str | None:
    """The DICOM modality (e.g. "MR") of a volume that was loaded from the DICOM database, else None."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(volume.GetScene())
    item = hierarchy.GetItemByDataNode(volume) if hierarchy is not None else 0
    return (hierarchy.GetItemAttribute(item, "DICOM.Modality") or None) if item else None
