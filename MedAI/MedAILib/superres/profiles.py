"""Slice profiles: how strongly a slice sees what lies beside its center."""

from __future__ import annotations

import math

import numpy as np

from ..errors import UsageError
from ..resampling import FWHM

PROFILES = ("box", "gaussian", "hann", "triangle")


def check_profile(kind: str) -> str:
    """The name itself.

    Raises:
        UsageError: there is no such profile.
    """
    if kind not in PROFILES:
        raise UsageError(f"The slice profile must be one of {', '.join(PROFILES)}, not {kind!r}.")
    return kind


def cumulative(x_mm: np.ndarray, fwhm_mm: float, kind: str) -> np.ndarray:
    """Integral of the profile of area 1 from minus infinity to ``x_mm``.

    Args:
        x_mm: distances from the slice's center in mm, any shape.
        fwhm_mm: full width at half maximum, which is called the slice thickness.
        kind: "box", "gaussian", "hann" (raised cosine) or "triangle"; the last two reach one FWHM to each side.

    Returns:
        Values 0 to 1, float64, of the shape of ``x_mm``.
    """
    u = np.asarray(x_mm, float) / fwhm_mm
    if check_profile(kind) == "box":
        return np.clip(u + 0.5, 0.0, 1.0)
    if kind == "gaussian":
        return 0.5 * (1.0 + _erf(u * FWHM / math.sqrt(2.0)))
    u = np.clip(u, -1.0, 1.0)
    if kind == "hann":
        return 0.5 + 0.5 * u + np.sin(np.pi * u) / (2.0 * np.pi)
    return 0.5 + u - 0.5 * u * np.abs(u)


def _erf(x: np.ndarray) -> np.ndarray:
    # numpy has none, and loading SciPy's would cost more than all the rest of an instant method.
    values = np.sign(x)
    near = np.abs(x) < 6.0
    values[near] = np.fromiter(map(math.erf, x[near]), float, int(near.sum()))
    return values
