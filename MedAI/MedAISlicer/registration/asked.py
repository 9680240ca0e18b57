"""From what the user chose in the panel to what a run is made of, and what is missing still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError
from MedAILib.registration.request import RegistrationRequest

from ..readable import why_no_image
from ..targets import Target
from .inputs import Inputs, Segment
from .outputs import Outputs

if TYPE_CHECKING:
    from .parameters import RegistrationParameterNode


def inputs_of(parameters: RegistrationParameterNode) -> Inputs:
    """The nodes to register; both volumes are chosen."""
    return Inputs(
        parameters.fixedVolume,
        parameters.movingVolume,
        initial=parameters.initialTransform,
        fixed_mask=_segment(parameters.fixedMask, parameters.fixedMaskSegment),
        moving_mask=_segment(parameters.movingMask, parameters.movingMaskSegment),
        fixed_points=parameters.fixedLandmarks,
        moving_points=parameters.movingLandmarks,
        fixed_labels=parameters.fixedLabels,
        moving_labels=parameters.movingLabels,
    )


def _segment(node: object | None, segment_id: str) -> Segment | None:
    return None if node is None else (node, segment_id)


def outputs_of(parameters: RegistrationParameterNode) -> Outputs:
    """What is to be made, and where it goes."""
    return Outputs(
        transform=Target(parameters.makeTransform, parameters.outputTransform),
        inverse=Target(parameters.makeInverse, parameters.outputInverse),
        volume=Target(parameters.makeVolume, parameters.outputVolume),
        jacobian=Target(parameters.makeJacobian, parameters.outputJacobian),
        own_voxels=parameters.voxels.value == "own",
        carried=tuple(node for node in parameters.carried if node is not None),
    )


def request_of(parameters: RegistrationParameterNode) -> RegistrationRequest:
    """How to register."""
    deformable = parameters.kind.value == "deformable"
    return RegistrationRequest(
        kind=parameters.kind.value,
        preset=parameters.preset.value,
        contrast=parameters.contrast.value,
        start=parameters.start.value,
        refine=parameters.refine and deformable,
        regularization=parameters.regularization.value,
        diffeomorphic=parameters.diffeomorphic and deformable,
    )


def why_not_ready(parameters: RegistrationParameterNode) -> str:
    """What is missing still, as a sentence for the user; empty if a run can be started."""
    if parameters.fixedVolume is None:
        return _("Choose the fixed volume: the one that stays where it is.")
    if parameters.movingVolume is None:
        return _("Choose the moving volume: the one that is brought onto the fixed volume.")
    for node in (parameters.fixedVolume, parameters.movingVolume):
        reason = why_no_image(node)
        if reason:
            return reason
    try:
        inputs = inputs_of(parameters)
        inputs.check()
        outputs_of(parameters).check(inputs, request_of(parameters).deformable)
    except MedAIError as error:
        return str(error)
    return ""
