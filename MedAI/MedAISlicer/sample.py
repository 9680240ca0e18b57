"""The head MR that comes with Slicer's own sample data."""

from __future__ import annotations

import importlib
from typing import Any

from slicer.i18n import tr as _

from MedAILib.errors import ReadError

NAME = "MRHead"


def load_sample() -> Any:
    """Load MRHead, from Slicer's cache or, the first time, from its data server; returns the volume node.

    Raises:
        ReadError: it could not be had.
    """
    try:
        node = importlib.import_module("SampleData").downloadSample(NAME)
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise ReadError(
            _("The sample {name} could not be loaded ({reason}). Is this computer on-line?").format(
                name=NAME, reason=error
            )
        ) from error
    if node is None:
        raise ReadError(_("The sample {name} could not be loaded. Is this computer on-line?").format(name=NAME))
    return node
