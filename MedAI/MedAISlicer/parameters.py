"""What the user chose in the MedAI panel; saved and restored with the scene."""

from __future__ import annotations

from enum import Enum

from slicer import (
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
    vtkMRMLSequenceNode,
    vtkMRMLVectorVolumeNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import parameterNodeWrapper

AUTOMATIC = "auto"


class Mode(Enum):
    """How much is computed; the value is that of :class:`MedAILib.pipeline.request.Request`."""

    AUTOMATIC = None
    EXACT = "exact"
    FAST = "fast"

    def label(self) -> str:
        """What the chooser shows."""
        return {
            Mode.AUTOMATIC: _("Automatic (what the model was tested with)"),
            Mode.EXACT: _("Exact"),
            Mode.FAST: _("Fast"),
        }[self]


@parameterNodeWrapper
class MedAIParameterNode:
    """The panel's parameters.

    Attributes:
        inputVolume: what to segment; a sequence stands for all its frames, a vector volume is a picture in colors.
        outputSegmentation: where to; None makes a new segmentation.
        ownOutput: the segmentation of the last run while it is the panel that chose it as the output, not the user.
        model: name of a model of :mod:`MedAILib.models`; empty for the default one.
        device: name of a device for the worker.
        mode: exact or fast.
    """

    inputVolume: vtkMRMLScalarVolumeNode | vtkMRMLSequenceNode | vtkMRMLVectorVolumeNode | None
    outputSegmentation: vtkMRMLSegmentationNode
    ownOutput: vtkMRMLSegmentationNode
    model: str
    device: str = AUTOMATIC
    mode: Mode = Mode.AUTOMATIC
