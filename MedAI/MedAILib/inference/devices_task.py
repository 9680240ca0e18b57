"""The worker's task "devices": for processes that must not load torch themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from .devices import describe


def run(
    parameters: Mapping[str, Any], arrays: Mapping[str, np.ndarray], context: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Answer ``{"devices": [{"name", "title", "free_bytes"}, ...]}``, the kind that "auto" takes first."""
    return {"devices": [asdict(device) for device in describe()]}, {}
