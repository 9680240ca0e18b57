"""Intensity preparation: the same for training, validation and every later image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ModelError

ENOUGH = 200_000  # voxels from which percentiles are taken; more do not change them visibly


def prepare(array: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    """Bring intensities to the range that a network was trained on.

    Args:
        array: (k, j, i), any real type, finite.
        spec: ``{"method": "percentile", "low": 0.5, "high": 99.5}``: percentiles of the foreground, which are the
            voxels that are not exactly 0 (all voxels if there is no such one). They become 0 and 1; what lies beyond
            is clipped.

    Returns:
        float32, same shape, 0 to 1; all 0 if the foreground is constant.

    Raises:
        ModelError: the method is unknown.
    """
    if spec.get("method") != "percentile":
        raise ModelError(f'The model asks for an unknown intensity preparation, "{spec.get("method")}". Update MedAI.')
    values = np.asarray(array, dtype=np.float32)
    foreground = values[values != 0]
    if not foreground.size:
        foreground = values.ravel()
    foreground = foreground[:: max(1, foreground.size // ENOUGH)]
    low, high = np.percentile(foreground, (spec["low"], spec["high"]))
    if not high > low:
        return np.zeros_like(values)
    scaled = (values - np.float32(low)) / np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)
