"""What is known of a volume's slices before anything is computed, and from where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer

from MedAILib.image import Image
from MedAILib.superres.checks import axis_of
from MedAILib.superres.request import Scan, SuperresRequest

from .. import mrml
from ..modality import modality_of
from ..sequences import is_sequence, item_of, proxy_of

Node = Any

INSTANCES = "DICOM.instanceUIDs"
"""Attribute of a volume that Slicer loaded from its DICOM database: the identifiers of its slices."""
THICKNESS, BETWEEN, MODALITY = "0018,0050", "0018,0088", "0008,0060"
"""DICOM tags: SliceThickness, SpacingBetweenSlices, Modality."""


@dataclass(frozen=True)
class DicomFacts:
    """What the DICOM headers of a volume tell, None where they do not.

    Attributes:
        thickness: SliceThickness in mm.
        between: SpacingBetweenSlices in mm.
        modality: e.g. "CT".
    """

    thickness: float | None = None
    between: float | None = None
    modality: str | None = None


def dicom_facts(volume: Node, database: Any = None) -> DicomFacts:
    """Look a volume up in the DICOM database from which it was loaded.

    Args:
        volume: scalar volume; an item of a sequence as well.
        database: something with ``instanceValue(uid, tag) -> str``; by default Slicer's own.
    """
    database = database or getattr(slicer, "dicomDatabase", None)
    instances = (volume.GetAttribute(INSTANCES) or "").split()
    if database is None or not instances:
        return DicomFacts()
    # One slice of the middle, as a localizer may stand first.
    uid = instances[len(instances) // 2]
    values = {tag: str(database.instanceValue(uid, tag) or "").strip() for tag in (THICKNESS, BETWEEN, MODALITY)}
    return DicomFacts(_number(values[THICKNESS]), _number(values[BETWEEN]), values[MODALITY] or None)


def scan_of(node: Node, frame: int | None = None) -> Scan:
    """A volume, or a frame of a sequence, with what its headers tell; raises as :func:`mrml.image_from_node` does."""
    source = item_of(node, frame or 0)[0] if is_sequence(node) else node
    facts = dicom_facts(source)
    modality = facts.modality or modality_of(proxy_of(node) or source if is_sequence(node) else node)
    return Scan(mrml.image_from_node(node, frame), facts.thickness, facts.between, modality)


@dataclass(frozen=True)
class Found:
    """The slices of a volume, for the panel.

    Attributes:
        axis: array axis of the slices.
        increment: mm from slice to slice, from the volume's grid.
        in_plane: mm, the two spacings within the slices.
        thickness: mm from DICOM, None if that does not tell.
        between: mm from slice to slice as DICOM says, None if it does not.
        modality: DICOM code, None if unknown.
    """

    axis: int
    increment: float
    in_plane: tuple[float, float]
    thickness: float | None = None
    between: float | None = None
    modality: str | None = None


def found_in(scan: Scan) -> Found:
    """What is known without looking at the voxels."""
    axis = axis_of(scan.image, SuperresRequest(), scan.between or scan.thickness)
    first, second = (size for other, size in enumerate(scan.image.spacing) if other != axis)
    return Found(
        axis, scan.image.spacing[axis], (second, first), _positive(scan.thickness), scan.between, scan.modality
    )


def at_place_of(image: Image, before: Image, now: Image) -> Image:
    """A result where its volume is now: somebody may have moved that during the run.

    Args:
        image: the result, in the world in which the volume was ``before``.
        before, now: the volume's places.
    """
    step = now.affine @ np.linalg.inv(before.affine)
    if np.allclose(step, np.eye(4), atol=1e-6):
        return image
    return Image(image.array, step @ image.affine, image.name)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _positive(value: float | None) -> float | None:
    return value if value is not None and 0.0 < value < float("inf") else None
