"""The worker's task "import_model"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]
TASK = "import_model"
READING = "Reading the model"


def run(parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any) -> tuple[dict[str, Any], Arrays]:
    """Bring in a model folder of any known kind.

    Args:
        parameters: ``folder``; ``allow_code`` and ``overwrite`` as in :class:`MedAILib.importing.Import`.
        arrays: none.
        context: the worker's.

    Returns:
        ``name`` and ``title`` of the model that is there now.
    """
    from ..importing import Import, import_any

    context.progress({READING: 1.0}).stage(READING)
    wanted = Import(allow_code=bool(parameters.get("allow_code")), overwrite=bool(parameters.get("overwrite")))
    card = import_any(parameters["folder"], wanted)
    return {"name": card.name, "title": card.title}, {}
