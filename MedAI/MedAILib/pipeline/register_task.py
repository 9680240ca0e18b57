"""The worker's task "register"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..registration.request import answer, read_message
from .register import register as register_pair
from .register import stages_of
from .stages import Stages


def run(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Register a pair; parameters and arrays are those of
    :meth:`MedAILib.registration.request.RegistrationRequest.message`.

    Args:
        parameters: plain JSON values.
        arrays: the images, label maps, landmarks and the initial transform's fields.
        context: the worker's: ``progress(stages)``, ``warm`` (kept between jobs), ``device``.

    Returns:
        Summary and transforms in JSON form, and the arrays of the fields and of the outputs that were asked for.
    """
    pair, request = read_message(parameters, arrays)
    stages = Stages(context.progress(stages_of(request)))
    return answer(register_pair(pair, request, context.device, stages))
