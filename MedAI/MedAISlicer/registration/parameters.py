"""What the user chose in the MedAI Registration panel; saved and restored with the scene."""

from __future__ import annotations

from enum import Enum

from slicer import (
    vtkMRMLLabelMapVolumeNode,
    vtkMRMLMarkupsFiducialNode,
    vtkMRMLNode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
    vtkMRMLTableNode,
    vtkMRMLTransformNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

from ..parameters import AUTOMATIC


class Kind(Enum):
    """What the moving volume may do; the value is that of a registration request."""

    RIGID = "rigid"
    AFFINE = "affine"
    DEFORMABLE = "deformable"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Kind.RIGID: _("Rigid: turn and shift"),
            Kind.AFFINE: _("Affine: also stretch and shear"),
            Kind.DEFORMABLE: _("Deformable: affine, then warp"),
        }[self]


class Preset(Enum):
    """How much is computed; the value is that of a registration request."""

    DEFAULT = "default"
    FAST = "fast"
    ACCURATE = "accurate"

    def label(self) -> str:
        """What the chooser shows."""
        return {Preset.DEFAULT: _("Default"), Preset.FAST: _("Fast"), Preset.ACCURATE: _("Accurate")}[self]


class Contrast(Enum):
    """Whether the two volumes show the same tissue equally bright; the value is that of a registration request."""

    AUTOMATIC = "auto"
    SAME = "same"
    DIFFERENT = "different"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Contrast.AUTOMATIC: _("Automatic: decide from the volumes"),
            Contrast.SAME: _("Same (e.g. T1 and T1, CT and CT)"),
            Contrast.DIFFERENT: _("Different (e.g. T1 and T2, CT and MR)"),
        }[self]


class Start(Enum):
    """Where the search begins; the value is that of a registration request."""

    AUTOMATIC = "auto"
    GIVEN = "given"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Start.AUTOMATIC: _("Anywhere, unless an initial transform is chosen"),
            Start.GIVEN: _("Near where the volumes are now"),
        }[self]


class Regularization(Enum):
    """What keeps a warp smooth; the value is that of a registration request."""

    DIFFUSION = "diffusion"
    CURVATURE = "curvature"
    ELASTIC = "elastic"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Regularization.DIFFUSION: _("Diffusion: neighbors move alike"),
            Regularization.CURVATURE: _("Curvature: neighbors change alike"),
            Regularization.ELASTIC: _("Elastic: like rubber"),
        }[self]


class Voxels(Enum):
    """On which grid registered volumes and segmentations are written."""

    FIXED = "fixed"
    OWN = "own"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Voxels.FIXED: _("The fixed volume's voxels"),
            Voxels.OWN: _("Its own voxels, brought into place"),
        }[self]


@parameterNodeWrapper
class RegistrationParameterNode:
    """The panel's parameters.

    Attributes:
        fixedVolume: what stays where it is.
        movingVolume: what is brought onto it; a sequence stands for all its frames, one after the other.
        carried: what moves along: volumes, segmentations, markups, models.
        kind, preset, contrast, start: see the classes above.
        regularization: see the class above.
        diffeomorphic: warp by a velocity field.
        refine: optimize a network on top of the result.
        initialTransform: the moving volume is taken as if it stood under this.
        fixedMask, fixedMaskSegment, movingMask, movingMaskSegment: compare only inside these segments.
        fixedLandmarks, movingLandmarks: the same points in both, in the same order.
        fixedLabels, movingLabels: segmentations that tell how well the result fits.
        makeTransform, makeInverse, makeVolume, makeJacobian: which outputs are wanted.
        outputTransform, outputInverse, outputVolume, outputJacobian: where they go; None makes a new node.
        voxels: the grid of registered volumes.
        device: name of a device for the worker.
        result: table of the result that is shown.
    """

    fixedVolume: vtkMRMLScalarVolumeNode
    movingVolume: vtkMRMLScalarVolumeNode | vtkMRMLSequenceNode | None
    carried: list[vtkMRMLNode]
    kind: Kind = Kind.DEFORMABLE
    preset: Preset = Preset.DEFAULT
    contrast: Contrast = Contrast.AUTOMATIC
    start: Start = Start.AUTOMATIC
    regularization: Regularization = Regularization.DIFFUSION
    diffeomorphic: bool = False
    refine: bool = False
    initialTransform: vtkMRMLTransformNode
    fixedMask: vtkMRMLSegmentationNode
    fixedMaskSegment: str
    movingMask: vtkMRMLSegmentationNode
    movingMaskSegment: str
    fixedLandmarks: vtkMRMLMarkupsFiducialNode
    movingLandmarks: vtkMRMLMarkupsFiducialNode
    fixedLabels: vtkMRMLSegmentationNode | vtkMRMLLabelMapVolumeNode | None
    movingLabels: vtkMRMLSegmentationNode | vtkMRMLLabelMapVolumeNode | None
    makeTransform: bool = True
    makeInverse: bool = False
    makeVolume: bool = True
    makeJacobian: bool = False
    outputTransform: vtkMRMLTransformNode
    outputInverse: vtkMRMLTransformNode
    outputVolume: vtkMRMLScalarVolumeNode
    outputJacobian: vtkMRMLScalarVolumeNode
    voxels: Voxels = Voxels.FIXED
    device: str = AUTOMATIC
    result: vtkMRMLTableNode
