"""What the user chose in the MedAI Super Resolution panel; saved and restored with the scene."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSequenceNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from ..parameters import AUTOMATIC


class Spacing(Enum):
    """How far apart the new slices are."""

    IN_PLANE = "in-plane"
    ISOTROPIC = "isotropic"
    ACROSS = "across"
    EVERYWHERE = "everywhere"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Spacing.IN_PLANE: _("As the pixels within the slices"),
            Spacing.ISOTROPIC: _("Isotropic, as the smallest of them"),
            Spacing.ACROSS: _("Across the slices:"),
            Spacing.EVERYWHERE: _("Isotropic:"),
        }[self]

    @property
    def takes_number(self) -> bool:
        """Whether the number beside the chooser counts."""
        return self in (Spacing.ACROSS, Spacing.EVERYWHERE)


class Quality(Enum):
    """How long a method may learn from the scan; the value is that of a request, None for the slider's seconds."""

    INSTANT = "instant"
    FAST = "fast"
    BEST = "best"
    OWN = None

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Quality.INSTANT: _("Instant: nothing is learned"),
            Quality.FAST: _("Fast"),
            Quality.BEST: _("Best"),
            Quality.OWN: _("As long as the slider says"),
        }[self]


class Thickness(Enum):
    """Where the slice thickness comes from."""

    AUTOMATIC = "auto"
    GIVEN = "given"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Thickness.AUTOMATIC: _("DICOM, else estimated"),
            Thickness.GIVEN: _("Given here:"),
        }[self]


class Profile(Enum):
    """How a slice sees what lies beside its center; the value is that of a request."""

    AUTOMATIC = "auto"
    ESTIMATE = "estimate"
    BOX = "box"
    GAUSSIAN = "gaussian"
    HANN = "hann"
    TRIANGLE = "triangle"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Profile.AUTOMATIC: _("Usual for the modality"),
            Profile.ESTIMATE: _("Estimated from the image"),
            Profile.BOX: _("Box"),
            Profile.GAUSSIAN: _("Gaussian"),
            Profile.HANN: _("Raised cosine"),
            Profile.TRIANGLE: _("Triangle"),
        }[self]


class Baseline(Enum):
    """What a result is compared with in the views."""

    CUBIC = "cubic"
    INPUT = "input"

    def label(self) -> str:
        """What the chooser shows."""
        return {Baseline.CUBIC: _("Cubic interpolation"), Baseline.INPUT: _("Input volume")}[self]


@parameterNodeWrapper
class SuperresParameterNode:
    """The panel's parameters.

    Attributes:
        inputVolume: thick slices; a sequence stands for all its frames, one after the other.
        contrast: a second contrast of the same patient.
        stack, thirdStack: the same contrast in slices of other directions.
        align: register the further volumes first.
        spacing, spacingMm: of the result; see the class above.
        method: a name in :data:`MedAILib.superres.methods.METHODS`.
        quality, budget: how long it may learn; ``budget`` in seconds.
        makeVolume, makeUncertainty, makeResidual, makeCubic: which outputs are wanted.
        outputVolume, outputUncertainty, outputResidual, outputCubic: where they go; None makes a new node.
        thickness, thicknessMm, profile: of the slices.
        like: the result gets this volume's voxels.
        warm: learning begins with the weights that MedAI brings.
        device: name of a device for the worker.
        result: table of the result that is shown.
        baseline: what it is compared with.
    """

    inputVolume: vtkMRMLScalarVolumeNode | vtkMRMLSequenceNode | None
    contrast: vtkMRMLScalarVolumeNode
    stack: vtkMRMLScalarVolumeNode
    thirdStack: vtkMRMLScalarVolumeNode
    align: bool = False
    spacing: Spacing = Spacing.IN_PLANE
    spacingMm: Annotated[float, WithinRange(0.05, 20.0)] = 1.0
    method: str = AUTOMATIC
    quality: Quality = Quality.FAST
    budget: Annotated[float, WithinRange(5.0, 1200.0)] = 60.0
    makeVolume: bool = True
    makeUncertainty: bool = False
    makeResidual: bool = False
    makeCubic: bool = False
    outputVolume: vtkMRMLScalarVolumeNode
    outputUncertainty: vtkMRMLScalarVolumeNode
    outputResidual: vtkMRMLScalarVolumeNode
    outputCubic: vtkMRMLScalarVolumeNode
    thickness: Thickness = Thickness.AUTOMATIC
    thicknessMm: Annotated[float, WithinRange(0.1, 50.0)] = 5.0
    profile: Profile = Profile.AUTOMATIC
    like: vtkMRMLScalarVolumeNode
    warm: bool = True
    device: str = AUTOMATIC
    result: vtkMRMLTableNode
    baseline: Baseline = Baseline.CUBIC
