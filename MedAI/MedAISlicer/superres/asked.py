"""From what the user chose in the panel to what a run is made of, and what is missing still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slicer.i18n import tr as _

from MedAILib.errors import MedAIError, UsageError
from MedAILib.pipeline.superres_grid import wanted_step
from MedAILib.superres.checks import axis_of, check_gain
from MedAILib.superres.request import SuperresRequest, method_of

from ..readable import why_no_image
from ..targets import Target
from .inputs import Inputs
from .outputs import Outputs
from .slices import Found, found_in, scan_of

if TYPE_CHECKING:
    from .parameters import SuperresParameterNode


def inputs_of(parameters: SuperresParameterNode) -> Inputs:
    """The nodes to work on; the input volume is chosen."""
    others = (parameters.contrast, parameters.stack, parameters.thirdStack)
    return Inputs(parameters.inputVolume, tuple(node for node in others if node is not None), parameters.like)


def outputs_of(parameters: SuperresParameterNode) -> Outputs:
    """What is to be made, and where it goes."""
    return Outputs(
        volume=Target(parameters.makeVolume, parameters.outputVolume),
        uncertainty=Target(parameters.makeUncertainty, parameters.outputUncertainty),
        residual=Target(parameters.makeResidual, parameters.outputResidual),
        cubic=Target(parameters.makeCubic, parameters.outputCubic),
    )


def request_of(parameters: SuperresParameterNode) -> SuperresRequest:
    """How to compute.

    Raises:
        UsageError: a second contrast and further stacks.
    """
    stacks = parameters.stack is not None or parameters.thirdStack is not None
    if stacks and parameters.contrast is not None:
        raise UsageError(_("Choose either a second contrast or further stacks, not both."))
    quality = parameters.quality.value
    spacing, thickness = parameters.spacing, parameters.thickness
    return SuperresRequest(
        method=parameters.method,
        quality=quality or "fast",
        budget=parameters.budget if quality is None else None,
        thickness=parameters.thicknessMm if thickness.value == "given" else None,
        profile=parameters.profile.value,
        spacing=parameters.spacingMm if spacing.takes_number else None,
        isotropic=spacing.value in ("isotropic", "everywhere"),
        role="contrast" if parameters.contrast is not None else "stack" if stacks else "auto",
        align=parameters.align and (stacks or parameters.contrast is not None),
        warm=parameters.warm,
        outputs=outputs_of(parameters).names,
    )


def found_of(parameters: SuperresParameterNode) -> Found | None:
    """What is known of the chosen volume's slices; None where there is no volume that can be read."""
    volume = parameters.inputVolume
    if volume is None or why_no_image(volume):
        return None
    try:
        return found_in(scan_of(volume, 0 if volume.IsA("vtkMRMLSequenceNode") else None))
    except MedAIError:
        return None


def why_not_ready(parameters: SuperresParameterNode) -> str:
    """What is missing still, as a sentence for the user; empty if a run can be started."""
    volume = parameters.inputVolume
    if volume is None:
        return _("Choose the input volume: the one with thick slices.")
    inputs = inputs_of(parameters)
    for node in inputs.nodes():
        reason = why_no_image(node)
        if reason:
            return reason
    try:
        inputs.check()
        outputs_of(parameters).check(inputs)
        request, scans = request_of(parameters), inputs.scans()
        if method_of(request, scans).same_grid:
            return ""
        image = scans.main.image
        axis = axis_of(image, request, scans.main.between or scans.main.thickness)
        known = request.thickness if request.thickness is not None else scans.main.thickness
        check_gain(image, axis, known, wanted_step(image, axis, request, scans.like))
    except MedAIError as error:
        return str(error)
    return ""
