"""The worker's tasks "train" and "check_cases"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError, UsageError
from ..training.cases.checks import check_cases
from ..training.cases.report import Problem, problems_to_json
from ..training.cases.request import TrainRequest
from ..training.cases.watch import STAGES, Watch

Arrays = dict[str, np.ndarray]
CHECKING = "Checking the cases"


def run(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any) -> tuple[dict[str, Any], Arrays]:
    """Train on a folder of cases; parameters are those of
    :meth:`MedAILib.training.cases.request.TrainRequest.message`.

    A cancel pauses: the checkpoint is written, then the job ends as cancelled. To conclude is to stop: what was trained
    so far becomes the model.

    Args:
        parameters: plain JSON values; a resume needs only ``output``.
        arrays: none.
        context: the worker's: ``progress(stages)``, ``stop()`` (finish with what there is), ``device``.

    Returns:
        ``model`` (its name), ``folder`` (of the model), ``steps``, ``seconds``, ``dice`` (class to Dice of the cases
        held out), ``concluded`` (whether it was stopped before its budget was used up).
    """
    from ..training.cases.job import run_request

    request = TrainRequest.read(parameters)
    progress = context.progress(STAGES)

    watch = Watch(progress.stage, progress.update, progress.warn, progress.check, context.stop)
    return run_request(request, context.device, lambda line: None, watch).to_json(), {}


def run_check(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any
) -> tuple[dict[str, Any], Arrays]:
    """Look at a folder of cases.

    Args:
        parameters: ``data`` (folder), ``network`` (name of a recipe, or None) and ``plan`` (overrides).
        arrays: none.
        context: the worker's.

    Returns:
        The report (``cases``, ``classes``, ``problems``); and where it can be trained on and a network is named, also
        the plan: ``spacing``, ``patch``, ``training`` and ``validation`` (numbers of cases), ``why`` (sentences).
    """
    progress = context.progress({CHECKING: 1.0})
    progress.stage(CHECKING)
    data, network = str(parameters["data"]), parameters.get("network")
    if not network:
        return check_cases(data, progress.update).to_json(), {}
    from ..training.cases.planning import look_at

    asked = TrainRequest(network, data, "", plan=parameters.get("plan") or {})
    try:
        report, plan = look_at(asked, context.device, progress.update)
    except (ModelError, UsageError) as error:  # of the network or the plan; the cases may be fine
        answer = check_cases(data).to_json()
        answer["problems"] += problems_to_json([Problem("", str(error))])
        return answer, {}
    answer = report.to_json()
    if plan is not None:
        answer |= {
            "spacing": list(plan.spacing),
            "patch": list(plan.patch),
            "training": len(plan.trained),
            "validation": len(plan.held_out),
            "why": list(plan.why),
        }
    return answer, {}
