"""Figures as JSON can hold them: it has no NaN and no infinity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """The value; None for a figure that could not be taken."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def all_finite(value: Any) -> Any:
    """The same for everything in mappings and sequences."""
    if isinstance(value, Mapping):
        return {key: all_finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [all_finite(one) for one in value]
    return finite(value)
