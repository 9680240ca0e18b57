"""The worker's task "superres"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..superres.checks import with_role
from ..superres.request import answer, method_of, read_message
from .stages import Stages
from .superres import stages_of, superresolve


def run(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Sharpen a scan; parameters and arrays are those of
    :meth:`MedAILib.superres.request.SuperresRequest.message`.

    Args:
        parameters: plain JSON values.
        arrays: the scans.
        context: the worker's: ``progress(stages)``, ``stop()`` (finish with what there is), ``device``.

    Returns:
        Summary and affines in JSON form, and the arrays of the volume and of the outputs that were asked for.
    """
    scans, request = read_message(parameters, arrays)
    method = method_of(with_role(scans, request), scans)
    stages = Stages(context.progress(stages_of(request, method)))
    return answer(superresolve(scans, request, context.device, stages, context.stop))
