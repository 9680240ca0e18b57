"""From nodes to what the registration is asked with: images, masks, landmarks, labels and the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from MedAILib.errors import UsageError
from MedAILib.image import Image, Kind
from MedAILib.labels import Label
from MedAILib.registration.request import Pair

from .. import mrml
from ..results import check_in_scene
from ..sequences import frame_count, is_sequence
from ..targets import parents_of

Node = Any
Segment = tuple[Node, str]
"""A segmentation node and the ID of one of its segments; or a label map volume node and an empty text."""


@dataclass(frozen=True)
class Inputs:
    """The nodes of a registration.

    Attributes:
        fixed: scalar volume that stays.
        moving: scalar volume, or a sequence of them.
        initial: transform node under which the moving volume is taken to stand, on top of what it stands under.
        fixed_mask, moving_mask: segments inside which the volumes are compared.
        fixed_points, moving_points: markups with corresponding points in the same order.
        fixed_labels, moving_labels: segmentations or label map volumes; structures of the same name are compared.
    """

    fixed: Node
    moving: Node
    initial: Node | None = None
    fixed_mask: Segment | None = None
    moving_mask: Segment | None = None
    fixed_points: Node | None = None
    moving_points: Node | None = None
    fixed_labels: Node | None = None
    moving_labels: Node | None = None

    @property
    def sequence(self) -> bool:
        """Whether the moving volume is a sequence."""
        return is_sequence(self.moving)

    @property
    def count(self) -> int:
        """How many volumes are registered to the fixed one."""
        return frame_count(self.moving)

    def nodes(self) -> list[Node]:
        """All nodes, without which the run cannot be brought to its end or began with something else."""
        masks = [mask[0] for mask in (self.fixed_mask, self.moving_mask) if mask is not None]
        others = (self.initial, self.fixed_points, self.moving_points, self.fixed_labels, self.moving_labels)
        return [self.fixed, self.moving, *masks, *(node for node in others if node is not None)]

    def check(self) -> None:
        """Notice what can be noticed without the voxels.

        Raises:
            UsageError: a node is not in the scene, one of two that belong together is missing, or the start would
                count twice.
        """
        for node in self.nodes():
            check_in_scene(node, "input")
        if self.fixed is self.moving:
            raise UsageError(f"{self.fixed.GetName()} is the fixed and the moving volume. Choose two volumes.")
        for one, other, what in (
            (self.fixed_points, self.moving_points, "landmarks"),
            (self.fixed_labels, self.moving_labels, "segmentations to compare"),
        ):
            if (one is None) != (other is None):
                raise UsageError(f"There are {what} for one volume only. Choose those of the other one, or none.")
        if self.initial is not None and self.initial in parents_of(self.moving):
            raise UsageError(
                f"{self.moving.GetName()} stands under {self.initial.GetName()} already, and so begins there. "
                "Choose no initial transform, or take the volume out of the transform."
            )
        for mask in (self.fixed_mask, self.moving_mask):
            if mask is None or mask[0].IsA("vtkMRMLLabelMapVolumeNode"):
                continue
            if mask[0].GetSegmentation().GetSegment(mask[1]) is None:
                raise UsageError(f"The segment to be used as a mask is not in {mask[0].GetName()}. Choose one.")

    def images(self, frame: int = 0) -> tuple[Image, Image]:
        """The fixed and the moving volume as they are now, in world RAS; arguments and errors as below."""
        return mrml.image_from_node(self.fixed), mrml.image_from_node(self.moving, frame if self.sequence else None)

    def pair(self, frame: int = 0) -> Pair:
        """Read everything, in world RAS.

        Args:
            frame: which item of a moving sequence, from 0.

        Raises:
            ContentError, GeometryError, UsageError: as :mod:`MedAISlicer.mrml` says for each node.
        """
        fixed, moving = self.images(frame)
        labels = common_labels(self.fixed_labels, self.moving_labels, fixed, moving)
        return Pair(
            fixed,
            moving,
            fixed_mask=_mask(self.fixed_mask, fixed),
            moving_mask=_mask(self.moving_mask, moving),
            fixed_labels=labels[0],
            moving_labels=labels[1],
            fixed_points=_points(self.fixed_points),
            moving_points=_points(self.moving_points),
            initial=None if self.initial is None else mrml.transform_from_node(self.initial, fixed),
            label_names=labels[2],
        )


def title(one: Node, other: Node) -> str:
    """What to call what leads from one node to the other."""
    return f"{one.GetName()} to {other.GetName()}"


def as_mask(value: Any) -> Segment | None:
    """From a script's argument: a (segmentation, segment ID) pair, or a node that holds one mask.

    Raises:
        UsageError: something else, or a segmentation with several segments.
    """
    if value is None or isinstance(value, tuple):
        return value
    if hasattr(value, "IsA") and value.IsA("vtkMRMLLabelMapVolumeNode"):
        return value, ""
    if not hasattr(value, "IsA") or not value.IsA("vtkMRMLSegmentationNode"):
        raise UsageError("A mask is a (segmentation node, segment ID) pair, a segmentation or a label map volume.")
    ids = value.GetSegmentation().GetSegmentIDs()
    if len(ids) != 1:
        raise UsageError(f"{value.GetName()} has {len(ids)} segments. Say which is the mask: (node, segment ID).")
    return value, ids[0]


def _mask(segment: Segment | None, like: Image) -> Image | None:
    if segment is None:
        return None
    node, segment_id = segment
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return mrml.labels_from_volume(node)[0]
    return mrml.mask_from_segment(node, segment_id, like)


def _points(node: Node | None) -> np.ndarray | None:
    return None if node is None else mrml.points_from_markups(node)


def common_labels(
    fixed: Node | None, moving: Node | None, fixed_image: Image, moving_image: Image
) -> tuple[Image | None, Image | None, dict[int, str]]:
    """Both segmentations as label maps in which equal numbers mean structures of the same name.

    Structures that only one of them has are left out.

    Returns:
        Two label maps in world RAS (segmentations on the volumes' grids, label map volumes on their own), and number
        to name; two None where there is nothing to compare.

    Raises:
        UsageError: they have no structure in common.
    """
    if fixed is None or moving is None:
        return None, None, {}
    (one, one_table), (other, other_table) = _labels(fixed, fixed_image), _labels(moving, moving_image)
    names = [label.name for label in one_table]
    theirs = {label.name: label.value for label in other_table}
    common = [name for name in dict.fromkeys(names) if name in theirs]
    if not common:
        raise UsageError(
            f"{fixed.GetName()} and {moving.GetName()} have no structure of the same name, so nothing can be compared. "
            "Rename the segments, or choose other segmentations."
        )
    ours = {label.name: label.value for label in reversed(one_table)}
    numbers = dict(enumerate(common, 1))
    return (
        _renumbered(one, {ours[name]: number for number, name in numbers.items()}),
        _renumbered(other, {theirs[name]: number for number, name in numbers.items()}),
        numbers,
    )


def _labels(node: Node, like: Image) -> tuple[Image, list[Label]]:
    if node.IsA("vtkMRMLSegmentationNode"):
        return mrml.labels_from_segmentation(node, like)
    return mrml.labels_from_volume(node)


def _renumbered(labels: Image, numbers: dict[int, int]) -> Image:
    values = np.zeros(max(int(labels.array.max(initial=0)), *numbers) + 1, np.uint16)
    for old, new in numbers.items():
        values[old] = new
    # Negative values mean nothing in a label map.
    return labels.with_array(values[np.maximum(labels.array, 0)], kind=Kind.LABEL)
