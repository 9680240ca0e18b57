"""What prompts are about: a segment, and the volume that they were drawn on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from MedAILib.geometry import Shape, centre_shift
from MedAILib.image import Image
from MedAILib.interactive.prompts import Prompt

from .. import mrml
from . import prompt_tags
from .places import between, reaches

Node = Any
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Target:
    """A segment to be drawn on a volume.

    Attributes:
        volume: scalar volume node.
        segmentation: node, edited as voxels.
        segment_id: of a segment of it.
    """

    volume: Node
    segmentation: Node
    segment_id: str

    @property
    def segment(self) -> Node:
        """The vtkSegment; None when it is gone."""
        return self.segmentation.GetSegmentation().GetSegment(self.segment_id)

    def why_gone(self) -> str:
        """What of it is no longer there, as a sentence; empty while all is."""
        for node in (self.volume, self.segmentation):
            if node.GetScene() is None:
                return f"{node.GetName()} was deleted."
        if self.segment is None:
            return "The segment was deleted."
        if self.volume.GetImageData() is None:
            return f"The volume {self.volume.GetName()} holds no image any more."
        return ""

    def image(self) -> Image:
        """The volume in its own RAS; raises what :func:`MedAISlicer.mrml.image_from_node` raises."""
        return mrml.own_image_from_node(self.volume)

    def volume_state(self) -> tuple[Any, ...]:
        """Equal as long as the voxels and the grid of the volume are."""
        data = self.volume.GetImageData()
        stamp = None if data is None else (data.GetMTime(), data.GetAddressAsString(""))
        return self.volume.GetID(), stamp, None if data is None else mrml.local_affine(self.volume).tobytes()

    def segment_state(self) -> tuple[Any, ...]:
        """Equal as long as nobody has touched the voxels or the prompts of the segment."""
        layer = mrml.layer_of(self.segment)
        stamp = None if layer is None else (layer.GetMTime(), layer.GetAddressAsString(""))
        return stamp, prompt_tags.text_of(self.segment), self.affine().tobytes()

    @property
    def shape(self) -> Shape:
        """Of the volume, (k, j, i)."""
        i, j, k = self.volume.GetImageData().GetDimensions()
        return k, j, i

    def affine(self) -> np.ndarray:
        """Voxels of the volume to the segmentation's own RAS.

        Raises:
            GeometryError: see :func:`between`.
        """
        return np.asarray(between(self.volume, self.segmentation) @ mrml.local_affine(self.volume))

    def current(self) -> np.ndarray:
        """The segment on the volume's voxels, (k, j, i) bool."""
        return mrml.segment_on_grid(self.segmentation, self.segment_id, self.shape, self.affine())

    def within(self, box: Box) -> np.ndarray:
        """The segment in a box of the volume's voxels."""
        k, j, i = (side.stop - side.start for side in box)
        if not k * j * i:
            return np.zeros((k, j, i), bool)
        affine = centre_shift(self.affine(), (box[0].start, box[1].start, box[2].start))
        return mrml.segment_on_grid(self.segmentation, self.segment_id, (k, j, i), affine)

    def prompts(self) -> tuple[list[Prompt], int]:
        """The segment's prompts that lie in the volume, and how many do not: they were drawn on another one."""
        prompts = prompt_tags.read(self.segment, self.volume)
        affine = mrml.local_affine(self.volume)
        near = [prompt for prompt in prompts if reaches(prompt, self.shape, affine)]
        return near, len(prompts) - len(near)
